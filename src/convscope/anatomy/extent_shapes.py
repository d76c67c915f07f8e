"""Calls that move, join, cut or drop dimensions."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import numpy as np
import torch

from convscope.anatomy.extent import Axis, Extent
from convscope.anatomy.extent_call import Call
from convscope.probe import Ref


def reduction(call: Call) -> Extent:
    """Mean, sum, maximum and the like along dimensions."""
    rank = len(call.input_shape())
    dims = call.argument("dim")
    reduced = {int(dim) % rank for dim in ([dims] if isinstance(dims, int) else dims or range(rank))}
    whole = any(axis.folded in reduced or (axis.dim in reduced and len(axis.low) > 1) for axis in call.first.axes)
    notes = ("global pooling",) if whole else ()
    if not call.argument("keepdim", default=False):
        dropped = call.first.moved(lambda dim: None if dim in reduced else dim - sum(d < dim for d in reduced))
        return dropped.noted(*notes)

    def join(axis: Axis, dim: int) -> Axis:
        return replace(axis.everything(keep=False), dim=dim) if dim in reduced else axis

    return call.first.mixed(reduced).along(join, *notes)


def reshape(call: Call) -> Extent:
    """View, flatten, unflatten: positions stay told apart, are folded into a longer dimension, or are split."""
    before, after = call.input_shape(), call.shape

    def move(axis: Axis) -> Axis:
        dim = axis.dim if axis.folded is None else axis.folded
        if dim is None:
            return axis
        to, into = _place(before, after, dim)
        if axis.folded is not None:
            return replace(axis, folded=into if to is None else to)
        if to is not None:
            return replace(axis, dim=to)
        return replace(axis.everything(keep=False), folded=into if len(axis.low) > 1 else None)

    found = replace(call.first, rows=move(call.first.rows), columns=move(call.first.columns))
    if any(old.has_positions and not new.has_positions for old, new in zip(call.first.axes, found.axes, strict=True)):
        return found.noted("positions split by a reshape: not followed, taken to see all of them", exact=False)
    return found


def _place(before: tuple[int, ...], after: tuple[int, ...], dim: int) -> tuple[int | None, int | None]:
    """Where a dimension is after a reshape, and which dimension of the new shape holds all of it; None for nowhere."""
    ahead, length = math.prod(before[:dim]), before[dim]
    starts = [math.prod(after[:d]) for d in range(len(after))]
    around = [d for d, extent in enumerate(after) if starts[d] <= ahead and starts[d] * extent >= ahead * length]
    same = [d for d in around if starts[d] == ahead and after[d] == length]
    return (same[-1] if same else None), (around[-1] if around else None)


def permute(call: Call) -> Extent:
    """Dimensions in another order, however that is spelled: the call is shown a tensor with numbered dimensions."""
    numbered = torch.empty(tuple(range(1, len(call.shape) + 1)), device="meta")
    order = [extent - 1 for extent in call.step.function(numbered, *call.step.args[1:], **call.step.kwargs).shape]
    return call.first.moved(order.index)


def unsqueeze(call: Call) -> Extent:
    """A new dimension of length 1."""
    at = int(call.argument("dim")) % len(call.shape)
    return call.first.moved(lambda dim: dim + (dim >= at))


def squeeze(call: Call) -> Extent:
    """Dimensions of length 1 dropped."""
    shape = call.input_shape()
    dims = call.argument("dim", range(len(shape)))
    asked = {int(dim) % len(shape) for dim in ([dims] if isinstance(dims, int) else dims)}
    gone = {dim for dim in asked if shape[dim] == 1}
    return call.first.moved(lambda dim: None if dim in gone else dim - sum(other < dim for other in gone))


def cut(call: Call) -> Extent:
    """``x[..., start:end:step]`` along one dimension."""
    dim, step = int(call.argument("dim", 0)) % len(call.input_shape()), int(call.argument("step", 1))
    start, end = call.argument("start"), call.argument("end")
    if isinstance(start, Ref) or isinstance(end, Ref):
        return call.unknown()
    return _picked(call.first, dim, range(call.input_shape()[dim])[start:end:step])


def select(call: Call) -> Extent:
    """``x[..., index]``: one index of a dimension, which goes."""
    shape = call.input_shape()
    dim, index = int(call.argument("dim")) % len(shape), call.argument("index")
    if isinstance(index, Ref):
        return call.unknown()
    if any(axis.folded == dim for axis in call.first.axes):
        return call.unknown()
    picked = _picked(call.first, dim, range(index % shape[dim], index % shape[dim] + 1))
    return picked.moved(lambda old: None if old == dim else old - (old > dim))


def _picked(extent: Extent, dim: int, index: range) -> Extent:
    def pick(axis: Axis, own: int) -> Axis:
        if own != dim:
            return axis
        return axis.window(
            np.array(index, dtype=np.int64)[:, None], grow=0, shift=float(index.start), scale=float(index.step)
        )

    return extent.along(pick)


def split(call: Call) -> Extent:
    """Pieces, told apart by getitem; along channels all of them see the same."""
    dim = int(call.argument("dim", 0)) % len(call.input_shape())
    if any(dim in (axis.dim, axis.folded) for axis in call.first.axes):
        return call.unknown()
    return call.first.moved(lambda old: old - (old > dim)) if call.step.op == "unbind" else call.first


def concatenate(call: Call) -> Extent:
    """Joined along channels, what positions see is joined; along an image axis, positions follow each other."""
    dim = int(call.argument("dim", 0)) % len(call.shape)
    tensors = call.argument("tensors")
    parts = [call.known[item.name] for item in tensors if item.name in call.known]
    along = [axis.dim for axis in parts[0].axes]
    if dim not in along:
        return reduce(Extent.union, parts)
    if len(parts) < len(tensors) or any([axis.dim for axis in part.axes] != along for part in parts):
        return call.unknown()  # constants among the positions
    which = along.index(dim)
    across = [part.axes[1 - which] for part in parts]
    axes = [_lined_up([part.axes[which] for part in parts]), reduce(Axis.union, across)]
    found = replace(parts[0], rows=axes[which], columns=axes[1 - which])
    found = found.noted(*(note for part in parts for note in part.notes), exact=all(part.exact for part in parts))
    if all(axes[1].within(axis) for axis in across):
        return found
    return found.noted("maps with different fields joined along an image axis: boxes may be too large", exact=False)


def _lined_up(pieces: Sequence[Axis]) -> Axis:
    low, high = (np.concatenate([getattr(piece, end) for piece in pieces]) for end in ("low", "high"))
    return replace(pieces[0], low=low, high=high, size=max(piece.size for piece in pieces))


def stack(call: Call) -> Extent:
    """Joined along a new dimension."""
    at = int(call.argument("dim", 0)) % len(call.shape)
    return reduce(Extent.union, (call.known[name].moved(lambda dim: dim + (dim >= at)) for name in call.operands))


def exchanged(call: Call) -> Extent:
    """Flip and roll: indices are exchanged along dimensions."""
    rank = len(call.shape)
    dims = [int(dim) % rank for dim in call.argument("dims") or []]
    if call.step.op == "roll" and not dims:
        return call.unknown()
    shifts = dict(zip(dims, call.argument("shifts") or [0] * len(dims), strict=True))

    def exchange(axis: Axis, dim: int) -> Axis:
        if dim not in shifts:
            return axis
        index = np.arange(len(axis.low))
        order = index[::-1] if call.step.op == "flip" else np.roll(index, shifts[dim])
        return replace(axis, low=axis.low[order], high=axis.high[order])

    return call.first.along(exchange)


def pixel_shuffle(call: Call) -> Extent:
    """Channels become positions within each position."""
    factor = int(call.argument("upscale_factor"))

    def spread(axis: Axis, _: int) -> Axis:
        taps = np.arange(len(axis.low) * factor)[:, None] // factor
        return axis.window(taps, grow=0, shift=0.5 / factor - 0.5, scale=1 / factor)

    return call.first.along(spread)


def pixel_unshuffle(call: Call) -> Extent:
    """Neighboring positions become channels."""
    factor = int(call.argument("downscale_factor"))

    def gather(axis: Axis, _: int) -> Axis:
        taps = np.arange(len(axis.low)).reshape(-1, factor)
        return axis.window(taps, grow=factor - 1, shift=(factor - 1) / 2, scale=float(factor))

    return call.first.along(gather)


def same(call: Call) -> Extent:
    """Positions stay where they are."""
    return call.first
