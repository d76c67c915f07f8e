"""The model doctor: what a network is made of, where to look, and what would spoil the pictures."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from convscope.anatomy.activations import Activation, activations
from convscope.anatomy.arithmetic import Arithmetic, arithmetic, by_layer_call
from convscope.anatomy.checkup import Finding, check_up
from convscope.anatomy.idle import idle_layers
from convscope.anatomy.receptive_field import ReceptiveField, receptive_fields
from convscope.anatomy.suggest import suggest_cam_layer
from convscope.anatomy.suggest_units import suggest_unit_layers
from convscope.errors import MethodError, ModelError
from convscope.model import OUTPUT, Address, Model, Preprocessing
from convscope.probe import Graph, LayerCall, graph, layout


@dataclass(frozen=True)
class LayerSummary:
    """One call of one layer.

    Attributes:
        address: as everywhere in convscope; with the call where the layer runs several times.
        layer: dotted name.
        call: from 0.
        type: class of the module.
        shape: of its output for one picture, without the batch dimension; None where it is not a single tensor.
        own_parameters: numbers in parameters that the layer itself holds, not those of layers inside it that run
            on their own. Each is counted once, at the first call, so that the column adds up to all but idle layers.
        parameters: numbers in all parameters inside the layer, its children's included, each tensor once.
        shares: other layers (or the first call of this one) that hold the same parameters.
        work: multiply-adds and FLOPs for one picture, children included; None without a graph.
        field: receptive field of its units; None without a graph, or where it computes nothing.
    """

    address: str
    layer: str
    call: int
    type: str
    shape: tuple[int, ...] | None
    own_parameters: int
    parameters: int
    shares: tuple[str, ...]
    work: Arithmetic | None
    field: ReceptiveField | None


@dataclass(frozen=True)
class Summary:
    """A network in numbers.

    Attributes:
        model: short name.
        weights: what they are and where they came from.
        digest: of the weights.
        device: where it is.
        dtype: of its parameters.
        preprocessing: how its input is made.
        classes: number of class names, 0 where unknown.
        head: what follows the scores: ``"logits"`` for nothing, or ``"softmax"``, ``"sigmoid"``, …
        layers: every layer call of one forward pass, in the order in which they finish, the network's own last
            (``output``).
        parameters: numbers in all parameters, each tensor once.
        trainable: those of them that require a gradient.
        bytes: of parameters and buffers.
        work: multiply-adds and FLOPs for one picture; None without a graph.
        uncounted: calls whose FLOPs are not known and not in ``work``.
        activations: activation functions, the most frequent first.
        cam_layer: the layer for class activation maps; None where there is none.
        unit_layers: the layers for pictures of units, from fine to coarse.
        findings: what to know before trusting a picture, warnings first.
        notes: what was noted when the network was loaded.
        untraceable: why there is no graph; empty where there is one.
    """

    model: str
    weights: str
    digest: str
    device: str
    dtype: str
    preprocessing: Preprocessing
    classes: int
    head: str
    layers: tuple[LayerSummary, ...]
    parameters: int
    trainable: int
    bytes: int
    work: Arithmetic | None
    uncounted: tuple[str, ...]
    activations: tuple[Activation, ...]
    cam_layer: str | None
    unit_layers: tuple[str, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    untraceable: str


def summarize(model: Model) -> Summary:
    """Examine a network: one forward pass for the shapes, one export for arithmetic and receptive fields, a few checks.

    Works for networks that ``torch.export`` cannot take; what needs the graph is None then, and ``untraceable`` says
    why.

    Args:
        model: from ``convscope.load``. It is left as it was.

    Raises:
        ModelError: the network does not run on a picture of its own input size.

    Example:
        >>> from convscope.model import load
        >>> found = summarize(load("torchvision:resnet18", weights=None))
        >>> found.parameters, found.work.multiply_adds, found.cam_layer
        (11689512, 1814073344, 'layer4')
    """
    layout(model)
    traced, untraceable = _traced(model)
    counted = {} if traced is None else arithmetic(traced)
    works = {} if traced is None else by_layer_call(traced, counted)
    fields = {} if traced is None else receptive_fields(model)
    total = None if traced is None else sum(counted.values(), Arithmetic())
    if total is not None:
        works[OUTPUT, 0] = total
    parameters = list(model.module.parameters())
    held = [*parameters, *model.module.buffers()]
    return Summary(
        model=model.name,
        weights=model.spec.weights,
        digest=model.digest,
        device=str(model.device),
        dtype=str(model.dtype).removeprefix("torch."),
        preprocessing=model.spec.preprocessing,
        classes=len(model.spec.classes),
        head=layout(model).head,
        layers=_layers(model, works=None if traced is None else works, fields=fields),
        parameters=sum(parameter.numel() for parameter in parameters),
        trainable=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        bytes=sum(tensor.numel() * tensor.element_size() for tensor in held),
        work=total,
        uncounted=()
        if traced is None
        else tuple(dict.fromkeys(step.op for step in traced.steps if step.name not in counted)),
        activations=activations(model, traced),
        cam_layer=_cam_layer(model),
        unit_layers=suggest_unit_layers(model),
        findings=check_up(model, traced, untraceable),
        notes=model.notes,
        untraceable=untraceable,
    )


def _traced(model: Model) -> tuple[Graph | None, str]:
    try:
        return graph(model), ""
    except ModelError as error:
        return None, str(error)


def _cam_layer(model: Model) -> str | None:
    try:
        return suggest_cam_layer(model)
    except MethodError:
        return None


def _layers(
    model: Model,
    *,
    works: dict[tuple[str, int], Arithmetic] | None,
    fields: dict[tuple[str, int], ReceptiveField],
) -> tuple[LayerSummary, ...]:
    holders, own = _holders(model), _own_parameters(model)
    summaries = []
    for call in layout(model).calls:
        module = model.module if call.layer == OUTPUT else model.layers[call.layer]
        place = (call.layer, call.call)
        summaries.append(
            LayerSummary(
                address=layout(model).name(Address(*place)),
                layer=call.layer,
                call=call.call,
                type=type(module).__name__,
                shape=None if call.shape is None else call.shape[1:],
                own_parameters=0 if call.call else own.get(call.layer, 0),
                parameters=sum(parameter.numel() for parameter in module.parameters()),
                shares=_shares(call, module, holders),
                work=None if works is None else works.get(place, Arithmetic()),
                field=fields.get(place),
            )
        )
    return tuple(summaries)


def _own_parameters(model: Model) -> dict[str, int]:
    """Give every parameter to the layer that runs and holds it, or holds the one that does.

    Some layers use their children's parameters without calling them (attention does).
    """
    runs, counted = layout(model).counts, set[int]()
    idle = tuple(f"{layer}." for layer in idle_layers(model))
    own: dict[str, int] = {}
    for name, parameter in model.module.named_parameters(remove_duplicate=False):
        if id(parameter) in counted or name.startswith(idle):
            continue
        counted.add(id(parameter))
        holder = name.rpartition(".")[0]
        while holder and holder not in runs:
            holder = holder.rpartition(".")[0]
        own[holder or OUTPUT] = own.get(holder or OUTPUT, 0) + parameter.numel()
    return own


def _holders(model: Model) -> dict[int, list[str]]:
    """Which layers hold each parameter, by its identity."""
    holders: dict[int, list[str]] = {}
    for name, module in model.module.named_modules():
        for parameter in module.parameters(recurse=False):
            holders.setdefault(id(parameter), []).append(name or OUTPUT)
    return holders


def _shares(call: LayerCall, module: nn.Module, holders: dict[int, list[str]]) -> tuple[str, ...]:
    own: list[Any] = list(module.parameters(recurse=False))
    others = [name for parameter in own for name in holders[id(parameter)] if name != call.layer]
    again = [f"{call.layer}~0"] if own and call.call else []
    return tuple(dict.fromkeys([*again, *others]))
