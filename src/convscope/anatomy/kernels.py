"""The weights of a layer as kernels: one (channels, rows, columns) block per filter, whatever the layer's spelling."""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from convscope.errors import MethodError, ModelError, near_misses
from convscope.model import OUTPUT, Address, Model, parse
from convscope.probe import Graph, Ref, Step, graph, layout, untouched
from convscope.shapes import Weights

CONVOLUTIONS = {"conv2d": "conv", "conv_transpose2d": "transposed conv", "linear": "linear"}
"""Operations with kernels, and what they are called."""

_PLAIN = {nn.Conv2d: "conv2d", nn.ConvTranspose2d: "conv_transpose2d", nn.Linear: "linear"}
_PASSING = {"view", "reshape", "flatten", "clone", "contiguous", "dropout", "_to_copy", "to"}


@dataclass(frozen=True, eq=False)
class Kernels:
    """The weights of one layer.

    Attributes:
        layer: resolved address.
        kind: ``"conv"``, ``"transposed conv"`` or ``"linear"``.
        weights: (filters, channels, rows, columns), float32 on the CPU; ``channels`` are those of the filter's group.
            Of a transposed convolution the filter is the output channel, and a kernel is what one input unit paints.
        groups: of the convolution; filter ``f`` reads the input channels of group ``f · groups // filters``.
        step: the call in the exported graph, where the network has one.
        notes: what a reader should know about these weights.
    """

    layer: str
    kind: str
    weights: Weights
    groups: int
    step: Step | None
    notes: tuple[str, ...] = ()


def read_kernels(model: Model, layer: str) -> Kernels:
    """Read the weights that a layer multiplies with.

    Weights that the network computes on the way (weight normalization, standardization, parametrizations) are read as
    computed. A linear layer behind a flattened map has kernels as large as that map; any other one has 1×1 kernels.

    Raises:
        AddressError: no such layer.
        MethodError: it has no filters that could be drawn.
    """
    address = parse(layer, model)
    if address.channel is not None or address.position is not None or address.layer == OUTPUT:
        raise MethodError(f"expected a layer with filters, got {layer!r}.{_layers_with_filters(model, address.layer)}")
    module = model.layers[address.layer]
    traced = _traced(model)
    step = None if traced is None else _step(traced, address)
    with untouched(model), torch.no_grad():
        op, weight, notes = _weight(model, module, traced, step, address)
        weight = weight.detach().float().cpu().clone()
    groups = _groups(module, step)
    if op == "conv_transpose2d":
        weight = _by_output(weight, groups)
    if op == "linear":
        weight = weight.reshape(len(weight), *_flattened(traced, step, weight.shape[1]))
    name = str(address) if layout(model).counts.get(address.layer, 0) > 1 else address.layer
    return Kernels(name, CONVOLUTIONS[op], weight, groups, step, notes)


def _traced(model: Model) -> Graph | None:
    try:
        return graph(model)
    except ModelError:
        return None


def _step(traced: Graph, address: Address) -> Step | None:
    """The one call with kernels that is the layer's own: not that of a layer inside it."""
    place = (address.layer, address.call or 0)
    own = [s for s in traced.steps if s.op in CONVOLUTIONS and s.scope[-1:] == (place,) and isinstance(s.args[1], Ref)]
    return own[0] if len(own) == 1 else None


def _weight(
    model: Model, module: nn.Module, traced: Graph | None, step: Step | None, address: Address
) -> tuple[str, Tensor, tuple[str, ...]]:
    op = next((name for kind, name in _PLAIN.items() if isinstance(module, kind)), None)
    held = getattr(module, "weight", None)
    if traced is not None and step is not None:
        name = step.args[1].name
        values = traced.evaluate(model, [name], {}) if name in traced.by_name else {}
        if values:
            return step.op, values[name], ("weights as the layer computes them",)
        source: Tensor = traced.constants[name] if name in traced.constants else _state(model, traced.state[name])
        return step.op, source, ()
    if op is None or not isinstance(held, Tensor) or held.ndim not in (2, 4):
        raise MethodError(_no_filters(model, module, address))
    exact = type(module) in _PLAIN
    notes = () if exact else (f"the parameter of a {type(module).__name__}, which may change it before use",)
    return op, held, notes


def _state(model: Model, path: str) -> Tensor:
    owner, _, name = path.rpartition(".")
    tensor: Tensor = getattr(model.module.get_submodule(owner), name)
    return tensor


def _groups(module: nn.Module, step: Step | None) -> int:
    if step is None:
        return int(getattr(module, "groups", 1))
    # The seventh argument of both conv2d and conv_transpose2d; linear has three.
    return int(step.args[6]) if len(step.args) > 6 else 1


def _by_output(weight: Tensor, groups: int) -> Tensor:
    """Transposed convolutions hold (in, out / groups, rows, columns): bring to (out, in / groups, rows, columns)."""
    inputs, outputs, rows, columns = weight.shape
    split = weight.reshape(groups, inputs // groups, outputs, rows, columns)
    return split.transpose(1, 2).reshape(groups * outputs, inputs // groups, rows, columns)


def data_source(traced: Graph, step: Step) -> str:
    """Name the value that a layer reads, behind flattening and dropout."""
    name = step.inputs[0]
    while (before := traced.by_name.get(name)) is not None and before.op in _PASSING and len(before.shape) != 4:
        name = before.inputs[0]
    return name


def value_shape(traced: Graph, name: str) -> tuple[int, ...]:
    """Shape of a value by name, the input's included."""
    return traced.by_name[name].shape if name in traced.by_name else traced.shapes.get(name, ())


def _flattened(traced: Graph | None, step: Step | None, features: int) -> tuple[int, int, int]:
    """(channels, rows, columns) of the map that a linear layer reads flattened; (features, 1, 1) for any other."""
    if traced is not None and step is not None:
        shape = value_shape(traced, data_source(traced, step))[1:]
        if len(shape) == 3 and prod(shape) == features:
            return shape[0], shape[1], shape[2]
    return features, 1, 1


def _no_filters(model: Model, module: nn.Module, address: Address) -> str:
    what = f"layer {address.layer!r} of {model.name} is a {type(module).__name__}"
    holds = any(isinstance(part, tuple(_PLAIN)) for part in module.modules())
    why = "which holds several layers" if holds else "which has no filters to draw"
    if isinstance(module, nn.Conv1d | nn.Conv3d):
        why = "whose filters are not pictures of rows and columns"
    return f"{what}, {why}.{_layers_with_filters(model, address.layer)}"


def _layers_with_filters(model: Model, like: str) -> str:
    known = [name for name, module in model.layers.items() if isinstance(module, tuple(_PLAIN))]
    if not known:
        return f" {model.name} has no layer with filters."
    inside = [name for name in known if name.startswith(f"{like}.")]
    if inside:
        return f" Inside it: {', '.join(inside[:4])}{', …' if len(inside) > 4 else ''}."
    return near_misses(like, known) or f" Layers with filters: {', '.join(known[:4])}{', …' if len(known) > 4 else ''}."
