"""The column of layers under a unit: whose fields grow, one inside the other, up to the unit's own."""

import math

from convscope.anatomy.receptive_field import ReceptiveField, receptive_field, receptive_fields
from convscope.model import Model, parse
from convscope.probe import Graph, graph, layout, value_of

MOST = 9
"""Layers that a picture of nested boxes can hold."""


def column(model: Model, layer: str, *, size: tuple[int, int] | None = None) -> tuple[ReceptiveField, ...]:
    """List the layers that a layer computes on, where the field grows, from shallow to deep; its own is the last.

    Of the layers with the same field the outermost is named, the first of them where several are (``features.0`` rather
    than the ReLU behind it). Where more than nine are left, only the outermost names are kept (``layer1`` rather than
    ``layer1.0.conv2``); where that is no help, they are thinned evenly.

    Args:
        model: the network.
        layer: address of the layer on top.
        size: (height, width) of the picture; the model's own by default.

    Raises:
        AddressError: no such layer.
        ModelError: the network cannot be exported.
    """
    top = receptive_field(model, layer, size=size)
    traced = graph(model, size)
    values = _upstream(traced, value_of(traced, layout(model).tap(parse(layer, model), model), model))
    grown = _growing(model, traced, values, size, top)
    return (*_thin(grown), top)


def _upstream(traced: Graph, name: str) -> set[str]:
    found: set[str] = set()
    stack = [name]
    while stack:
        for source in traced.by_name[stack.pop()].inputs:
            if source in traced.by_name and source not in found:
                found.add(source)
                stack.append(source)
    return found


def _growing(
    model: Model, traced: Graph, values: set[str], size: tuple[int, int] | None, top: ReceptiveField
) -> list[ReceptiveField]:
    """One field per size, the outermost layer's, in the order in which they grow."""
    by_size: dict[tuple[float, float], ReceptiveField] = {}
    for call, field in receptive_fields(model, size=size).items():
        held = by_size.get(field.size)
        fits = math.prod(field.size) < math.prod(top.size) and not math.isinf(math.prod(field.size))
        if fits and traced.layer_outputs[call] in values and (held is None or _depth(field) < _depth(held)):
            by_size[field.size] = field
    return sorted(by_size.values(), key=lambda field: math.prod(field.size))


def _depth(field: ReceptiveField) -> int:
    return field.layer.count(".")


def _thin(fields: list[ReceptiveField]) -> list[ReceptiveField]:
    room = MOST - 1
    for depth in sorted({_depth(field) for field in fields}, reverse=True):
        outer = [field for field in fields if _depth(field) <= depth]
        if room / 2 <= len(outer) <= room:
            return outer
    if len(fields) <= room:
        return fields
    return [fields[round(i * (len(fields) - 1) / (room - 1))] for i in range(room)]
