"""From raw values to colors: one scale per method, shared by all its images, so that they can be compared."""

from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Colormap, ListedColormap, Normalize
from numpy.typing import NDArray

from convscope.results import Attribution

# Odd, so that a signed scale has a middle level and zero is exactly neutral; and below 256, so that a palette
# picture has one entry left for values that are not finite.
LEVELS = 255
NOT_FINITE = LEVELS
_NOT_FINITE_COLOR = (0.45, 0.45, 0.45)

# A few hot pixels must not turn the rest of a gradient map dark. What is clipped is said at the color bar.
PERCENTILE = 99.5

# Unsigned maps: inferno. Like viridis and cividis it is perceptually uniform with lightness rising all the way,
# so that it survives color blindness and gray printing. Of the three it is the one without blues and greens in
# its upper half, and so reads as heat when it is laid over a gray picture.
_SEQUENTIAL = "inferno"

# Signed maps: ColorBrewer's red-blue, red for evidence in favor. Protanopes, deuteranopes and tritanopes alike
# tell red from blue (and not red from green); lightness falls evenly to both sides of white zero. The last 8 % of
# either end are nearly black, and lose their hue on a picture: they are cut off.
_DIVERGING = "RdBu_r"
_DIVERGING_CUT = 0.08


@dataclass(frozen=True)
class Scale:
    """How raw values of one method become colors, the same for all its images.

    Attributes:
        limit: the |value| at and above which the color is at its end; 0 if every value is zero.
        peak: the largest |value| there is.
        signed: colors run from −limit over neutral zero to +limit, or from 0 to limit.
    """

    limit: float
    peak: float
    signed: bool

    @property
    def clipped(self) -> bool:
        """Whether some values lie beyond the end of the color bar."""
        return self.peak > self.limit

    @property
    def low(self) -> float:
        """The value at the lower end of the color bar."""
        return -self.limit if self.signed else 0.0

    @property
    def ticks(self) -> tuple[float, float, float]:
        """Lower end, middle and upper end of the color bar."""
        return self.low, (self.low + self.limit) / 2, self.limit

    @property
    def colormap(self) -> Colormap:
        """The colors of the levels, for matplotlib."""
        return ListedColormap(self.palette[:LEVELS]).with_extremes(bad=_NOT_FINITE_COLOR)

    @property
    def norm(self) -> Normalize:
        """Values to [0, 1], for matplotlib. A scale of zeros maps zero where a longer scale would."""
        top = self.limit or 1.0
        return Normalize(-top if self.signed else 0.0, top, clip=True)

    @property
    def palette(self) -> NDArray[np.float64]:
        """RGB in [0, 1] of every level, and of values that are not finite: (LEVELS + 1, 3)."""
        cut = _DIVERGING_CUT if self.signed else 0.0
        name = _DIVERGING if self.signed else _SEQUENTIAL
        table = mpl.colormaps[name](np.arange(256))[:, :3]
        # Between the entries of matplotlib's table, so that no two levels share a color.
        place = np.linspace(cut, 1 - cut, LEVELS) * 255
        colors = np.stack([np.interp(place, np.arange(256), channel) for channel in table.T], axis=1)
        return np.vstack([colors, _NOT_FINITE_COLOR])

    @property
    def strength(self) -> NDArray[np.float64]:
        """|value| / limit of every level, in [0, 1], and 1 for values that are not finite: (LEVELS + 1,)."""
        position = np.linspace(-1.0 if self.signed else 0.0, 1.0, LEVELS)
        return np.append(np.abs(position), 1.0)

    def levels(self, values: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the level of each value, 0 to LEVELS − 1, and NOT_FINITE where there is none."""
        finite = np.isfinite(values)
        position = np.asarray(self.norm(np.where(finite, values, 0.0)), dtype=np.float64)
        level = np.minimum(position * LEVELS, LEVELS - 1).astype(np.uint8)
        return np.where(finite, level, np.uint8(NOT_FINITE)).astype(np.uint8)

    def rgb(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the color of each value: (...) to (..., 3) in [0, 1]."""
        return self.palette[self.levels(values)]


def shared_scale(attribution: Attribution) -> Scale:
    """Return the one scale for all images of an attribution: it ends at the 99.5th percentile of all |values|.

    Maps that are zero almost everywhere keep their maximum as the end; maps that are zero everywhere get
    ``limit`` 0 and are never blown up. Maps that claim no sign, yet have negative values, are shown with theirs.
    """
    maps = attribution.maps.numpy()
    values = maps[np.isfinite(maps)]
    if values.size == 0:
        return Scale(limit=0.0, peak=0.0, signed=attribution.signed)
    size = np.abs(values)
    peak = float(size.max())
    limit = float(np.percentile(size, PERCENTILE))
    return Scale(limit=limit or peak, peak=peak, signed=attribution.signed or bool((values < 0).any()))
