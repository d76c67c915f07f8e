"""Activation maps of a sequence of pictures as a moving picture."""

from io import BytesIO
from typing import Any, Literal

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image as Pil

from convscope.plot.activations import activations_figure
from convscope.results import ActivationMaps

AnimationFormat = Literal["gif", "webp"]

_DPI = 80


def animation(
    maps: ActivationMaps,
    *,
    kind: AnimationFormat = "webp",
    rate: float = 8.0,
    dpi: int = _DPI,
    **options: Any,  # noqa: ANN401
) -> bytes:
    """Draw every picture of activation maps in turn; scales and channels are those of the whole sequence.

    Args:
        maps: of several pictures of one size, such as the frames of a video.
        kind: ``"gif"`` plays everywhere; ``"webp"`` has all colors.
        rate: pictures per second.
        dpi: pixels per inch.
        options: see ``activations_figure``: ``layer``, ``overlay``, ``scale``, ``columns``.

    Returns:
        The encoded file, which repeats for ever.
    """
    frames = []
    for image in range(len(maps.images)):
        canvas = FigureCanvasAgg(activations_figure(maps, image=image, **options))
        canvas.figure.set_dpi(dpi)
        canvas.draw()  # type: ignore[no-untyped-call]
        pixels: Any = canvas.buffer_rgba()  # type: ignore[no-untyped-call]
        frames.append(Pil.fromarray(np.asarray(pixels)[..., :3].copy()))
    buffer = BytesIO()
    first, *others = frames
    extra: dict[str, Any] = {"quality": 85, "method": 4} if kind == "webp" else {"optimize": True}
    first.save(
        buffer, format=kind.upper(), save_all=True, append_images=others, duration=round(1000 / rate), loop=0, **extra
    )
    return buffer.getvalue()
