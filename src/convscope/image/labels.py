"""What pictures show, as their folders or a table say."""

import csv
from collections.abc import Sequence
from pathlib import Path

from convscope.errors import ImageError, near_misses, system_reason

_COLUMNS = ("label", "class")
_FILES = ("file", "filename", "name", "path")


def labels_from_folders(names: Sequence[str]) -> tuple[str | None, ...]:
    """Take the name of each picture's folder for its class; None for what is no file, such as ``sample:cat``."""
    return tuple(Path(name).resolve().parent.name or None if Path(name).exists() else None for name in names)


def labels_from_csv(names: Sequence[str], table: str | Path, *, column: str | None = None) -> tuple[str | None, ...]:
    """Look up the class of each picture in a CSV file.

    Args:
        names: paths of the pictures.
        table: with a header. Pictures stand in the column ``file`` (or ``filename``, ``name``, ``path``, else the
            first), as a path that ends like theirs or as a plain file name.
        column: with the classes; ``label`` or ``class`` by default, or the only other one.

    Returns:
        One class per picture; None where the table has none.

    Raises:
        ImageError: the table cannot be read, lacks the column, or knows none of the pictures.
    """
    rows, header = _read(Path(table))
    files = next((name for name in _FILES if name in header and name != column), header[0])
    chosen = column or next((name for name in _COLUMNS if name in header), "")
    if not chosen and len(header) == 2:
        chosen = next(name for name in header if name != files)
    if chosen not in header:
        known = ", ".join(repr(name) for name in header if name != files)
        asked = (
            f"{str(table)!r} has no column {chosen!r}.{near_misses(chosen, header)}"
            if column
            else f"which column of {str(table)!r} has the classes?"
        )
        raise ImageError(f"{asked} Give one of {known}, as in {table}:COLUMN.")
    by_name: dict[str, str] = {}
    for row in rows:
        by_name[Path(row[files] or "").as_posix()] = (row[chosen] or "").strip()
    found = tuple(_look_up(name, by_name) for name in names)
    if names and not any(found):
        raise ImageError(
            f"{str(table)!r} knows none of the {len(names)} pictures. "
            f"Its column {files!r} should hold their file names."
        )
    return found


def _look_up(name: str, by_name: dict[str, str]) -> str | None:
    parts = Path(name).parts
    for first in range(len(parts)):  # the longest path that the table knows
        if (label := by_name.get(Path(*parts[first:]).as_posix())) is not None:
            return label or None
    return None


def _read(table: Path) -> tuple[list[dict[str, str]], list[str]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows, header = list(reader), list(reader.fieldnames or ())
    except OSError as error:
        raise ImageError(f"cannot read {str(table)!r}: {system_reason(error)}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ImageError(f"{str(table)!r} is no CSV file ({error}). Expected UTF-8 text with a header.") from error
    if len(header) < 2:
        raise ImageError(f"{str(table)!r} has {len(header)} columns. Expected a header such as file,label.")
    return rows, header
