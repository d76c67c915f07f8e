"""Read one picture by the name the user gave it."""

import hashlib
import sys
from io import BytesIO
from pathlib import Path

import numpy as np

from convscope.errors import ImageError, system_reason
from convscope.image.decode import decode
from convscope.image.find import STANDARD_INPUT, missing
from convscope.image.picture import Picture, from_array, from_pil
from convscope.image.samples import PREFIX, sample_path

_NPY = b"\x93NUMPY"


def read(name: str, *, channels: int = 3, stdin: bytes | None = None) -> Picture:
    """Read a picture, upright and with the channels the network takes.

    What it is, is told by its content, never by its suffix.

    Args:
        name: a path, ``-`` for standard input, or ``sample:NAME``.
        channels: 1 for gray, 3 for RGB, any number for ``.npy`` arrays.
        stdin: the bytes that ``-`` stands for; read from ``sys.stdin`` if None.

    Raises:
        ImageError: one line that says what is wrong with which file.
    """
    data = _bytes(name, stdin)
    sha256 = hashlib.sha256(data).hexdigest()
    if data.startswith(_NPY):
        return from_array(_load_npy(data, name), channels=channels, name=name, sha256=sha256)
    image, notes = decode(data, name)
    return from_pil(image, channels=channels, name=name, sha256=sha256, notes=notes)


def _bytes(name: str, stdin: bytes | None) -> bytes:
    if name == STANDARD_INPUT:
        return _standard_input() if stdin is None else stdin
    path = sample_path(name) if name.startswith(PREFIX) else Path(name)
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise missing(name) from error
    except IsADirectoryError as error:
        raise ImageError(f"cannot read {name!r}: it is a folder; expected a picture file.") from error
    except OSError as error:
        raise ImageError(f"cannot read {name!r}: {system_reason(error)}.") from error


def _standard_input() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise ImageError("cannot read '-': nothing is piped into standard input. Use: convscope ... - < picture.jpg")
    return sys.stdin.buffer.read()


def _load_npy(data: bytes, name: str) -> np.ndarray:
    try:
        array: np.ndarray = np.load(BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, SyntaxError, OSError, TypeError) as error:
        detail = " ".join(str(error).split())
        raise ImageError(f"cannot read {name!r}: the .npy array is damaged or pickled ({detail}).") from error
    return array
