"""How each ATen call moves index boxes: one rule per family of calls.

A rule sees the step and the extents of its operands and returns the extent of its value. Calls that are in no table
are taken to see everything, and the extent says so.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from convscope.anatomy.extent import Axis, Extent, pairs_to_taps, window_taps
from convscope.probe import Graph, Ref, Step

Known = Mapping[str, Extent]
Rule = Callable[[Step, Known, Graph], Extent]


def propagate(step: Step, known: Known, graph: Graph) -> Extent | None:
    """Return what the step's value can see, or None where it does not depend on the picture."""
    if step.op.startswith("sym_") or not any(name in known for name in step.inputs):
        return None  # a size, or a constant
    rule = RULES.get(step.op)
    if rule is None:
        return _unknown(step, known, graph)
    return rule(step, known, graph)


# What an argument is called, in ATen's own order.


def _argument(step: Step, index: int, name: str, default: Any) -> Any:  # noqa: ANN401 - arguments of ATen calls
    if name in step.kwargs:
        return step.kwargs[name]
    return step.args[index] if len(step.args) > index else default


def _pair(value: Any, axis: int) -> int:  # noqa: ANN401 - an int, or a list of one or two
    values = [value] if isinstance(value, int) else list(value)
    return int(values[axis] if len(values) > 1 else values[0])


def _first(step: Step, known: Known) -> Extent:
    return known[next(name for name in step.inputs if name in known)]


def _input_shape(graph: Graph, name: str) -> tuple[int, ...]:
    return graph.by_name[name].shape if name in graph.by_name else graph.shapes[name]


def _operands(step: Step, known: Known) -> list[str]:
    return [name for name in dict.fromkeys(step.inputs) if name in known]


def _moved(extent: Extent, dims: Callable[[int], int | None]) -> Extent:
    """Rename the dimensions; a dimension that goes to None is collapsed."""

    def move(axis: Axis) -> Axis:
        if axis.dim is None:
            return axis
        target = dims(axis.dim)
        return axis.everything(keep=False) if target is None else replace(axis, dim=target)

    return extent.with_axes(move(extent.rows), move(extent.columns))


# Calls that keep positions apart.


def _pointwise(step: Step, known: Known, graph: Graph) -> Extent:
    rank = len(step.shape)
    total: Extent | None = None
    for name in _operands(step, known):
        offset = rank - len(_input_shape(graph, name))  # operands are aligned at their last dimension
        extent = _moved(known[name], lambda dim, offset=offset: dim + offset)  # type: ignore[misc]
        total = extent if total is None else total.union(extent)
    if total is None:
        raise AssertionError(step.name)
    return _broadcast(total, step)


def _broadcast(extent: Extent, step: Step) -> Extent:
    def stretch(axis: Axis) -> Axis:
        if axis.dim is None or len(axis.low) == step.shape[axis.dim]:
            return axis
        count = step.shape[axis.dim]
        return replace(axis, low=np.broadcast_to(axis.low, count), high=np.broadcast_to(axis.high, count))

    return extent.with_axes(stretch(extent.rows), stretch(extent.columns))


def _linear(step: Step, known: Known, graph: Graph) -> Extent:
    last = len(_input_shape(graph, step.inputs[0])) - 1
    return _moved(_first(step, known), lambda dim: None if dim == last else dim)


def _concatenate(step: Step, known: Known, graph: Graph) -> Extent:
    dim = _argument(step, 1, "dim", 0) % len(step.shape)
    names = [item.name for item in step.args[0] if item.name in known]
    extents = [known[name] for name in names]
    joined = extents[0]
    for extent in extents[1:]:
        joined = joined.union(extent) if all(dim != axis.dim for axis in extent.axes) else joined
    if all(dim != axis.dim for axis in extents[0].axes):
        return joined
    axes = []
    for index in range(2):
        parts = [extent.axes[index] for extent in extents]
        if parts[0].dim == dim and len(names) == len(step.args[0]):
            axes.append(
                replace(
                    parts[0],
                    low=np.concatenate([p.low for p in parts]),
                    high=np.concatenate([p.high for p in parts]),
                )
            )
        elif parts[0].dim == dim:
            return _unknown(step, known, graph)  # constants joined along an image axis
        else:
            merged = parts[0]
            for part in parts[1:]:
                merged = merged.union(part)
            axes.append(merged)
    return joined.with_axes(*axes)


# Calls that slide windows.


