"""Which pictures the user means: files, folders, globs, standard input and samples, in the order typed."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from convscope.errors import ConvscopeError, ImageError, near_misses, system_reason
from convscope.image.samples import PREFIX, sample_path

STANDARD_INPUT = "-"

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".tif", ".tiff", ".bmp"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".npy"),
)
"""What makes a file in a folder a picture. A file that is named directly may have any suffix."""

Failure = tuple[str, str]
"""``(name, reason)`` of an input that could not be used; the reason is a whole sentence that names it."""


def find(patterns: Sequence[str]) -> tuple[tuple[str, ...], tuple[Failure, ...]]:
    """Expand what the user typed into names that ``read`` takes; one bad input does not stop the others.

    Args:
        patterns: paths of files, paths of folders (searched recursively, sorted; hidden files and
            convscope's own results left out),
            globs (``**`` matches any depth), ``-`` for standard input, ``sample:NAME`` for a bundled one.

    Returns:
        The names in the order typed, each once, and ``(pattern, reason)`` of each input that names nothing.
    """
    names: dict[str, None] = {}
    failures: dict[str, str] = {}
    for pattern in patterns:
        for match in _matches(pattern):
            try:
                names.update(dict.fromkeys(_expand(match)))
            except ConvscopeError as error:
                failures[match] = str(error)
            except OSError as error:
                failures[match] = f"cannot read {match!r}: {system_reason(error)}."
    return tuple(names), tuple(failures.items())


def missing(name: str) -> ImageError:
    """The error for a path that leads nowhere, with near misses from the same folder."""
    if "://" in name:
        return ImageError(f"cannot read {name!r}: convscope downloads nothing. Save the picture and give its path.")
    parent = Path(name).parent
    known = [entry.name for entry in parent.iterdir()] if os.access(parent, os.R_OK) and parent.is_dir() else []
    return ImageError(f"cannot read {name!r}: no such file or folder.{near_misses(Path(name).name, known)}")


def _matches(pattern: str) -> list[str]:
    """What a shell would make of the pattern: its matches, or itself where there are none."""
    path = str(Path(pattern).expanduser())
    if os.path.lexists(path) or not glob.has_magic(path):
        return [pattern]
    return sorted(glob.glob(path, recursive=True)) or [pattern]  # noqa: PTH207  Path.glob matches hidden files too


def _expand(name: str) -> list[str]:
    if name == STANDARD_INPUT:
        return [name]
    if name.startswith(PREFIX):
        sample_path(name)
        return [name]
    path = Path(name).expanduser()
    if path.is_dir():
        return _expand_folder(path)
    if path.exists():
        return [str(path)]
    if path.is_symlink():
        raise ImageError(f"cannot read {name!r}: it is a link to {str(path.readlink())!r}, which does not exist.")
    if glob.has_magic(name):
        raise ImageError(f"cannot read {name!r}: no file matches.")
    raise missing(name)


def _expand_folder(folder: Path) -> list[str]:
    pictures = []
    try:
        for root, folders, files in os.walk(folder, onerror=_stop):
            if _is_result(files):
                folders[:] = []
                continue
            folders[:] = [name for name in folders if not name.startswith(".")]
            pictures += [Path(root, name) for name in files if _looks_like_picture(name)]
    except OSError as error:
        raise ImageError(f"cannot read folder {error.filename!r}: {system_reason(error)}.") from error
    if not pictures:
        raise ImageError(
            f"cannot read {str(folder)!r}: the folder holds no pictures. Looked for *{', *'.join(SUFFIXES)}."
        )
    return [str(picture) for picture in sorted(pictures)]


def _is_result(files: list[str]) -> bool:
    """Whether a folder is what convscope itself wrote: its pages are not pictures to explain."""
    return {"manifest.json", "arrays.npz"} <= set(files)


def _looks_like_picture(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES


def _stop(error: OSError) -> None:
    # os.walk skips what it may not list, and would so leave pictures out in silence.
    raise error
