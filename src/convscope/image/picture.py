"""A picture, upright and with as many channels as the network takes, together with where it came from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convscope.errors import ImageError
from convscope.results import Source

MODES = {1: "L", 3: "RGB"}
"""Pillow's mode for each number of channels that picture files can have."""


@dataclass(frozen=True, eq=False)
class Picture:
    """An upright picture at its own size.

    Attributes:
        pixels: an ``L`` or ``RGB`` Pillow image, or for arrays float32 values (c, h, w) in [0, 1].
        source: where it came from and what was done to it; its box is the whole picture.
    """

    pixels: Image.Image | NDArray[np.float32]
    source: Source

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.pixels.shape[0] if isinstance(self.pixels, np.ndarray) else len(self.pixels.getbands())


def from_pil(
    image: Image.Image,
    *,
    channels: int = 3,
    name: str = "image",
    sha256: str = "",
    notes: tuple[str, ...] = (),
) -> Picture:
    """Make a picture of an upright Pillow image of any mode.

    Transparent pixels are laid over white. 16-bit gray keeps its range (65535 becomes 255). All conversions
    that change what is seen are noted in the source.

    Args:
        image: of any mode; left as it is.
        channels: 1 for gray, 3 for RGB.
        name: for the source and for errors.
        sha256: digest of the file, for the source.
        notes: what has been done to it already.

    Raises:
        ImageError: if picture files cannot have so many channels, or what is white is not known.
    """
    if channels not in MODES:
        raise ImageError(
            f"cannot use {name!r}: the network takes {channels} channels and picture files give 1 or 3. "
            f"Give an .npy array of shape ({channels}, height, width)."
        )
    seen = list(notes)
    image = _shallow(image, name, seen)
    image = _opaque(image, seen)
    if image.mode == "CMYK":
        seen.append("CMYK turned to RGB without its color profile")
    if channels == 1 and image.mode not in ("1", "L"):
        seen.append("color turned to gray")
        image = image.convert("RGB")  # LAB knows no other way
    image = image.convert(MODES[channels])
    return Picture(image, _source(name, sha256, image.width, image.height, seen))


def from_array(
    values: NDArray[Any], *, channels: int, name: str = "array", sha256: str = "", notes: tuple[str, ...] = ()
) -> Picture:
    """Make a picture of an array with any number of channels.

    Args:
        values: (c, h, w); or (h, w, c) where only the last axis has ``channels`` entries; or (h, w) for one
            channel. Floats in [0, 1], booleans, uint8 (255 is 1) or uint16 (65535 is 1).
        channels: that the network takes.
        name: for the source and for errors.
        sha256: digest of the file, for the source.
        notes: what has been done to it already.

    Raises:
        ImageError: if shape, type or range do not fit.
    """
    pixels = _unit(values, name)
    if pixels.ndim == 2 and channels == 1:
        pixels = pixels[None]
    elif pixels.ndim == 3 and pixels.shape[0] != channels and pixels.shape[2] == channels:
        pixels = np.moveaxis(pixels, 2, 0)
        notes = (*notes, "array read as (row, column, channel)")
    if pixels.ndim != 3 or pixels.shape[0] != channels or 0 in pixels.shape:
        raise ImageError(
            f"cannot use {name!r}: the array has shape {values.shape}; expected ({channels}, height, width)."
        )
    pixels = np.ascontiguousarray(pixels)
    return Picture(pixels, _source(name, sha256, pixels.shape[2], pixels.shape[1], notes))


def _source(name: str, sha256: str, width: int, height: int, notes: list[str] | tuple[str, ...]) -> Source:
    box = (0.0, 0.0, float(width), float(height))
    return Source(name, sha256=sha256, width=width, height=height, box=box, notes=tuple(notes))


def _opaque(image: Image.Image, notes: list[str]) -> Image.Image:
    """Lay transparent pixels over white, as a page would show them."""
    if not image.has_transparency_data:
        return image
    # La (premultiplied gray) converts to RGBA only by way of LA.
    layered = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    if layered.getchannel("A").getextrema() != (255, 255):
        notes.append("transparency laid over white")
    white = Image.new("RGBA", layered.size, "white")
    flat = Image.alpha_composite(white, layered)
    return flat.convert("L" if image.mode in ("L", "LA", "La", "1") else "RGB")


def _shallow(image: Image.Image, name: str, notes: list[str]) -> Image.Image:
    """Bring gray of 16 bits, 32 bits or floats to 8 bits. Pillow's own conversion would clip at 255."""
    if image.mode == "F":
        gray, note = _float_gray(np.asarray(image), name)
    elif image.mode.startswith("I"):
        gray, note = _integer_gray(np.asarray(image), name), "16-bit gray brought to 8 bits"
    else:
        return image
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        gray = np.where(np.asarray(image) == clear, 255.0, gray)
        notes.append("transparency laid over white")
    notes.append(note)
    return Image.fromarray(np.rint(gray).astype(np.uint8))


def _integer_gray(values: NDArray[Any], name: str) -> NDArray[Any]:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ImageError(
            f"cannot use {name!r}: its 32-bit pixels lie in [{low}, {high}], and what is white is not known. "
            "Save it with 8 or 16 bits."
        )
    return values.astype(np.float64) / 257


def _float_gray(values: NDArray[Any], name: str) -> tuple[NDArray[Any], str]:
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        return values.astype(np.float64) * 255, "float pixels brought to 8 bits (1 is white)"
    if low >= 0 and high <= 255:
        return values.astype(np.float64), "float pixels brought to 8 bits (255 is white)"
    raise ImageError(f"cannot use {name!r}: its float pixels lie in [{low:g}, {high:g}]; expected [0, 1] or [0, 255].")


def _unit(values: NDArray[Any], name: str) -> NDArray[np.float32]:
    if values.dtype.kind == "b":
        return values.astype(np.float32)
    if values.dtype in (np.uint8, np.uint16):
        return values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max)
    if values.dtype.kind != "f":
        raise ImageError(f"cannot use {name!r}: it holds {values.dtype}; expected floats in [0, 1], uint8 or uint16.")
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise ImageError(
            f"cannot use {name!r}: the array's values lie in [{values.min():g}, {values.max():g}]; "
            "expected [0, 1]. Scale it first; the network's own mean and std are applied later."
        )
    return values.astype(np.float32)
