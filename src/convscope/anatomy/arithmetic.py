"""How much arithmetic a network does for one picture, call by call of its graph.

The convention, since every tool has its own: *multiply-adds* are those of convolutions, linear layers and matrix
products alone, as papers count them (ResNet-18: 1.81 billion). *FLOPs* count a multiply-add as two, and add what the
rest does: one per element for an addition, a multiplication or an activation function, one per element read for pooling
and averaging, two per element for batch normalization (scale and shift), five for softmax and for normalization that
measures its own statistics. Moving numbers about is free.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from convscope.probe import Graph, Step

Shapes = list[tuple[int, ...]]


@dataclass(frozen=True)
class Arithmetic:
    """Work for one picture.

    Attributes:
        multiply_adds: of convolutions, linear layers and matrix products.
        flops: all floating-point operations, a multiply-add counted as two.
    """

    multiply_adds: int = 0
    flops: int = 0

    def __add__(self, other: "Arithmetic") -> "Arithmetic":
        return Arithmetic(self.multiply_adds + other.multiply_adds, self.flops + other.flops)


def arithmetic(traced: Graph) -> dict[str, Arithmetic]:
    """Count the work of every step by the name of its value; steps whose cost is not known are absent."""
    of_pictures = traced.downstream([traced.input])
    counted: dict[str, Arithmetic] = {}
    for step in traced.steps:
        work = _work(step, [_shape(name, traced) for name in step.inputs])
        if work is not None:
            # What is done to parameters alone is done once for the whole batch.
            share = traced.batch if step.name in of_pictures else 1
            counted[step.name] = Arithmetic(work.multiply_adds // share, work.flops // share)
    return counted


def by_layer_call(traced: Graph, counted: Mapping[str, Arithmetic]) -> dict[tuple[str, int], Arithmetic]:
    """Sum the steps that run inside each layer call, those of its children included."""
    sums: dict[tuple[str, int], Arithmetic] = {}
    for step in traced.steps:
        for place in step.scope:
            sums[place] = sums.get(place, Arithmetic()) + counted.get(step.name, Arithmetic())
    return sums


_FREE = frozenset(
    [
        "view",
        "reshape",
        "flatten",
        "unflatten",
        "_unsafe_view",
        "permute",
        "transpose",
        "t",
        "swapaxes",
        "unsqueeze",
        "squeeze",
        "slice",
        "select",
        "split",
        "split_with_sizes",
        "chunk",
        "unbind",
        "getitem",
        "cat",
        "stack",
        "pad",
        "constant_pad_nd",
        "reflection_pad2d",
        "replication_pad2d",
        "expand",
        "expand_as",
        "repeat",
        "contiguous",
        "clone",
        "detach",
        "alias",
        "to",
        "_to_copy",
        "type_as",
        "lift_fresh_copy",
        "lift_fresh",
        "flip",
        "roll",
        "pixel_shuffle",
        "pixel_unshuffle",
        "channel_shuffle",
        "dropout",
        "feature_dropout",
        "alpha_dropout",
        "upsample_nearest2d",
        "gather",
        "index",
        "index_select",
        "zeros",
        "ones",
        "full",
        "zeros_like",
        "ones_like",
        "full_like",
        "empty",
        "arange",
        "scalar_tensor",
        "sym_size",
        "sym_numel",
        "new_zeros",
        "new_ones",
        "new_full",
        "new_empty",
        "fill",
        "argmax",
        "topk",
        "float",
        "half",
        "im2col",
        "unfold_copy",
        "unfold",
        "movedim",
        "copy",
        "_assert_tensor_metadata",
        "_assert_scalar",
        "sym_constrain_range_for_size",
    ]
)

_PER_OUTPUT: Mapping[str, int] = {
    **dict.fromkeys(
        [
            "relu",
            "relu6",
            "hardtanh",
            "leaky_relu",
            "elu",
            "selu",
            "celu",
            "silu",
            "gelu",
            "mish",
            "hardswish",
            "hardsigmoid",
            "sigmoid",
            "tanh",
            "softplus",
            "prelu",
            "threshold",
            "log_sigmoid",
            "softsign",
            "add",
            "sub",
            "rsub",
            "mul",
            "div",
            "pow",
            "sqrt",
            "rsqrt",
            "exp",
            "log",
            "neg",
            "abs",
            "square",
            "maximum",
            "minimum",
            "clamp",
            "clamp_min",
            "clamp_max",
            "where",
            "erf",
            "sin",
            "cos",
            "reciprocal",
            "sign",
            "round",
            "floor",
            "ceil",
            "eq",
            "ne",
            "gt",
            "lt",
            "ge",
            "le",
            "logical_and",
            "logical_or",
            "logical_not",
            "masked_fill",
            "cumsum",
            "remainder",
            "floor_divide",
        ],
        1,
    ),
    **dict.fromkeys(["batch_norm", "addcmul", "lerp"], 2),
    **dict.fromkeys(["layer_norm", "group_norm", "instance_norm", "rms_norm", "softmax", "log_softmax", "_softmax"], 5),
    "upsample_bilinear2d": 7,
    "upsample_bicubic2d": 31,
}

_PER_INPUT: Mapping[str, int] = {
    **dict.fromkeys(
        ["adaptive_avg_pool2d", "adaptive_max_pool2d", "mean", "sum", "amax", "amin", "max", "min", "logsumexp"], 1
    ),
    **dict.fromkeys(["std", "var", "norm", "linalg_vector_norm", "normalize"], 3),
}

_WINDOWS = frozenset(
    ["max_pool1d", "max_pool2d", "max_pool3d", "max_pool2d_with_indices", "avg_pool1d", "avg_pool2d", "avg_pool3d"]
)


def _work(step: Step, inputs: Shapes) -> Arithmetic | None:
    out = math.prod(step.shape)
    if step.op in _FREE:
        return Arithmetic()
    if step.op in _PER_OUTPUT:
        return Arithmetic(flops=_PER_OUTPUT[step.op] * out)
    if step.op in _PER_INPUT:
        return Arithmetic(flops=_PER_INPUT[step.op] * math.prod(inputs[0]))
    if step.op in _WINDOWS:
        return Arithmetic(flops=out * _window(step))
    products = _PRODUCTS[step.op](step, inputs, out) if step.op in _PRODUCTS else None
    if products is None:
        return None
    biases = out if len(inputs) > 2 and step.op != "scaled_dot_product_attention" else 0
    softmax = 5 * _attention_weights(inputs) if step.op == "scaled_dot_product_attention" else 0
    return Arithmetic(products, 2 * products + biases + softmax)


def _attention_products(_: Step, inputs: Shapes, __: int) -> int:
    return _attention_weights(inputs) * (inputs[0][-1] + inputs[2][-1])


def _attention_weights(inputs: Shapes) -> int:
    """Number of entries of the matrix queries × keys, over all pictures and heads."""
    return math.prod(inputs[0][:-1]) * inputs[1][-2]


def _einsum(step: Step, inputs: Shapes, _: int) -> int | None:
    equation = str(step.args[0])
    terms = equation.replace(" ", "").split("->")[0].split(",")
    if len(terms) != 2 or "." in equation:
        return None
    extents = dict(pair for term, shape in zip(terms, inputs, strict=True) for pair in zip(term, shape, strict=True))
    return math.prod(extents.values())


def _window(step: Step) -> int:
    kernel = step.args[1] if len(step.args) > 1 else step.kwargs["kernel_size"]
    rank = int(step.op[step.op.index("pool") + 4])
    return math.prod(kernel) if len(kernel) == rank else int(kernel[0]) ** rank


def _shape(name: str, traced: Graph) -> tuple[int, ...]:
    return traced.by_name[name].shape if name in traced.by_name else traced.shapes.get(name, ())


_PRODUCTS: Mapping[str, Callable[[Step, Shapes, int], int | None]] = {
    **dict.fromkeys(["conv1d", "conv2d", "conv3d"], lambda _, inputs, out: out * math.prod(inputs[1][1:])),
    **dict.fromkeys(
        ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"],
        lambda _, inputs, __: math.prod(inputs[0]) * math.prod(inputs[1][1:]),
    ),
    **dict.fromkeys(["linear", "matmul", "mm", "bmm", "mv", "dot"], lambda _, inputs, out: out * inputs[0][-1]),
    **dict.fromkeys(["addmm", "baddbmm"], lambda _, inputs, out: out * inputs[1][-1]),
    "scaled_dot_product_attention": _attention_products,
    "einsum": _einsum,
}
"""Multiply-adds by operation, from the step, the shapes of its inputs, and the number of its outputs."""
