"""Index boxes: what each position of a value can see of the input, propagated call by call.

For each of the two image axes a value carries, per index, the lowest and highest input pixel it depends on (exact, cut
at the picture's border), and the nominal grid (size, stride, center of index 0) that ignores borders. Rows and columns
never mix in the calls of a convolutional network, so the box of a position is the product of its two intervals.
"""

from collections.abc import Sequence
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
    """

    dim: int | None
    low: Indices
    high: Indices
    size: float
    stride: float
    start: float
    pixels: int

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

    def window(self, taps: Indices, *, grow: float, shift: float, scale: float) -> "Axis":
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

    def everything(self, *, keep: bool) -> "Axis":
        """See all that any index sees: one index if not ``keep``, else the same number, each with all."""
        low, high = self.low.min(keepdims=True), self.high.max(keepdims=True)
        if keep:
            low, high = np.repeat(low, len(self.low)), np.repeat(high, len(self.high))
        return replace(self, dim=self.dim if keep else None, low=low, high=high, size=np.inf)

    def union(self, other: "Axis") -> "Axis":
        """Join with the same axis of another operand; a single index is broadcast."""
        count = max(len(self.low), len(other.low))
        local, wide = (self, other) if _grid_rank(self) >= _grid_rank(other) else (other, self)
        size, start = local.size, local.start
        if not np.isinf(wide.size) and wide.stride == local.stride:
            first = min(a.start - (a.size - 1) / 2 for a in (self, other))
            last = max(a.start + (a.size - 1) / 2 for a in (self, other))
            size, start = last - first + 1, (first + last) / 2
        elif np.isinf(wide.size):
            size = np.inf
        else:
            size = max(size, wide.size)
        return replace(
            local,
            dim=self.dim if self.dim is not None else other.dim,
            low=np.minimum(*(np.broadcast_to(axis.low, count) for axis in (self, other))),
            high=np.maximum(*(np.broadcast_to(axis.high, count) for axis in (self, other))),
            size=size,
            start=start,
        )


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

    def with_axes(self, rows: Axis, columns: Axis, *notes: str, exact: bool = True) -> "Extent":
        """The same with other axes, and anything to note."""
        added = tuple(note for note in notes if note not in self.notes)
        return Extent(rows, columns, self.exact and exact, self.notes + added)

    def union(self, other: "Extent") -> "Extent":
        """Join two operands."""
        return Extent(
            self.rows.union(other.rows),
            self.columns.union(other.columns),
            self.exact and other.exact,
            tuple(dict.fromkeys((*self.notes, *other.notes))),
        )


def window_taps(length: int, out: int, *, kernel: int, stride: int, padding: int, dilation: int) -> Indices:
    """Input indices that each output index of a sliding window reads: (out, kernel), −1 in the padding."""
    taps = np.arange(out)[:, None] * stride - padding + np.arange(kernel)[None, :] * dilation
    return np.where((taps >= 0) & (taps < length), taps, -1)


def pairs_to_taps(out: int, pairs: Sequence[tuple[int, int]]) -> Indices:
    """Turn (output index, input index) pairs into taps: (out, k), −1 where there are fewer than k."""
    found: list[list[int]] = [[] for _ in range(out)]
    for target, source in pairs:
        if 0 <= target < out:
            found[target].append(source)
    width = max(1, *(len(sources) for sources in found)) if found else 1
    return np.array([sources + [-1] * (width - len(sources)) for sources in found], dtype=np.int64).reshape(out, width)