def _window(step: Step, known: Known, graph: Graph, kernel: Any, stride: Any, padding: Any, dilation: Any) -> Extent:  # noqa: ANN401
    extent = _first(step, known)
    shape = _input_shape(graph, step.inputs[0])
    axes = []
    for axis in extent.axes:
        if axis.dim is None or axis.dim < len(shape) - 2:
            return _unknown(step, known, graph)
        which = axis.dim - (len(shape) - 2)
        k, s, p, d = (_pair(value, which) for value in (kernel, stride, padding, dilation))
        reach = d * (k - 1)
        taps = window_taps(shape[axis.dim], step.shape[axis.dim], kernel=k, stride=s, padding=p, dilation=d)
        axes.append(axis.window(taps, grow=float(reach), shift=reach / 2 - p, scale=float(s)))
    return extent.with_axes(*axes)


def _convolution(step: Step, known: Known, graph: Graph) -> Extent:
    weight = _input_shape(graph, step.inputs[1])
    kernel = list(weight[2:])
    padding = _argument(step, 4, "padding", 0)
    dilation = _argument(step, 5, "dilation", 1)
    if isinstance(padding, str):
        # "same" puts the odd pixel at the end, so the start is the smaller half.
        padding = [(_pair(dilation, i) * (k - 1)) // 2 if padding == "same" else 0 for i, k in enumerate(kernel)]
    return _window(step, known, graph, kernel, _argument(step, 3, "stride", 1), padding, dilation)


def _pooling(step: Step, known: Known, graph: Graph) -> Extent:
    kernel = step.args[1]
    stride = _argument(step, 2, "stride", []) or kernel
    dilation = _argument(step, 4, "dilation", 1) if step.op.startswith("max_pool") else 1
    return _window(step, known, graph, kernel, stride, _argument(step, 3, "padding", 0), dilation)


def _depth_pooling(step: Step, known: Known, graph: Graph) -> Extent:
    # Local response normalization pools over channels by a 3-D window of height and width 1.
    kernel, stride, padding = (
        step.args[1],
        _argument(step, 2, "stride", []) or step.args[1],
        _argument(step, 3, "padding", 0),
    )
    tail = [list(value)[-2:] if not isinstance(value, int) else value for value in (kernel, stride, padding)]
    return _window(step, known, graph, *tail, 1)


def _adaptive_pooling(step: Step, known: Known, graph: Graph) -> Extent:
    extent = _first(step, known)
    axes = []
    for axis in extent.axes:
        if axis.dim is None:
            return _unknown(step, known, graph)
        length, out = len(axis.low), step.shape[axis.dim]
        spans = [(i * length // out, math.ceil((i + 1) * length / out)) for i in range(out)]
        taps = pairs_to_taps(out, [(i, j) for i, (first, last) in enumerate(spans) for j in range(first, last)])
        widest = max(last - first for first, last in spans)
        moved = axis.window(taps, grow=float(widest - 1), shift=(spans[0][1] - 1) / 2, scale=length / out)
        axes.append(replace(moved, size=np.inf) if out == 1 and length > 1 else moved)
    whole = ("global pooling",) if step.shape[-1] == 1 or step.shape[-2] == 1 else ()
    return extent.with_axes(*axes, *whole)


def _transposed_convolution(step: Step, known: Known, graph: Graph) -> Extent:
    extent = _first(step, known)
    kernel = _input_shape(graph, step.inputs[1])[2:]
    axes = []
    for axis in extent.axes:
        if axis.dim is None:
            return _unknown(step, known, graph)
        which = axis.dim - (len(step.shape) - 2)
        stride, padding = (
            _pair(_argument(step, 3, "stride", 1), which),
            _pair(_argument(step, 4, "padding", 0), which),
        )
        dilation, k = _pair(_argument(step, 7, "dilation", 1), which), kernel[which]
        pairs = [(i * stride - padding + dilation * j, i) for i in range(len(axis.low)) for j in range(k)]
        taps = pairs_to_taps(step.shape[axis.dim], pairs)
        grow = max(0, math.ceil((dilation * (k - 1) + 1) / stride) - 1)
        axes.append(
            axis.window(taps, grow=float(grow), shift=(padding - dilation * (k - 1) / 2) / stride, scale=1 / stride)
        )
    return extent.with_axes(*axes)


def _upsampling(reach: int) -> Rule:
    """Nearest (reach 0), linear (1) or cubic (2) interpolation."""

    def rule(step: Step, known: Known, graph: Graph) -> Extent:
        extent = _first(step, known)
        aligned = bool(reach and _argument(step, 2, "align_corners", False))
        axes = []
        for axis in extent.axes:
            if axis.dim is None:
                return _unknown(step, known, graph)
            length, out = len(axis.low), step.shape[axis.dim]
            ratio = (length - 1) / max(out - 1, 1) if aligned else length / out
            pairs = [(i, j) for i in range(out) for j in _interpolated(i, ratio, length, reach, aligned=aligned)]
            shift = 0.0 if aligned else ratio / 2 - 0.5
            axes.append(
                axis.window(pairs_to_taps(out, pairs), grow=float(max(0, 2 * reach - 1)), shift=shift, scale=ratio)
            )
        return extent.with_axes(*axes)

    return rule


def _interpolated(index: int, ratio: float, length: int, reach: int, *, aligned: bool) -> list[int]:
    if reach == 0:
        return [min(int(index * ratio), length - 1)]
    center = index * ratio if aligned else (index + 0.5) * ratio - 0.5
    if reach == 1:
        center = max(center, 0.0)
    below = math.floor(center + 1e-9)
    exact = abs(center - below) < 1e-6
    taps = [below] if exact else list(range(below - reach + 1, below + reach + 1))
    return sorted({min(max(tap, 0), length - 1) for tap in taps})


def _padding(step: Step, known: Known, graph: Graph) -> Extent:
    extent = _first(step, known)
    amounts, mode = list(step.args[1]), _argument(step, 2, "mode", "constant")
    if step.op in {"reflection_pad2d", "replication_pad2d"}:
        mode = "reflect" if step.op.startswith("reflection") else "replicate"
    rank = len(step.shape)
    axes = []
    for axis in extent.axes:
        slot = None if axis.dim is None else (rank - 1 - axis.dim) * 2
        if axis.dim is None or slot is None or slot >= len(amounts):
            axes.append(axis)
            continue
        before, length = int(amounts[slot]), len(axis.low)
        source = np.arange(step.shape[axis.dim]) - before
        if mode in {"reflect", "replicate", "circular"}:
            folded = {
                "reflect": _reflect,
                "replicate": lambda i, n: np.clip(i, 0, n - 1),
                "circular": lambda i, n: i % n,
            }[mode](source, length)
        else:
            folded = np.where((source >= 0) & (source < length), source, -1)
        axes.append(axis.window(folded[:, None], grow=0.0, shift=-float(before), scale=1.0))
    return extent.with_axes(*axes)


def _reflect(index: np.ndarray, length: int) -> np.ndarray:
    index = np.abs(index)
    return np.where(index >= length, 2 * (length - 1) - index, index)


# Calls that move or drop dimensions.


def _reduction(step: Step, known: Known, graph: Graph) -> Extent:
    shape = _input_shape(graph, step.inputs[0])
    dims = _argument(step, 1, "dim", None)
    dims = range(len(shape)) if dims is None else [dims] if isinstance(dims, int) else dims
    reduced = {dim % len(shape) for dim in dims}
    keep = bool(_argument(step, 2, "keepdim", False))
    extent = _first(step, known)

    def reduce(axis: Axis) -> Axis:
        if axis.dim in reduced:
            whole = axis.everything(keep=False)
            return replace(whole, dim=axis.dim) if keep else whole
        shift = 0 if keep or axis.dim is None else sum(dim < axis.dim for dim in reduced)
        return axis if axis.dim is None else replace(axis, dim=axis.dim - shift)

    whole = any(axis.dim in reduced for axis in extent.axes)
    return extent.with_axes(*(reduce(axis) for axis in extent.axes), *(("global pooling",) if whole else ()))


def _reshape(step: Step, known: Known, graph: Graph) -> Extent:
    before, after = _input_shape(graph, step.inputs[0]), step.shape

    def target(dim: int) -> int | None:
        # A dimension survives where an output dimension has its length and the same number of elements ahead of it.
        ahead = math.prod(before[:dim])
        found = [d for d, extent in enumerate(after) if extent == before[dim] and math.prod(after[:d]) == ahead]
        return found[-1] if found else None

    return _moved(_first(step, known), target)


def _permute(step: Step, known: Known, graph: Graph) -> Extent:
    rank = len(step.shape)
    if step.op == "permute":
        order = [int(dim) % rank for dim in step.args[1]]
    else:
        order = list(range(rank))
        a, b = (int(dim) % rank for dim in (step.args[1:3] if step.op != "t" else (0, 1)))
        order[a], order[b] = order[b], order[a]
    del graph
    return _moved(_first(step, known), order.index)


def _unsqueeze(step: Step, known: Known, graph: Graph) -> Extent:
    del graph
    at = int(step.args[1]) % len(step.shape)
    return _moved(_first(step, known), lambda dim: dim + (dim >= at))


def _squeeze(step: Step, known: Known, graph: Graph) -> Extent:
    shape = _input_shape(graph, step.inputs[0])
    dims = _argument(step, 1, "dim", [d for d, extent in enumerate(shape) if extent == 1])
    dims = {int(dim) % len(shape) for dim in ([dims] if isinstance(dims, int) else dims)}
    gone = {dim for dim in dims if shape[dim] == 1}
    return _moved(_first(step, known), lambda dim: None if dim in gone else dim - sum(other < dim for other in gone))


def _slice(step: Step, known: Known, graph: Graph) -> Extent:
    shape = _input_shape(graph, step.inputs[0])
    dim = _argument(step, 1, "dim", 0) % len(shape)
    begin, end = _argument(step, 2, "start", None) or 0, _argument(step, 3, "end", None)
    if isinstance(begin, Ref) or isinstance(end, Ref):
        return _unknown(step, known, graph)
    index = np.arange(shape[dim])[begin : None if end is None else end : _argument(step, 4, "step", 1)]
    return _picked(_first(step, known), dim, index)


def _select(step: Step, known: Known, graph: Graph) -> Extent:
    shape = _input_shape(graph, step.inputs[0])
    dim, index = int(step.args[1]) % len(shape), step.args[2]
    if isinstance(index, Ref):
        return _unknown(step, known, graph)
    picked = _picked(_first(step, known), dim, np.array([index % shape[dim]]))
    return _moved(picked, lambda old: None if old == dim else old - (old > dim))


def _picked(extent: Extent, dim: int, index: np.ndarray) -> Extent:
    def pick(axis: Axis) -> Axis:
        if axis.dim != dim or not len(index):
            return axis
        step = int(index[1] - index[0]) if len(index) > 1 else 1
        return axis.window(index[:, None], grow=0.0, shift=float(index[0]), scale=float(step))

    return extent.with_axes(pick(extent.rows), pick(extent.columns))


def _split(step: Step, known: Known, graph: Graph) -> Extent:
    # The pieces are told apart by getitem; along channels all of them see the same.
    dim = _argument(step, 1 if step.op == "unbind" else 2, "dim", 0)
    rank = len(_input_shape(graph, step.inputs[0]))
    extent = _first(step, known)
    return _unknown(step, known, graph) if any(axis.dim == dim % rank for axis in extent.axes) else extent


def _same(step: Step, known: Known, graph: Graph) -> Extent:
    del graph
    return _first(step, known)


def _moved_along(step: Step, known: Known, graph: Graph) -> Extent:
    """Flip and roll: indices are exchanged along a dimension."""
    rank = len(step.shape)
    extent = _first(step, known)
    dims = [int(dim) % rank for dim in (step.args[1] if step.op == "flip" else _argument(step, 2, "dims", []))]
    axes = []
    for axis in extent.axes:
        if axis.dim not in dims:
            axes.append(axis)
            continue
        index = np.arange(len(axis.low))
        order = index[::-1] if step.op == "flip" else np.roll(index, int(list(step.args[1])[dims.index(axis.dim)]))
        low, high = axis.gather(order[:, None])
        axes.append(replace(axis, low=low, high=high))
    del graph
    return extent.with_axes(*axes)


def _pixel_shuffle(step: Step, known: Known, graph: Graph) -> Extent:
    del graph
    factor = int(step.args[1])
    extent = _first(step, known)
    axes = []
    for axis in extent.axes:
        length = len(axis.low)
        if step.op == "pixel_shuffle":
            taps = (np.arange(length * factor) // factor)[:, None]
            axes.append(axis.window(taps, grow=0.0, shift=0.5 / factor - 0.5, scale=1 / factor))
        else:
            taps = np.arange(length // factor)[:, None] * factor + np.arange(factor)[None]
            axes.append(axis.window(taps, grow=factor - 1.0, shift=(factor - 1) / 2, scale=float(factor)))
    return extent.with_axes(*axes)


# Calls that mix positions.


def _mixing(what: str, dims: Callable[[Step, int], Sequence[int]]) -> Rule:
    """Calls whose every output along some dimensions sees all inputs along them."""

    def rule(step: Step, known: Known, graph: Graph) -> Extent:
        extent = _pointwise(step, known, graph)
        mixed = {dim % len(step.shape) for dim in dims(step, len(step.shape))}
        touched = any(axis.dim in mixed for axis in extent.axes)
        axes = [axis.everything(keep=True) if axis.dim in mixed else axis for axis in extent.axes]
        return extent.with_axes(*axes, *((what,) if touched else ()))

    return rule


def _attention(step: Step, known: Known, graph: Graph) -> Extent:
    return _everything(step, known, graph, "attention", exact=True)


def _unknown(step: Step, known: Known, graph: Graph) -> Extent:
    return _everything(step, known, graph, f"{step.op}: not followed, taken to see everything", exact=False)


def _everything(step: Step, known: Known, graph: Graph, note: str, *, exact: bool) -> Extent:
    del graph
    names = _operands(step, known)
    extent = known[names[0]]
    whole = [axis.everything(keep=False) for axis in extent.axes]
    for name in names[1:]:
        whole = [a.union(b.everything(keep=False)) for a, b in zip(whole, known[name].axes, strict=True)]
    merged = extent.with_axes(*whole, note, exact=exact)
    return Extent(merged.rows, merged.columns, merged.exact and all(known[n].exact for n in names), merged.notes)


_POINTWISE = (
    "relu relu6 hardtanh leaky_relu elu selu celu silu gelu mish hardswish hardsigmoid sigmoid tanh softplus prelu threshold "
    "log_sigmoid softsign add sub rsub mul div pow sqrt rsqrt exp log neg abs square maximum minimum clamp clamp_min clamp_max "
    "where dropout feature_dropout alpha_dropout batch_norm contiguous clone detach alias to _to_copy type_as lift_fresh_copy "
    "lift_fresh expand expand_as erf sin cos reciprocal sign round floor ceil eq ne gt lt ge le logical_and logical_or logical_not "
    "bitwise_not masked_fill addcmul lerp cumsum native_dropout float half copysign"
).split()

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_POINTWISE, _pointwise),
    **dict.fromkeys(("conv1d", "conv2d"), _convolution),
    **dict.fromkeys(("conv_transpose2d",), _transposed_convolution),
    **dict.fromkeys(("max_pool2d", "avg_pool2d", "max_pool2d_with_indices"), _pooling),
    "avg_pool3d": _depth_pooling,
    **dict.fromkeys(("adaptive_avg_pool2d", "adaptive_max_pool2d"), _adaptive_pooling),
    "upsample_nearest2d": _upsampling(0),
    "upsample_bilinear2d": _upsampling(1),
    "upsample_bicubic2d": _upsampling(2),
    **dict.fromkeys(("pad", "constant_pad_nd", "reflection_pad2d", "replication_pad2d"), _padding),
    **dict.fromkeys(
        (
            "mean",
            "sum",
            "amax",
            "amin",
            "max",
            "min",
            "std",
            "var",
            "logsumexp",
            "norm",
            "linalg_vector_norm",
        ),
        _reduction,
    ),
    **dict.fromkeys(("view", "reshape", "flatten", "unflatten", "_unsafe_view"), _reshape),
    **dict.fromkeys(("permute", "transpose", "t", "swapaxes"), _permute),
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "slice": _slice,
    "select": _select,
    **dict.fromkeys(("split", "chunk", "split_with_sizes", "unbind"), _split),
    **dict.fromkeys(("getitem", "channel_shuffle"), _same),
    **dict.fromkeys(("flip", "roll"), _moved_along),
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle"), _pixel_shuffle),
    "cat": _concatenate,
    "linear": _linear,
    "layer_norm": _mixing("layer norm over positions", lambda step, rank: range(rank - len(step.args[1]), rank)),
    "group_norm": _mixing("group norm over positions", lambda _, rank: range(1, rank)),
    "instance_norm": _mixing("instance norm over positions", lambda _, rank: range(2, rank)),
    **dict.fromkeys(
        ("softmax", "log_softmax", "_softmax"),
        _mixing("softmax over positions", lambda step, _: [int(step.args[1])]),
    ),
    **dict.fromkeys(("matmul", "bmm", "mm", "einsum", "scaled_dot_product_attention", "addmm"), _attention),
}
