"""Numbers for people, short enough for a column of a table."""

import math


def short(number: int) -> str:
    """Spell with three digits and a prefix: ``1.81 G``, ``25.6 M``, ``340``."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= factor * 0.9995:
            value = number / factor
            return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {prefix}"
    return f"{number:g}"


def pair(rows: float, columns: float) -> str:
    """Spell a size of the two image axes: ``11``, or ``11×7`` where they differ."""
    return _extent(rows) if rows == columns else f"{_extent(rows)}×{_extent(columns)}"


def _extent(pixels: float) -> str:
    return "all" if math.isinf(pixels) else f"{pixels:g}"


def size(shape: tuple[int, ...]) -> str:
    """Spell a shape: ``64×112×112``."""
    return "×".join(map(str, shape))


def plural(count: int, noun: str) -> str:
    """``1 picture``, ``2 pictures``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
