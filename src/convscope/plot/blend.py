"""The picture itself, and the map laid over it so that the picture can still be recognized."""

import numpy as np
from numpy.typing import NDArray

from convscope.plot.scale import Scale
from convscope.shapes import Image

Pixels = NDArray[np.float64]

_LUMA = (0.299, 0.587, 0.114)

# The gray picture is drawn in the middle of the range of grays: neither its black nor its white can then be
# taken for the dark or light end of a color scale.
_GRAY_LOW, _GRAY_HIGH = 0.12, 0.86

# Colors never cover the picture completely, and what is near zero leaves it as it is. Below 1 the exponent
# lets middling values show.
_OPACITY = 0.88
_EXPONENT = 0.6


def picture(image: Image) -> Pixels:
    """Return what the network saw as RGB, (h, w, 3) in [0, 1]; other than 3 channels become their gray mean."""
    pixels = image.clamp(0, 1).permute(1, 2, 0).double().numpy()
    if pixels.shape[2] == 3:
        return np.asarray(pixels)
    return np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2)


def picture_note(channels: int) -> str:
    """Say what ``picture`` shows where it is not the picture itself; empty for gray and RGB."""
    return "" if channels in (1, 3) else f"shown: the mean of {channels} channels"


def backdrop(image: Image) -> Pixels:
    """Return the gray picture on which maps are laid: (h, w) in [0, 1], contrast a little reduced."""
    gray: Pixels = picture(image) @ np.array(_LUMA)
    return _GRAY_LOW + (_GRAY_HIGH - _GRAY_LOW) * gray


def opacity(scale: Scale) -> Pixels:
    """Return how opaque each level of a scale is over the picture: nothing at zero, 0.88 at the ends."""
    return _OPACITY * scale.strength**_EXPONENT


def overlay(image: Image, values: NDArray[np.float32], scale: Scale) -> Pixels:
    """Lay one map over its picture: (h, w, 3) in [0, 1]."""
    alpha = opacity(scale)[scale.levels(values)][..., None]
    return (1 - alpha) * backdrop(image)[..., None] + alpha * scale.rgb(values)
