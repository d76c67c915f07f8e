"""Which layers to look at for pictures of units: one for each size of map."""

from collections.abc import Mapping

from convscope.anatomy.receptive_field import extents
from convscope.anatomy.suggest import POOLING
from convscope.errors import ModelError
from convscope.model import OUTPUT, Address, Model
from convscope.probe import graph, layout

_CHANNELS: Mapping[tuple[int | None, int | None], int] = {(2, 3): 1, (1, 2): 3}
"""Dimension of the channels by those of rows and columns."""


def suggest_unit_layers(model: Model) -> tuple[str, ...]:
    """Name, for each resolution that the network works at, the last layer before it is left, from fine to coarse.

    Pooling layers and maps with one channel per class are passed over; of the layers that return the same value the
    outermost is named (``layer1`` rather than ``layer1.1.relu~1``). Empty for a network without maps.
    """
    if "unit layers" not in model.memo:
        try:
            model.memo["unit layers"] = _by_graph(model)
        except ModelError:
            model.memo["unit layers"] = _by_layout(model)
    names: tuple[str, ...] = model.memo["unit layers"]
    return names


def _by_graph(model: Model) -> tuple[str, ...]:
    traced, boxes, known = graph(model), extents(model), layout(model)
    classes = (known.shapes[OUTPUT, 0] or (1, -1))[1]
    order = {step.name: index for index, step in enumerate(traced.steps)}
    last: dict[tuple[int, int], tuple[int, str]] = {}
    for place, value in traced.layer_outputs.items():
        step = traced.by_name.get(value)
        box = boxes.get(value)
        if place[0] == OUTPUT or place[0] not in known.counts or step is None or box is None or step.op in POOLING:
            continue
        channels = _CHANNELS.get((box.rows.dim, box.columns.dim))
        if len(step.shape) != 4 or channels is None or step.shape[channels] == classes:
            continue
        grid = (len(box.rows.low), len(box.columns.low))
        if min(grid) > 1 and order[value] >= last.get(grid, (-1, ""))[0]:
            last[grid] = (order[value], value)
    outermost: dict[str, tuple[str, int]] = {}
    for place, value in traced.layer_outputs.items():
        if value in {value for _, value in last.values()} and place[0] in known.counts and place[0] != OUTPUT:
            held = outermost.get(value, place)
            outermost[value] = min(held, place, key=lambda place: (place[0].count("."), len(place[0])))
    return tuple(known.name(Address(*outermost[value])) for _, value in sorted(last.values()))


def _by_layout(model: Model) -> tuple[str, ...]:
    """Without a graph only shapes are known: (n, c, h, w) is assumed, and pooling told by the layer's class."""
    known = layout(model)
    classes = (known.shapes[OUTPUT, 0] or (1, -1))[1]
    last: dict[tuple[int, ...], Address] = {}
    for call in known.calls:
        shape = call.shape
        if call.layer == OUTPUT or shape is None or len(shape) != 4 or min(shape[2:]) < 2 or shape[1] == classes:
            continue
        if "pool" not in type(model.layers[call.layer]).__name__.lower():
            last[shape[2:]] = Address(call.layer, call.call)
    return tuple(known.name(address) for address in last.values())
