"""Files appear whole or not at all."""

import os
import secrets
from io import BytesIO
from pathlib import Path

from PIL import Image as PILImage

from convscope.errors import ImageError, StoreError, system_reason
from convscope.shapes import Image


def write_bytes(path: str | Path, data: bytes) -> Path:
    """Write a file atomically: to a temporary name beside it, synced, then renamed.

    Folders on the way are made. After an error or Ctrl-C the old file, or none, is there.

    Args:
        path: of the file; an existing one is replaced.
        data: its content.

    Returns:
        The path.

    Raises:
        StoreError: if it cannot be written there, or the path is a folder or a device.
    """
    path = Path(path)
    # A link keeps pointing where it did: what it points to is replaced.
    target = Path(os.path.realpath(path))
    try:
        if target.exists() and not target.is_file():
            what = "a folder" if target.is_dir() else "not a regular file"
            raise StoreError(f"cannot write {str(path)!r}: it is {what}. Give the path of a file.")
        target.parent.mkdir(parents=True, exist_ok=True)
        _replace(target, data)
    except OSError as error:
        raise StoreError(
            f"cannot write {str(path)!r}: {system_reason(error)}. Give a path that you may write to."
        ) from error
    return path


def write_png(path: str | Path, image: Image) -> Path:
    """Write a (1 or 3, h, w) image in [0, 1] as an 8-bit PNG, atomically.

    Raises:
        ImageError: if it has other channels.
        StoreError: as ``write_bytes``.
    """
    return write_bytes(path, encode_png(image))


def encode_png(image: Image) -> bytes:
    """Encode a (1 or 3, h, w) image in [0, 1] as an 8-bit PNG; values outside are clamped, others rounded.

    Raises:
        ImageError: if it has other channels.
    """
    if image.shape[0] not in (1, 3):
        raise ImageError(f"a PNG has 1 or 3 channels, got {image.shape[0]}. Choose the channels to show.")
    levels = image.detach().clamp(0, 1).mul(255).round().byte().cpu()
    pixels = levels[0] if image.shape[0] == 1 else levels.permute(1, 2, 0)
    buffer = BytesIO()
    PILImage.fromarray(pixels.numpy()).save(buffer, format="PNG")
    return buffer.getvalue()


def _replace(target: Path, data: bytes) -> None:
    partial = target.with_name(f".{secrets.token_hex(6)}.part")
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
