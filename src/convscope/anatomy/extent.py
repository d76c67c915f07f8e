"""Index boxes: what each position of a value can see of the input, propagated call by call.

For each of the two image axes a value carries, per index, the lowest and highest input pixel it depends on (exact, cut
at the picture's border), and the nominal grid (size, stride, center of index 0) that ignores borders. Rows and columns
never mix in the calls of a convolutional network, so the box of a position is the product of its two intervals.
"""

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

NOTHING_LOW = np.iinfo(np.int64).max
"""Low end of an empty interval (a window that lies in the padding alone); its high end is -1."""


@dataclass(frozen=True, eq=False)
class Axis:
    """What the indices along one image axis of a value can see.

    Attributes:
        dim: the value's dimension that runs along this axis, from 0; None where it was summed over or flattened away.
        low: first input pixel per index (one entry where ``dim`` is None).
        high: last input pixel per index, inclusive.
        size: nominal extent of the receptive field in pixels; infinite where everything is seen.
        stride: pixels between the centers of neighboring indices.
        start: center of index 0, in pixels; may be negative.
        pixels: number of input pixels along this axis.
        folded: where ``dim`` is None, the dimension into which the positions were folded (``flatten``): together they
            see what the one entry says, each alone may see less. None where there are no such positions.
    """

    dim: int | None
    low: Indices
    high: Indices
    size: float
    stride: float
    start: float
    pixels: int
    folded: int | None = None

    @staticmethod
    def of_input(dim: int, pixels: int) -> "Axis":
        """Every pixel sees itself."""
        index = np.arange(pixels)
        return Axis(dim, index, index.copy(), 1.0, 1.0, 0.0, pixels)

    def gather(self, taps: Indices) -> tuple[Indices, Indices]:
        """Combine the boxes of tapped indices: ``taps`` is (out, k), −1 where a tap hits nothing."""
        low = np.where(taps >= 0, self.low[taps], NOTHING_LOW)
        high = np.where(taps >= 0, self.high[taps], -1)
        return low.min(axis=1), high.max(axis=1)

    def window(self, taps: Indices, *, grow: int, shift: float, scale: float) -> "Axis":
        """Slide a window: exact boxes from the taps, nominal grid from how it grows, shifts and scales (in indices)."""
        low, high = self.gather(taps)
        return replace(
            self,
            low=low,
            high=high,
            size=self.size + grow * self.stride,
            start=self.start + shift * self.stride,
            stride=self.stride * scale,
        )

    def repeated(self, count: int) -> "Axis":
        """Repeat a single index (broadcasting)."""
        if len(self.low) == count:
            return self
        return replace(self, low=np.repeat(self.low, count), high=np.repeat(self.high, count))

    def everything(self, *, keep: bool) -> "Axis":
        """See all that any index sees: one index in the middle if not ``keep``, else the same number, each with all."""
        low, high = self.low.min(keepdims=True), self.high.max(keepdims=True)
        count = len(self.low)
        size = self.size if count == 1 else np.inf
        if keep:
            return replace(self, low=np.repeat(low, count), high=np.repeat(high, count), size=size, folded=None)
        start = self.start + (count - 1) / 2 * self.stride
        return replace(self, dim=None, low=low, high=high, size=size, start=start, folded=None)

    def union(self, other: "Axis") -> "Axis":
        """Join with the same axis of another operand; a single index is broadcast."""
        count = max(len(self.low), len(other.low))
        local, wide = (self, other) if _grid_rank(self) >= _grid_rank(other) else (other, self)
        size, start = max(local.size, wide.size), local.start
        if np.isfinite(size) and wide.stride == local.stride:
            first = min(axis.start - (axis.size - 1) / 2 for axis in (self, other))
            last = max(axis.start + (axis.size - 1) / 2 for axis in (self, other))
            size, start = last - first + 1, (first + last) / 2
        return replace(
            local,
            dim=self.dim if self.dim is not None else other.dim,
            low=np.minimum(*(np.broadcast_to(axis.low, count) for axis in (self, other))),
            high=np.maximum(*(np.broadcast_to(axis.high, count) for axis in (self, other))),
            size=size,
            start=start,
            folded=self.folded if self.folded is not None else other.folded,
        )

    @property
    def has_positions(self) -> bool:
        """Whether positions along this axis are told apart in some dimension."""
        return self.folded is not None or (self.dim is not None and len(self.low) > 1)

    @property
    def blind(self) -> bool:
        """Whether some index sees nothing."""
        return bool((self.high < self.low).any())

    def within(self, other: "Axis") -> bool:
        """Whether every index sees no more than the other's."""
        return bool(((self.low >= other.low) & (self.high <= other.high)).all())


