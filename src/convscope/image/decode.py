"""The bytes of a picture file become an upright Pillow image, or one line that says why not."""

import struct
import warnings
import zlib
from io import BytesIO

from PIL import ExifTags, Image, UnidentifiedImageError

from convscope.errors import ImageError

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "AVIF", "JPEG2000")
"""Pillow's names of the formats that are tried: raster pictures. EPS and such would start programs."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
# What Pillow's decoders raise on damaged files, found by reading them and by fuzzing (tests/image/test_decode.py).
_DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, RuntimeError),
    *(struct.error, zlib.error),
)


def decode(data: bytes, name: str) -> tuple[Image.Image, tuple[str, ...]]:
    """Decode the first frame of a picture and turn it upright.

    Args:
        data: the whole file.
        name: for errors.

    Returns:
        The loaded image in the file's own mode, and notes: EXIF rotation, further frames, Pillow's warnings.

    Raises:
        ImageError: if it is no picture, is damaged or cut off, or has more pixels than
            ``PIL.Image.MAX_IMAGE_PIXELS`` (a decompression bomb).
    """
    if not data:
        raise ImageError(f"cannot read {name!r}: it is empty (0 bytes).")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            # From one to two times the limit Pillow only warns; such a picture is refused just the same.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image, notes = _upright(data)
    except _BOMBS as error:
        raise ImageError(
            f"cannot read {name!r}: too large to decode safely ({str(error).split(',')[0]}). "
            "Shrink it first, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust it."
        ) from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"cannot read {name!r}: not a picture (it starts with {data[:12]!r}). "
            "Expected JPEG, PNG, WebP, GIF, TIFF, BMP, PNM, AVIF, JPEG 2000 or NumPy's .npy."
        ) from error
    except _DAMAGE as error:
        detail = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(
            f"cannot read {name!r}: the picture is damaged or cut off ({detail}). Get a complete copy."
        ) from error
    said = dict.fromkeys(f"Pillow says: {' '.join(str(warning.message).split())}" for warning in caught)
    return image, (*notes, *said)


def _upright(data: bytes) -> tuple[Image.Image, list[str]]:
    Image.init()
    notes = []
    with Image.open(BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN]) as image:
        tag = _orientation(image)
        image.load()
        # Pillow turns TIFF upright while loading and drops the tag, so it is asked again.
        turn = _UPRIGHT.get(_orientation(image))
        upright = image.transpose(turn) if turn is not None else image.copy()
        if tag in _UPRIGHT:
            notes.append(f"turned upright by its EXIF tag ({tag})")
        if getattr(image, "is_animated", False):
            notes.append("the first of several frames")
    return upright, notes


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(ExifTags.Base.Orientation, 1)
    return value if isinstance(value, int) else 1
