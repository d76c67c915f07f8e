"""Pictures as ``data:`` URIs, so that the page needs nothing but itself.

A map is a palette PNG: the entry of a pixel is the level of its value, so its color is exactly the color bar's,
and the same entries with an opacity each make the layer that lies over the gray picture.
"""

from base64 import b64encode
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil

from convscope.plot import LEVELS, Scale, backdrop, opacity, picture
from convscope.shapes import Image

MOST_PIXELS = 400
"""The longest side of a picture on the page; larger inputs are averaged down to it."""

_QUALITY = 90


def picture_uri(image: Image) -> str:
    """Return what the network saw, as JPEG."""
    return _jpeg(picture(image))


def backdrop_uri(image: Image) -> str:
    """Return the gray picture on which maps lie, as JPEG."""
    return _jpeg(backdrop(image))


def map_uri(values: NDArray[np.float32], scale: Scale) -> str:
    """Return the bare map as a palette PNG."""
    return _png(_palette_picture(values, scale))


def layer_uri(values: NDArray[np.float32], scale: Scale) -> str:
    """Return the map as a palette PNG to lay over the gray picture: larger values are more opaque."""
    return _png(_palette_picture(values, scale), _bytes(opacity(scale)))


def color_bar_uri(scale: Scale) -> str:
    """Return the colors of all levels from low to high, as a PNG one pixel high."""
    # A scale without length has one color, that of zero.
    levels = np.arange(LEVELS, dtype=np.uint8) if scale.limit else scale.levels(np.zeros(LEVELS, np.float32))
    return _png(_with_palette(Pil.fromarray(levels[None]), scale))


def drawn_size(height: int, width: int) -> tuple[int, int]:
    """Return the (height, width) at which an input is drawn on the page."""
    factor = min(1.0, MOST_PIXELS / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def _palette_picture(values: NDArray[np.float32], scale: Scale) -> Pil.Image:
    height, width = drawn_size(*values.shape)
    if (height, width) != values.shape:
        # Averaged as values, before they become colors. What is not finite spreads to where it is averaged into.
        values = np.asarray(Pil.fromarray(values).resize((width, height), Pil.Resampling.BOX))
    return _with_palette(Pil.fromarray(scale.levels(values)), scale)


def _with_palette(levels: Pil.Image, scale: Scale) -> Pil.Image:
    colored = Pil.new("P", levels.size)
    colored.putdata(levels.tobytes())
    colored.putpalette(_bytes(scale.palette))
    return colored


def _png(image: Pil.Image, transparency: bytes | None = None) -> str:
    buffer = BytesIO()
    options = {} if transparency is None else {"transparency": transparency}
    image.save(buffer, format="PNG", optimize=True, **options)
    return f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}"


def _jpeg(pixels: NDArray[np.float64]) -> str:
    image = Pil.fromarray(np.frombuffer(_bytes(pixels), np.uint8).reshape(pixels.shape))
    height, width = drawn_size(image.height, image.width)
    if (width, height) != image.size:
        image = image.resize((width, height), Pil.Resampling.LANCZOS)
    buffer = BytesIO()
    image.save(buffer, format="JPEG", quality=_QUALITY, subsampling=0)
    return f"data:image/jpeg;base64,{b64encode(buffer.getvalue()).decode()}"


def _bytes(unit: NDArray[np.float64]) -> bytes:
    """Turn [0, 1] into bytes."""
    return np.rint(unit * 255).astype(np.uint8).tobytes()