def _grid_rank(axis: Axis) -> tuple[bool, int]:
    # Which operand's grid names the positions: one that still has positions, and more of them.
    return (axis.dim is not None and len(axis.low) > 1, not np.isinf(axis.size))


@dataclass(frozen=True, eq=False)
class Extent:
    """What a value can see along rows and columns.

    Attributes:
        rows: along the height of the picture.
        columns: along its width.
        exact: False where a call was met that is only known to see at most everything.
        notes: what made the field the whole picture, or inexact.
    """

    rows: Axis
    columns: Axis
    exact: bool = True
    notes: tuple[str, ...] = ()

    @property
    def axes(self) -> tuple[Axis, Axis]:
        """Rows and columns."""
        return self.rows, self.columns

    @property
    def transposed(self) -> bool:
        """Whether the value's columns run along the picture's rows."""
        return None not in (self.rows.dim, self.columns.dim) and (self.rows.dim or 0) > (self.columns.dim or 0)

    def along(self, change: Callable[[Axis, int], Axis], *notes: str) -> "Extent":
        """Change the axes that still have positions; ``change`` sees the axis and its dimension."""
        rows, columns = (axis if axis.dim is None else change(axis, axis.dim) for axis in self.axes)
        return replace(self, rows=rows, columns=columns).noted(*notes)

    def moved(self, dims: Callable[[int], int | None]) -> "Extent":
        """Rename the dimensions; one that goes to None is mixed away, and what its positions see is joined."""

        def move(axis: Axis) -> Axis:
            if axis.folded is not None:
                return replace(axis, folded=dims(axis.folded))
            if axis.dim is None:
                return axis
            target = dims(axis.dim)
            return axis.everything(keep=False) if target is None else replace(axis, dim=target)

        return replace(self, rows=move(self.rows), columns=move(self.columns))

    def mixed(self, dims: Container[int]) -> "Extent":
        """Let every index along these dimensions see what all of them see."""

        def mix(axis: Axis) -> Axis:
            if axis.folded in dims:
                return replace(axis, folded=None)
            return axis.everything(keep=True) if axis.dim in dims else axis

        return replace(self, rows=mix(self.rows), columns=mix(self.columns))

    def noted(self, *notes: str, exact: bool = True) -> "Extent":
        """The same with notes or doubts added."""
        return replace(self, exact=self.exact and exact, notes=tuple(dict.fromkeys((*self.notes, *notes))))

    def union(self, other: "Extent") -> "Extent":
        """Join two operands."""
        if any(None not in (a.dim, b.dim) and a.dim != b.dim for a, b in zip(self.axes, other.axes, strict=True)):
            flat = [part.along(lambda axis, _: axis.everything(keep=False)) for part in (self, other)]
            return flat[0].union(flat[1]).noted("joined with its own transpose: not followed", exact=False)
        joined = Extent(self.rows.union(other.rows), self.columns.union(other.columns), self.exact, self.notes)
        if self.overstates(other) or other.overstates(self):
            joined = joined.noted("some units of a branch see only padding: boxes may be too large", exact=False)
        return joined.noted(*other.notes, exact=other.exact)

    def overstates(self, other: "Extent") -> bool:
        """Whether a union of boxes is too large: where a part is blind along one axis, the other should not count."""
        return (self.columns.blind and not self.rows.within(other.rows)) or (
            self.rows.blind and not self.columns.within(other.columns)
        )


def taps_of(out: int, pairs: Iterable[tuple[int, int]]) -> Indices:
    """Turn (output index, input index) pairs into taps: (out, k), −1 where an output has fewer than k."""
    found: list[list[int]] = [[] for _ in range(out)]
    for target, source in pairs:
        if 0 <= target < out:
            found[target].append(source)
    width = max(1, *(len(sources) for sources in found))
    return np.array([sources + [-1] * (width - len(sources)) for sources in found], dtype=np.int64)
