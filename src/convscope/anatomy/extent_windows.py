"""Calls that slide windows: convolution, pooling, interpolation, padding."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from convscope.anatomy.extent import Axis, Extent, taps_of
from convscope.anatomy.extent_call import Call, Rule, pair


def convolution(call: Call) -> Extent:
    """A window as large as the weights."""
    kernel = list(call.input_shape(1)[2:])
    padding, dilation = call.argument("padding", 0), call.argument("dilation", 1)
    if isinstance(padding, str):
        # "same" puts the odd pixel at the end, so the start is the smaller half.
        padding = [(pair(dilation, i) * (k - 1)) // 2 if padding == "same" else 0 for i, k in enumerate(kernel)]
    return _window(call, kernel, call.argument("stride", 1), padding, dilation)


def pooling(call: Call) -> Extent:
    """Max and average pooling. In three dimensions too: local response normalization pools over channels."""
    kernel = call.argument("kernel_size")
    kernel = [kernel] * (3 if call.step.op == "avg_pool3d" else 2) if isinstance(kernel, int) else list(kernel)
    stride = call.argument("stride") or kernel
    return _window(call, kernel, stride, call.argument("padding", 0), call.argument("dilation", 1))


def _window(call: Call, kernel: list[int], stride: Any, padding: Any, dilation: Any) -> Extent:  # noqa: ANN401 - see ``pair``
    ahead = len(call.shape) - len(kernel)  # dimensions that the window does not slide along
    if not call.alone or any(axis.dim is not None and axis.dim < ahead for axis in call.first.axes):
        return call.unknown()

    def slide(axis: Axis, dim: int) -> Axis:
        k, s, p, d = (pair(value, dim - ahead) for value in (kernel, stride, padding, dilation))
        taps = np.arange(call.shape[dim])[:, None] * s - p + np.arange(k)[None, :] * d
        taps = np.where((taps >= 0) & (taps < len(axis.low)), taps, -1)
        return axis.window(taps, grow=d * (k - 1), shift=d * (k - 1) / 2 - p, scale=float(s))

    return call.first.along(slide)


def adaptive_pooling(call: Call) -> Extent:
    """Windows of (nearly) equal size that cover the map; one that covers it alone is global pooling."""

    def slide(axis: Axis, dim: int) -> Axis:
        length, out = len(axis.low), call.shape[dim]
        spans = [range(i * length // out, math.ceil((i + 1) * length / out)) for i in range(out)]
        taps = taps_of(out, ((i, j) for i, span in enumerate(spans) for j in span))
        widest = max(map(len, spans))
        pooled = axis.window(taps, grow=widest - 1, shift=(len(spans[0]) - 1) / 2, scale=length / out)
        return replace(pooled, size=np.inf) if out == 1 < length else pooled

    whole = any(axis.dim is not None and call.shape[axis.dim] == 1 < len(axis.low) for axis in call.first.axes)
    return call.first.along(slide, *(("global pooling",) if whole else ()))


def transposed_convolution(call: Call) -> Extent:
    """Each input index paints a window of output indices."""
    if not call.alone:
        return call.unknown()
    kernel, ahead = call.input_shape(1)[2:], len(call.shape) - 2
    options = [call.argument(*named) for named in (("stride", 1), ("padding", 0), ("dilation", 1))]

    def paint(axis: Axis, dim: int) -> Axis:
        k, s, p, d = (pair(value, dim - ahead) for value in (kernel, *options))
        pairs = ((i * s - p + d * j, i) for i in range(len(axis.low)) for j in range(k))
        # An output index reads the inputs of one residue of the stride; far from the borders, count the most of any.
        most = max(Counter(d * j % s for j in range(k)).values())
        grow = (most - 1) * d // math.gcd(d, s)
        taps = taps_of(call.shape[dim], pairs)
        return axis.window(taps, grow=grow, shift=(p - d * (k - 1) / 2) / s, scale=1 / s)

    return call.first.along(paint)


Reads = Callable[[int, float, int, bool], list[int]]
"""Output index, step in input indices, input length, whether corners are aligned -> input indices with a weight."""


def upsampling(reads: Reads, spread: int) -> Rule:
    """Interpolation, by what an output index reads and how many indices that spans beyond one."""
    return partial(_interpolated, reads, spread)


def _interpolated(reads: Reads, spread: int, call: Call) -> Extent:
    aligned = bool(call.argument("align_corners", default=False))
    factors = call.argument("scale_factors")

    def stretch(axis: Axis, dim: int) -> Axis:
        length, out = len(axis.low), call.shape[dim]
        # Where a factor is given, torch steps by it, even if the output is a little shorter than length · factor.
        step = 1 / factors[dim - 2] if factors else length / out
        step = (length - 1) / max(out - 1, 1) if aligned else step
        taps = taps_of(out, ((i, j) for i in range(out) for j in reads(i, step, length, aligned)))
        return axis.window(taps, grow=spread, shift=0.0 if aligned else step / 2 - 0.5, scale=step)

    return call.first.along(stretch)


def nearest(index: int, step: float, length: int, aligned: bool) -> list[int]:
    """The index below, as torch counts it (in single precision)."""
    del aligned
    return [min(int(np.float32(index) * np.float32(step)), length - 1)]


def nearest_exact(index: int, step: float, length: int, aligned: bool) -> list[int]:
    """The index whose center is nearest."""
    del aligned
    return [min(int((np.float32(index) + np.float32(0.5)) * np.float32(step)), length - 1)]


def linear(index: int, step: float, length: int, aligned: bool) -> list[int]:
    """The two indices around."""
    return _around(index * step if aligned else max((index + 0.5) * step - 0.5, 0.0), 1, length)


def cubic(index: int, step: float, length: int, aligned: bool) -> list[int]:
    """The four indices around."""
    return _around(index * step if aligned else (index + 0.5) * step - 0.5, 2, length)


def _around(center: float, reach: int, length: int) -> list[int]:
    below = math.floor(center + 1e-9)
    exact = abs(center - below) < 1e-6  # the other weights are zero
    found = [below] if exact else range(below - reach + 1, below + reach + 1)
    return sorted({min(max(index, 0), length - 1) for index in found})


def padding(call: Call) -> Extent:
    """Constants or repeated positions around the map; negative amounts cut it."""
    amounts = list(call.argument("pad") or call.argument("padding"))
    named = {"reflection_pad2d": "reflect", "replication_pad2d": "replicate"}
    mode = named.get(call.step.op) or call.argument("mode", "constant")
    rank = len(call.shape)

    def extend(axis: Axis, dim: int) -> Axis:
        slot = (rank - 1 - dim) * 2  # amounts are listed from the last dimension on
        if slot >= len(amounts):
            return axis
        before, length = int(amounts[slot]), len(axis.low)
        source = _FOLDS[mode](np.arange(call.shape[dim]) - before, length)
        return axis.window(source[:, None], grow=0, shift=float(-before), scale=1.0)

    return call.first.along(extend)


_FOLDS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "constant": lambda index, length: np.where((index >= 0) & (index < length), index, -1),
    "reflect": lambda index, length: length - 1 - np.abs(length - 1 - np.abs(index)),
    "replicate": lambda index, length: np.clip(index, 0, length - 1),
    "circular": lambda index, length: index % length,
}
"""Which index of the map each index of the padded map shows; −1 for none."""
