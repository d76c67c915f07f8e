"""Which activation functions a network calls, and in which spelling."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from convscope.model import Address, Model
from convscope.probe import Graph, Ref, Step, layout


@dataclass(frozen=True)
class Activation:
    """One kind of activation function in one spelling.

    Attributes:
        kind: what is computed: ``"ReLU"``, ``"ReLU6"``, ``"SiLU"``, …
        spelling: how it is written: ``"nn.ReLU"``, or ``"function in BasicConv2d"`` where no layer of its own does it.
        count: calls in one forward pass.
        first: address of the layer in which the first call happens.
    """

    kind: str
    spelling: str
    count: int
    first: str


_KINDS: Mapping[str, str] = {
    "relu": "ReLU",
    "relu6": "ReLU6",
    "hardtanh": "Hardtanh",
    "leaky_relu": "LeakyReLU",
    "prelu": "PReLU",
    "rrelu": "RReLU",
    "elu": "ELU",
    "selu": "SELU",
    "celu": "CELU",
    "silu": "SiLU",
    "gelu": "GELU",
    "mish": "Mish",
    "hardswish": "Hardswish",
    "hardsigmoid": "Hardsigmoid",
    "sigmoid": "Sigmoid",
    "log_sigmoid": "LogSigmoid",
    "tanh": "Tanh",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "threshold": "Threshold",
}

_CLAMPS = {"hardtanh", "clamp", "clamp_min"}


def activations(model: Model, traced: Graph | None) -> tuple[Activation, ...]:
    """List the activation functions, the most frequent first.

    Args:
        model: the network.
        traced: its graph, in which functions without a layer of their own are seen too; None if it has none, and then
            only layers of a known class are listed.
    """
    found = _in_layers(model) if traced is None else _in_graph(model, traced)
    groups: dict[tuple[str, str], list[str]] = {}
    for kind, spelling, where in found:
        groups.setdefault((kind, spelling), []).append(where)
    kinds = [Activation(kind, spelling, len(places), places[0]) for (kind, spelling), places in groups.items()]
    return tuple(sorted(kinds, key=lambda activation: -activation.count))


def _in_layers(model: Model) -> list[tuple[str, str, str]]:
    known, layers = layout(model), model.layers
    kinds = set(_KINDS.values())
    return [
        (type(layers[call.layer]).__name__, _class(layers[call.layer]), known.name(Address(call.layer, call.call)))
        for call in known.calls
        if call.layer in layers and type(layers[call.layer]).__name__ in kinds
    ]


def _in_graph(model: Model, traced: Graph) -> list[tuple[str, str, str]]:
    population: dict[tuple[str, int], int] = {}
    for step in traced.steps:
        for place in step.scope:
            population[place] = population.get(place, 0) + 1
    found = []
    for step in traced.steps:
        kind = activation_kind(step, traced)
        if kind:
            place = step.scope[-1] if step.scope else ("", 0)
            # A layer without children that makes no other call is the function's own spelling.
            alone = population.get(place) == 1
            found.append((kind, _spelling(model, place, alone=alone), _where(model, place)))
    return found


def activation_kind(step: Step, traced: Graph) -> str:
    """Name the activation function that a call computes: ``"ReLU6"``, ``"SiLU"``; empty for anything else."""
    if step.op in _CLAMPS:
        return _clamp_kind(step)
    if step.op == "sigmoid":
        products = [
            traced.by_name[user] for user in traced.users.get(step.name, []) if traced.by_name[user].op == "mul"
        ]
        return "SiLU" if any(set(step.inputs) & set(product.inputs) for product in products) else "Sigmoid"
    return _KINDS.get(step.op, "")


def _clamp_kind(step: Step) -> str:
    defaults: list[float | None] = [-1.0, 1.0] if step.op == "hardtanh" else [None, None]
    bounds = [*step.args[1:3], *defaults[len(step.args[1:3]) :]]
    low, high = step.kwargs.get("min", bounds[0]), step.kwargs.get("max", bounds[1])
    if isinstance(low, Ref) or isinstance(high, Ref) or low != 0:
        return f"Hardtanh({low:g}, {high:g})" if step.op == "hardtanh" else ""
    return "ReLU" if high is None else "ReLU6" if high == 6 else f"ReLU up to {high:g}"


def _spelling(model: Model, place: tuple[str, int], *, alone: bool) -> str:
    module = model.layers.get(place[0], model.module)
    if alone and not any(module.children()):
        return _class(module)
    return f"function in {type(module).__name__}"


def _class(module: nn.Module) -> str:
    kind = type(module)
    return f"nn.{kind.__name__}" if kind.__module__.startswith("torch.nn.") else kind.__name__


def _where(model: Model, place: tuple[str, int]) -> str:
    known = layout(model)
    return known.name(Address(*place)) if place[0] in known.counts else "output"
