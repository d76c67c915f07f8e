"""Many small labelled pictures drawn as one image: hundreds of tiles cost what one costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil

from convscope.plot.lettering import ellipsize, width
from convscope.plot.sheet import FAINT, Sheet, line_height

DPI = 200
"""Pixels per inch at which tiles are put together."""

_LABEL = 5.5
_GAP = 0.04
_FEWEST = 8
"""Columns of a grid, if it has so many tiles: fewer would make them larger than they need to be."""

_WIDEST = 1.1
"""Width of a tile, in inches."""


@dataclass(frozen=True)
class Grid:
    """Where tiles stand: in rows from the top left.

    Attributes:
        count: of tiles.
        columns: tiles per row.
        width: of a tile, in inches.
        height: of a tile, in inches.
        lines: of text below each tile.
    """

    count: int
    columns: int
    width: float
    height: float
    lines: int = 1

    @classmethod
    def inside(
        cls, count: int, reach: float, aspect: float = 1.0, *, columns: int | None = None, lines: int = 1
    ) -> "Grid":
        """Fit tiles of a given height / width into ``reach`` inches, in a grid about as high as wide."""
        columns = min(count, columns or max(_FEWEST, ceil(sqrt(count * aspect))))
        tile = min((reach + _GAP) / columns - _GAP, _WIDEST)
        return cls(count, columns, tile, tile * aspect, lines)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return ceil(self.count / self.columns)

    @property
    def reach(self) -> float:
        """Width of the whole grid, in inches."""
        return self.columns * (self.width + _GAP) - _GAP

    @property
    def row(self) -> float:
        """Height of a row with its labels, in inches."""
        return self.height + self.lines * line_height(_LABEL) + _GAP

    @property
    def total(self) -> float:
        """Height of the whole grid, in inches."""
        return self.rows * self.row

    def place(self, index: int) -> tuple[float, float]:
        """(left, top) of a tile from the grid's own corner, in inches."""
        return index % self.columns * (self.width + _GAP), index // self.columns * self.row


def draw_tiles(
    sheet: Sheet,
    left: float,
    top: float,
    grid: Grid,
    *,
    pictures: Sequence[NDArray[np.float64]],
    labels: Sequence[Sequence[str]],
) -> None:
    """Draw tiles with labels below each.

    Args:
        sheet: to draw on.
        left: of the grid, in inches.
        top: of the grid, in inches.
        grid: where each stands.
        pictures: one (h, w, 3) in [0, 1] per tile.
        labels: lines of text per tile, at most ``grid.lines``; labels that are wider than their tile are cut.
    """
    canvas = np.ones((_pixels(grid.total), _pixels(grid.reach), 3))
    for index, tile in enumerate(pictures):
        x, y = (round(inches * DPI) for inches in grid.place(index))
        part = fitted(tile, (_pixels(grid.height), _pixels(grid.width)))
        part = part[: canvas.shape[0] - y, : canvas.shape[1] - x]
        canvas[y : y + part.shape[0], x : x + part.shape[1]] = part
    sheet.pixels(left, top, canvas.shape[1] / DPI, canvas.shape[0] / DPI, canvas)
    for index, lines in enumerate(labels):
        across, down = grid.place(index)
        below = top + down + grid.height
        for line in lines[: grid.lines]:
            words = line if width(line, _LABEL) <= grid.width else ellipsize(line, grid.width, _LABEL)
            below = sheet.text(left + across + grid.width / 2, below, words, size=_LABEL, color=FAINT, align="center")


def fitted(picture: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Resample a (h, w, 3) picture to a size in pixels: enlarged pixel by pixel, or averaged down."""
    rows, columns = size
    if picture.shape[0] <= rows and picture.shape[1] <= columns:
        down = np.arange(rows) * picture.shape[0] // rows
        across = np.arange(columns) * picture.shape[1] // columns
        return np.asarray(picture[down][:, across])
    planes = [
        Pil.fromarray(picture[..., c].astype(np.float32)).resize((columns, rows), Pil.Resampling.BOX) for c in range(3)
    ]
    return np.stack([np.asarray(plane, dtype=np.float64) for plane in planes], axis=2)


def _pixels(inches: float) -> int:
    return max(1, round(inches * DPI))
