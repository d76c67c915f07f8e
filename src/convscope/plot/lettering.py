"""Text that stays where it belongs: measured, wrapped and cut to a width, safe to draw whatever it contains."""

import re
from functools import cache

from matplotlib import font_manager
from matplotlib.font_manager import FontProperties, get_font
from matplotlib.textpath import text_to_path

# DejaVu comes with matplotlib. The others are drawn from where they are installed, so that class names in
# Chinese, Japanese or Korean are no row of boxes.
_PREFERRED = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "WenQuanYi Zen Hei",
    "PingFang SC",
    "Microsoft YaHei",
    "SimHei",
    "Arial Unicode MS",
)

_ELLIPSIS = "…"
# Where pixels are few, hinting rounds every letter's width to whole ones: up to 6 % wider at 80 to 150 dpi.
_HINTING = 1.06
# Where a long word such as a method's spelling may be broken.
_PIECES = re.compile(r"\S*?[_,(/=.\-](?=[^\W\d])|\S+\s*|\s+")


@cache
def families() -> tuple[str, ...]:
    """Return the installed font families to draw with, first choice first."""
    installed = set(font_manager.get_font_names())
    return tuple(name for name in _PREFERRED if name in installed)


def font(size: float, weight: str = "normal") -> FontProperties:
    """Return the font of a size in points, whatever the user's rcParams say."""
    return FontProperties(family=list(families()), size=size, weight=weight, style="normal", stretch="normal")


def printable(text: str) -> str:
    """Replace what no installed font can draw, control characters included, by ``�``; breaks become spaces."""
    return "".join(letter if _has_glyph(letter) else "�" for letter in re.sub(r"\s+", " ", text).strip())


def width(text: str, size: float, weight: str = "normal") -> float:
    """Measure a line of text, in inches, as wide as it gets on a coarse screen."""
    points, _, _ = text_to_path.get_text_width_height_descent(text, font(size, weight), ismath=False)
    return _HINTING * float(points) / 72


def ellipsize(text: str, limit: float, size: float, weight: str = "normal") -> str:
    """Cut a line to ``limit`` inches, with an ellipsis where something is missing."""
    text = printable(text)
    if width(text, size, weight) <= limit:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        fits = width(text[:middle].rstrip() + _ELLIPSIS, size, weight) <= limit
        low, high = (middle, high) if fits else (low, middle - 1)
    return text[:low].rstrip() + _ELLIPSIS


def wrap(text: str, limit: float, size: float, *, lines: int, weight: str = "normal") -> list[str]:
    """Break text into at most ``lines`` lines of ``limit`` inches; the last one is cut if need be."""
    pieces = _PIECES.findall(printable(text))
    wrapped: list[str] = []
    while pieces and len(wrapped) < lines - 1:
        line = pieces.pop(0)
        while pieces and width((line + pieces[0]).rstrip(), size, weight) <= limit:
            line += pieces.pop(0)
        wrapped.append(ellipsize(line, limit, size, weight))
    if pieces:
        wrapped.append(ellipsize("".join(pieces), limit, size, weight))
    return wrapped


@cache
def _has_glyph(letter: str) -> bool:
    fonts = (get_font(font_manager.findfont(FontProperties(family=[name]))) for name in families())
    return letter.isprintable() and any(face.get_char_index(ord(letter)) for face in fonts)
