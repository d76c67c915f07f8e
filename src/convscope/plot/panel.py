"""What figures of heatmaps share: a fitted picture, an annotated bare map, a color bar with its label."""

from dataclasses import dataclass

import numpy as np
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from convscope.plot.lettering import width, wrap
from convscope.plot.scale import Scale
from convscope.plot.sheet import BAR, FAINT, Sheet, line_height
from convscope.plot.words import map_note, scale_words
from convscope.results import Attribution

SMALL = 6.5
"""Font size of captions, in points."""

_LABEL_LINES = 5


@dataclass(frozen=True)
class Fit:
    """The size in inches at which pictures of one shape are drawn.

    Attributes:
        width: at most the column's.
        height: at most ``tallest``.
    """

    width: float
    height: float

    @classmethod
    def inside(cls, column: float, shape: tuple[int, int], *, tallest: float) -> "Fit":
        """Fit pictures of (h, w) pixels into a column, aspect kept."""
        rows, columns = shape
        factor = min(column / columns, tallest / rows)
        return cls(columns * factor, rows * factor)


@dataclass(frozen=True)
class Column:
    """One method in a figure: its attribution, its scale and where it stands.

    Attributes:
        attribution: over all images.
        scale: shared by all images.
        left: in inches.
        width: in inches.
    """

    attribution: Attribution
    scale: Scale
    left: float
    width: float

    def values(self, index: int) -> NDArray[np.float32]:
        """Return the bare map of one image, (h, w)."""
        values: NDArray[np.float32] = self.attribution.maps[index].numpy()
        return values

    def draw_map(self, sheet: Sheet, top: float, fit: Fit, index: int) -> None:
        """Place one bare map, and over it what a reader must know first."""
        sheet.map(self.left, top, fit.width, fit.height, values=self.values(index), scale=self.scale)
        note = map_note(self.attribution, index)
        if note:
            lines = wrap(note, fit.width - 0.2, SMALL, lines=4)
            height = len(lines) * line_height(SMALL)
            start, reach = top + (fit.height - height) / 2, max(width(line, SMALL) for line in lines)
            plate = sheet.axes(self.left + (fit.width - reach) / 2 - 0.06, start - 0.03, reach + 0.12, height + 0.06)
            plate.add_patch(Rectangle((0, 0), 1, 1, facecolor="white", edgecolor="none", alpha=0.85))
            sheet.text(self.left + fit.width / 2, start, lines, size=SMALL, align="center")

    def draw_color_bar(self, sheet: Sheet, top: float) -> None:
        """Place the color bar with its label."""
        below = sheet.color_bar(self.left, top, self.width, self.scale)
        sheet.text(self.left, below, self.label_lines, size=SMALL, color=FAINT)

    @property
    def label_lines(self) -> list[str]:
        """The wrapped label of the color bar."""
        return wrap(scale_words(self.attribution, self.scale), self.width, SMALL, lines=_LABEL_LINES)

    @property
    def color_bar_height(self) -> float:
        """What ``draw_color_bar`` needs, in inches."""
        return BAR + 0.03 + (1 + len(self.label_lines)) * line_height(SMALL)
