"""The units of a network: which layers have them, and where each does its work.

A unit is an output channel of a layer with weights. It is looked at where it speaks to the rest of the network: behind
the batch norm and the activation function that follow its layer directly, as the exported graph has them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from convscope.anatomy.activations import activation_kind
from convscope.anatomy.kernels import CONVOLUTIONS, Kernels, read_kernels
from convscope.errors import AddressError, MethodError, ModelError
from convscope.model import OUTPUT, Address, Model
from convscope.probe import Graph, Ref, Step, graph, layout

RECTIFIERS = ("ReLU", "LeakyReLU", "PReLU", "RReLU", "ELU", "SELU", "CELU", "SiLU", "GELU", "Mish", "Hardswish")
"""Kinds that are off below zero, or nearly; also ``"ReLU6"`` and ``"ReLU up to x"``."""

_NON_NEGATIVE = ("ReLU", "Sigmoid", "Hardsigmoid", "Softplus")
_PASSING = {"dropout", "feature_dropout", "alpha_dropout", "clone", "contiguous", "alias", "detach", "to", "_to_copy"}
_EXACT, _NEAR = 0.0, 0.01


@dataclass(frozen=True, eq=False)
class Units:
    """The units of one layer.

    Attributes:
        layer: resolved address.
        tap: the layer call.
        kernels: the weights.
        gain: what a batch norm that follows multiplies each unit with, (units,); None where none does.
        value: name of the graph's value where the units are looked at; None without a graph.
        dim: the dimension of that value (and of the layer's output) that runs over units.
        shape: of that value for one picture, batch dimension included.
        activation: the function behind which they are looked at; empty for none.
        measured: that place in words.
    """

    layer: str
    tap: Address
    kernels: Kernels
    gain: Tensor | None
    value: str | None
    dim: int
    shape: tuple[int, ...]
    activation: str
    measured: str

    @property
    def rectified(self) -> bool:
        """Whether the units are off below zero."""
        return self.activation.startswith("ReLU") or self.activation in RECTIFIERS

    @property
    def non_negative(self) -> bool:
        """Whether their activations cannot be negative."""
        return self.activation.startswith(_NON_NEGATIVE)

    @property
    def ends(self) -> tuple[float | None, float | None, float]:
        """Low and high end of the activation function where units saturate, and how near to it counts."""
        kind = self.activation
        if kind == "ReLU6":
            return None, 6.0, _EXACT
        if kind.startswith("ReLU up to "):
            return None, float(kind.removeprefix("ReLU up to ")), _EXACT
        if kind.startswith("Hardtanh("):
            low, high = kind.removeprefix("Hardtanh(").removesuffix(")").split(", ")
            return float(low), float(high), _EXACT
        known = {"Sigmoid": (0.0, 1.0, _NEAR), "Hardsigmoid": (0.0, 1.0, _EXACT), "Tanh": (-1.0, 1.0, 2 * _NEAR)}
        return known.get(kind, (None, None, _EXACT))


def find_units(model: Model, pattern: str = "*") -> tuple[Units, ...]:
    """List the layers with weights whose address fits a glob, in the order in which they run.

    The layer that gives the network's output is left out: its units are the answers.

    Raises:
        AddressError: no layer with weights fits.
    """
    try:
        traced: Graph | None = graph(model)
    except ModelError:
        traced = None
    every = tuple(_in_layers(model) if traced is None else _in_graph(model, traced))
    found = tuple(
        units for units in every if fnmatchcase(units.layer, pattern) or fnmatchcase(units.tap.layer, pattern)
    )
    if found:
        return found
    inside = tuple(units for units in every if units.tap.layer.startswith(f"{pattern}."))
    if inside:
        return inside
    names = ", ".join(units.layer for units in every[:4])
    raise AddressError(
        f"no layer of {model.name} with weights matches {pattern!r}. "
        + (
            f"Layers with weights: {names}{', …' if len(every) > 4 else ''}."
            if every
            else "It has none before its output."
        )
    )


def _in_graph(model: Model, traced: Graph) -> Iterator[Units]:
    for step in traced.steps:
        if step.op not in CONVOLUTIONS or not step.scope or len(step.shape) not in (2, 3, 4):
            continue
        tap = Address(*step.scope[-1])
        if tap.layer not in layout(model).counts:
            continue
        try:
            kernels = read_kernels(model, str(tap))
        except MethodError:
            continue  # several calls with weights in one layer (attention): no units of its own
        value, gain, activation = _follow(model, traced, step)
        if traced.output in (step.name, value):
            continue
        spoken = traced.by_name[value]
        dim = len(step.shape) - 1 if step.op == "linear" else 1
        measured = f"after {activation}" if activation else "after batch norm" if gain is not None else "its own output"
        shape = (1, *spoken.shape[1:])
        yield Units(layout(model).name(tap), tap, kernels, gain, value, dim, shape, activation, measured)


def _in_layers(model: Model) -> Iterator[Units]:
    for call in layout(model).calls:
        if call.layer == OUTPUT or call.shape is None or call.shape == layout(model).shapes[OUTPUT, 0]:
            continue
        tap = Address(call.layer, call.call)
        try:
            kernels = read_kernels(model, str(tap))
        except MethodError:
            continue
        dim = len(call.shape) - 1 if kernels.kind == "linear" else 1
        yield Units(layout(model).name(tap), tap, kernels, None, None, dim, call.shape, "", "its own output")


def _follow(model: Model, traced: Graph, step: Step) -> tuple[str, Tensor | None, str]:
    """Walk from a layer's output through batch norm and the like to its activation function."""
    value, gain = step.name, None
    while True:
        readers = [traced.by_name[name] for name in dict.fromkeys(traced.users.get(value, []))]
        kinds = [kind for reader in readers if (kind := activation_kind(reader, traced))]
        if kinds and len(readers) == 1:
            return readers[0].name, gain, kinds[0]
        if kinds == ["SiLU"] and len(readers) == 2:  # x · sigmoid(x), spelled out
            return next(reader.name for reader in readers if reader.op == "mul"), gain, "SiLU"
        if len(readers) != 1 or readers[0].shape != step.shape or value == traced.output:
            return value, gain, ""
        (reader,) = readers
        if reader.op == "batch_norm":
            gain = _scale(model, traced, reader) * (1 if gain is None else gain)
        elif reader.op not in _PASSING:
            return value, gain, ""
        value = reader.name


def _scale(model: Model, traced: Graph, norm: Step) -> Tensor:
    """γ / √(σ² + ε) of a batch norm: batch_norm(input, weight, bias, mean, variance, training, momentum, ε)."""
    state = {**dict(model.module.named_parameters(remove_duplicate=False)), **dict(model.module.named_buffers())}

    def read(place: int) -> Tensor | None:
        held = norm.args[place]
        return state[traced.state[held.name]].detach().float().cpu() if isinstance(held, Ref) else None

    weight, variance = read(1), read(4)
    scale: Tensor = torch.ones(()) if variance is None else (variance + float(norm.args[7])).rsqrt()
    return (scale if weight is None else scale * weight).expand(norm.shape[1])
