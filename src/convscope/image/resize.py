"""A picture becomes a network's input by the recipe its weights were trained with."""

import math
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from PIL import Image as PILImage
from torch import Tensor

from convscope.errors import ImageError
from convscope.image.picture import Picture
from convscope.results import Source
from convscope.shapes import Image

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Fit = Literal["crop", "stretch", "whole"]
"""``crop``: the weights' own recipe, short side resized and center cropped. ``stretch``: the whole picture squeezed
into the input size. ``whole``: the whole picture, aspect kept, short side at the input size (for networks of any
size)."""

MAX_PIXELS = 4096 * 4096
"""How many pixels a resized picture may have before its crop: 1:256 in shape with a short side of 256."""

_RESAMPLING = {
    "nearest": PILImage.Resampling.NEAREST,
    "bilinear": PILImage.Resampling.BILINEAR,
    "bicubic": PILImage.Resampling.BICUBIC,
    "lanczos": PILImage.Resampling.LANCZOS,
}
_Window = tuple[int, int, int, int]


def to_input(
    picture: Picture,
    size: tuple[int, int],
    *,
    interpolation: Interpolation = "bilinear",
    crop: float = 0.875,
    fit: Fit = "crop",
) -> tuple[Image, Source]:
    """Resize a picture to the input of a network.

    With ``fit="crop"`` the result equals torchvision's ``Resize(size / crop)`` + ``CenterCrop(size)`` and
    timm's evaluation transform: for 8-bit pictures to the last bit.

    Args:
        picture: upright, with the network's channels.
        size: (height, width) of the input, in pixels.
        interpolation: Pillow's, always antialiased.
        crop: the part of the resized short side that the center crop keeps, in (0, 1]; for ``fit="crop"``.
        fit: ``crop``: short side resized to size / crop, center cropped. ``stretch``: the whole picture
            squeezed into ``size``, its aspect lost. ``whole``: the whole picture, aspect kept, its short side
            at the smaller of ``size``; for networks that take any size.

    Returns:
        The input (c, h, w) in [0, 1], and the source with its box: the part of the upright original that the
        network sees, (left, top, right, bottom) in its pixels.

    Raises:
        ImageError: if the resized picture would have more than ``MAX_PIXELS`` pixels, or ``crop`` is no part.
    """
    source = picture.source
    resized, window = _plan((source.height, source.width), size, crop=crop, fit=fit)
    if resized[0] * resized[1] > MAX_PIXELS:
        raise ImageError(
            f"cannot use {source.name!r}: {source.width}×{source.height} pixels would grow to "
            f"{resized[1]}×{resized[0]}. Cut a part out, or use fit='stretch'."
        )
    image = _resize(picture.pixels, resized, window, _RESAMPLING[interpolation])
    box = _box(source, resized, window)
    return image, replace(source, box=box, notes=(*source.notes, *_remarks(source, box, fit)))


def _plan(
    original: tuple[int, int], size: tuple[int, int], *, crop: float, fit: Fit
) -> tuple[tuple[int, int], _Window]:
    """The size to resize to, and the window (left, top, right, bottom) of the result that is kept."""
    if fit == "stretch":
        return size, (0, 0, size[1], size[0])
    if fit == "whole":
        resized = _short_side(original, min(size))
        return resized, (0, 0, resized[1], resized[0])
    if not 0 < crop <= 1:
        raise ImageError(f"crop must lie in (0, 1], got {crop}: it is the part of the short side that is kept.")
    resized = _cover(original, size, crop)
    # Rounded half to even, as torchvision does.
    top, left = (round((long - short) / 2) for long, short in zip(resized, size, strict=True))
    return resized, (left, top, left + size[1], top + size[0])


def _cover(original: tuple[int, int], size: tuple[int, int], crop: float) -> tuple[int, int]:
    """The resized (height, width) that the crop is taken from."""
    # A recipe of torchvision's is stored as crop = 224 / 232; the tolerance gives back 232, not 231.
    height, width = (math.floor(side / crop + 1e-6) for side in size)
    if height == width:
        return _short_side(original, height)
    # timm's rule for inputs that are not square: the tighter side fits, the other is rounded.
    ratio = min(original[0] / height, original[1] / width)
    return round(original[0] / ratio), round(original[1] / ratio)


def _short_side(original: tuple[int, int], short: int) -> tuple[int, int]:
    """Short side exactly as asked, long side rounded down: torchvision's rule."""
    height, width = original
    return (int(short * height / width), short) if width <= height else (short, int(short * width / height))


def _resize(
    pixels: PILImage.Image | np.ndarray, resized: tuple[int, int], window: _Window, how: PILImage.Resampling
) -> Tensor:
    if isinstance(pixels, np.ndarray):
        planes = [_resize_one(PILImage.fromarray(plane), resized, window, how) for plane in pixels]
        return torch.from_numpy(np.stack(planes)).clamp(0, 1)
    values = torch.from_numpy(_resize_one(pixels, resized, window, how)).float().div(255)
    return values[None] if values.ndim == 2 else values.permute(2, 0, 1).contiguous()


def _resize_one(
    image: PILImage.Image, resized: tuple[int, int], window: _Window, how: PILImage.Resampling
) -> np.ndarray:
    # Resizing the window alone (Pillow's ``box``) would be cheaper, but it may swap the passes and so clip
    # differently from what the weights were measured with: up to 30 gray levels for Lanczos on noise.
    return np.array(image.resize((resized[1], resized[0]), how).crop(window))


def _box(source: Source, resized: tuple[int, int], window: _Window) -> tuple[float, float, float, float]:
    # Multiplied first, in whole numbers: a window that is all of the result gives exactly all of the original.
    left, right = (column * source.width / resized[1] for column in window[::2])
    top, bottom = (row * source.height / resized[0] for row in window[1::2])
    return left, top, right, bottom


def _remarks(source: Source, box: tuple[float, float, float, float], fit: Fit) -> list[str]:
    seen = (box[2] - box[0]) * (box[3] - box[1]) / (source.width * source.height)
    remarks = []
    if seen < 0.5:
        remarks.append(f"the network sees only the middle {seen:.0%}; fit='stretch' or 'whole' shows it all")
    if fit == "stretch" and not 0.5 <= source.width / source.height <= 2:
        remarks.append(f"stretched from {source.width}×{source.height}: shapes are distorted")
    return remarks
