"""How each ATen call moves index boxes: one rule per family of calls.

A rule sees the call with the extents of its operands and returns the extent of its value. Calls that are in no table
are taken to see everything, and the extent says so.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial, reduce

from convscope.anatomy import extent_shapes as shapes
from convscope.anatomy import extent_windows as windows
from convscope.anatomy.extent import Extent
from convscope.anatomy.extent_call import Call, Rule
from convscope.probe import Graph, Ref, Step


def propagate(step: Step, known: Mapping[str, Extent], graph: Graph) -> Extent | None:
    """Return what the step's value can see, or None where it does not depend on the picture."""
    if step.op.startswith("sym_") or not any(name in known for name in step.inputs):
        return None  # a size, or a constant
    return RULES.get(step.op, Call.unknown)(Call(step, known, graph))


def _pointwise(call: Call) -> Extent:
    """Operands meet at the same position, aligned at their last dimension; a length of 1 is repeated."""
    rank = len(call.shape)
    offsets = {name: rank - len(call.shape_of(name)) for name in call.operands}
    aligned = (call.known[name].moved(lambda dim, offset=offset: dim + offset) for name, offset in offsets.items())  # type: ignore[misc]
    return reduce(Extent.union, aligned).along(lambda axis, dim: axis.repeated(call.shape[dim]))


def _like(call: Call) -> Extent:
    """The first operand in the shape or type of the second."""
    offset = len(call.shape) - len(call.input_shape())
    found = call.known.get(call.step.inputs[0])
    if found is None:
        return call.unknown()
    return found.moved(lambda dim: dim + offset).along(lambda axis, dim: axis.repeated(call.shape[dim]))


def _extremum(call: Call) -> Extent:
    """``max`` and ``min``: of two values, or along dimensions."""
    return _pointwise(call) if isinstance(call.argument("other"), Ref) else shapes.reduction(call)


def _linear(call: Call) -> Extent:
    """The last dimension is mixed."""
    last = len(call.input_shape()) - 1
    return call.first.moved(lambda dim: None if dim == last else dim) if call.alone else call.unknown()


def _product(call: Call) -> Extent:
    """A matrix product: with constants on its right it is a linear layer; others are not followed."""
    return _linear(call) if call.step.inputs[0] in call.known else call.unknown()


def _mixing(what: str, dims: Callable[[Call], Iterable[int]], call: Call) -> Extent:
    """Every output along some dimensions sees all inputs along them."""
    along = {int(dim) % len(call.shape) for dim in dims(call)}
    found = _pointwise(call)
    touched = any(axis.folded in along or (axis.dim in along and len(axis.low) > 1) for axis in found.axes)
    return found.mixed(along).noted(*((what,) if touched else ()))


def _instance_norm(call: Call) -> Extent:
    if not call.argument("use_input_stats", default=True):
        return _pointwise(call)  # by running statistics
    return _mixing("instance norm over positions", lambda call: range(2, len(call.shape)), call)


def _attention(call: Call) -> Extent:
    """Tokens, the last dimension but one, see all tokens; windows in the batch do not see each other."""
    tokens = len(call.shape) - 2
    return reduce(Extent.union, (call.known[name].mixed({tokens}) for name in call.operands)).noted("attention")


_POINTWISE = """
    relu relu6 hardtanh leaky_relu elu selu celu silu gelu mish hardswish hardsigmoid sigmoid tanh softplus prelu
    threshold log_sigmoid softsign hardshrink softshrink rrelu add sub rsub mul div pow sqrt rsqrt exp log neg abs sign
    square maximum minimum fmax fmin clamp clamp_min clamp_max clip where dropout feature_dropout alpha_dropout
    native_dropout batch_norm contiguous clone detach alias to _to_copy lift_fresh_copy lift_fresh expand erf sin cos
    reciprocal round floor ceil eq ne gt lt ge le logical_and logical_or logical_not bitwise_not masked_fill addcmul
    lerp copysign
"""

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_POINTWISE.split(), _pointwise),
    **dict.fromkeys(("type_as", "expand_as"), _like),
    **dict.fromkeys(("conv1d", "conv2d"), windows.convolution),
    "conv_transpose2d": windows.transposed_convolution,
    **dict.fromkeys(("max_pool2d", "max_pool2d_with_indices", "avg_pool2d", "avg_pool3d"), windows.pooling),
    **dict.fromkeys(("adaptive_avg_pool2d", "adaptive_max_pool2d"), windows.adaptive_pooling),
    "upsample_nearest2d": windows.upsampling(windows.nearest, 0),
    "_upsample_nearest_exact2d": windows.upsampling(windows.nearest_exact, 0),
    "upsample_bilinear2d": windows.upsampling(windows.linear, 1),
    "upsample_bicubic2d": windows.upsampling(windows.cubic, 3),
    **dict.fromkeys(("pad", "constant_pad_nd", "reflection_pad2d", "replication_pad2d"), windows.padding),
    **dict.fromkeys(
        ("mean", "sum", "amax", "amin", "std", "var", "logsumexp", "norm", "linalg_vector_norm"), shapes.reduction
    ),
    **dict.fromkeys(("max", "min"), _extremum),
    **dict.fromkeys(("view", "reshape", "flatten", "unflatten", "_unsafe_view"), shapes.reshape),
    **dict.fromkeys(("permute", "transpose", "t", "swapaxes", "movedim", "moveaxis", "numpy_T", "mT"), shapes.permute),
    "unsqueeze": shapes.unsqueeze,
    "squeeze": shapes.squeeze,
    "slice": shapes.cut,
    "select": shapes.select,
    **dict.fromkeys(("split", "chunk", "split_with_sizes", "unbind"), shapes.split),
    **dict.fromkeys(("getitem", "channel_shuffle"), shapes.same),
    "cat": shapes.concatenate,
    "stack": shapes.stack,
    **dict.fromkeys(("flip", "roll"), shapes.exchanged),
    "pixel_shuffle": shapes.pixel_shuffle,
    "pixel_unshuffle": shapes.pixel_unshuffle,
    "linear": _linear,
    **dict.fromkeys(("matmul", "mm"), _product),
    "scaled_dot_product_attention": _attention,
    "layer_norm": partial(
        _mixing, "layer norm over positions", lambda call: range(-len(call.argument("normalized_shape")), 0)
    ),
    "group_norm": partial(_mixing, "group norm over positions", lambda call: range(1, len(call.shape))),
    "instance_norm": _instance_norm,
    **dict.fromkeys(
        ("softmax", "log_softmax", "_softmax"),
        partial(_mixing, "softmax over positions", lambda call: [call.argument("dim")]),
    ),
}
