"""A figure laid out by hand, in inches from its top left corner.

Every place is computed before anything is drawn, so nothing overlaps, whatever the number of images, methods
and lines of text; and no setting is taken from the user's rcParams, nor written to them.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from convscope.plot.lettering import font
from convscope.plot.scale import Scale
from convscope.plot.words import tick_words

INK, FAINT, HAIRLINE = "#1a1a1a", "#5c5c5c", "#c8c8c8"
LEADING = 1.3
"""Line height, in units of the font size."""

BAR = 0.1
"""Height of a color bar, in inches."""


def line_height(size: float) -> float:
    """Return the height of a line of text, in inches."""
    return LEADING * size / 72


class Sheet:
    """A white figure of a size in inches, with things placed by their left and top."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Figure((width, height), dpi=150, facecolor="white", edgecolor="white")
        self.figure.set_layout_engine("none")

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Place empty axes without frame or ticks."""
        box = (left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(box)
        axes.set_axis_off()
        return axes

    def text(
        self,
        left: float,
        top: float,
        lines: str | Sequence[str],
        *,
        size: float,
        weight: str = "normal",
        color: str = INK,
        align: str = "left",
    ) -> float:
        """Place lines of text, with ``left`` their left, center or right; return where the next would start."""
        for line in [lines] if isinstance(lines, str) else lines:
            self.figure.text(
                left / self.width,
                1 - (top + line_height(size) / 2) / self.height,
                line,
                fontproperties=font(size, weight),
                color=color,
                ha=align,
                va="center_baseline",
                # A name with two dollar signs is a name, not a formula.
                parse_math=False,
                usetex=False,
            )
            top += line_height(size)
        return top

    def rule(self, left: float, top: float, width: float) -> None:
        """Place a hairline."""
        axes = self.axes(left, top, width, 0.02)
        axes.set_xlim(0, 1)
        axes.plot([0, 1], [0, 0], color=HAIRLINE, linewidth=0.6, marker="", linestyle="-", clip_on=False)

    def pixels(self, left: float, top: float, width: float, height: float, rgb: NDArray[np.float64]) -> AxesImage:
        """Place a picture, (h, w, 3) in [0, 1], stretched to the box."""
        axes = self.axes(left, top, width, height)
        return axes.imshow(rgb, aspect="auto", origin="upper", interpolation=_smoothing(rgb.shape[0]))

    def map(
        self, left: float, top: float, width: float, height: float, *, values: NDArray[np.float32], scale: Scale
    ) -> AxesImage:
        """Place a bare map, (h, w), in the colors of its scale."""
        axes = self.axes(left, top, width, height)
        return axes.imshow(
            np.ma.masked_invalid(values),
            cmap=scale.colormap,
            norm=scale.norm,
            aspect="auto",
            origin="upper",
            interpolation=_smoothing(values.shape[0]),
        )

    def color_bar(self, left: float, top: float, width: float, scale: Scale) -> float:
        """Place a lying color bar with numbers at its ends and middle; return where the next thing starts."""
        axes = self.axes(left, top, width, BAR)
        ramp = np.linspace(scale.low, scale.limit, 255)[None]
        axes.imshow(
            ramp,
            cmap=scale.colormap,
            norm=scale.norm,
            aspect="auto",
            origin="upper",
            interpolation="nearest",
            extent=(0, 1, 0, 1),
        )
        axes.plot(
            [0, 1, 1, 0, 0],
            [0, 0, 1, 1, 0],
            color=FAINT,
            linewidth=0.4,
            linestyle="-",
            marker="",
            clip_on=False,
        )
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        below = top + BAR + 0.03
        places = ((left, "left"), (left + width / 2, "center"), (left + width, "right"))
        for (place, align), words in zip(places, tick_words(scale), strict=True):
            self.text(place, below, words, size=6.5, align=align)
        return below + line_height(6.5)


def _smoothing(pixels: int) -> str:
    # Pixels that are seen one by one (MNIST, CIFAR) stay squares; photographs are resampled without aliasing.
    return "nearest" if pixels < 100 else "antialiased"
