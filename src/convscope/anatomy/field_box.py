"""From an address to the unit it means and the box of pixels that unit can see."""

import math
from dataclasses import replace

from torch import Tensor

from convscope.anatomy.map_layout import map_layout
from convscope.anatomy.receptive_field import ReceptiveField, extents, receptive_field
from convscope.errors import AddressError, TargetError
from convscope.model import Address, Model, parse
from convscope.probe import graph, layout, value_of
from convscope.results import FieldBox


def find_unit(model: Model, address: str) -> tuple[Address, ReceptiveField]:
    """Read the address of a unit and make it explicit.

    Where no position is given, it is the one nearest to the middle of the picture.

    Raises:
        AddressError: no such layer, channel or position.
        TargetError: ``class:top``, which is no unit before there is a picture.
        ModelError: the network cannot be exported, or does not run on pictures of its size.
    """
    wanted = parse(address, model)
    if wanted.rank is not None:
        raise TargetError(f"{address!r} depends on the picture. Give a class by index or name, such as class:281.")
    tap = layout(model).tap(wanted, model)
    field = receptive_field(model, str(tap))
    if min(field.map_size) < 1:
        raise AddressError(
            f"{tap.layer} has a map of {_size(field.map_size)} positions for a {_size(field.image_size)} picture: "
            "nothing is left of it. Give a larger picture with size=(height, width)."
        )
    _check_channel(model, wanted, tap)
    position = wanted.position
    if position is None and field.map_size != (1, 1):
        middle = (field.image_size[0] - 1) / 2, (field.image_size[1] - 1) / 2
        position = position_at(field, middle)
    if position is not None:
        field.box(*position)  # refuses what is out of range
    if position == (0, 0) and _channel_dim(model, tap) is None:
        position = None
    call = tap.call if layout(model).counts[tap.layer] > 1 else None
    return replace(wanted, call=call, position=position), field


def position_at(field: ReceptiveField, center: tuple[float, float]) -> tuple[int, int]:
    """Return the (row, column) of the unit of a layer whose field's center is nearest to a pixel."""
    row, column = (
        min(max(round((center[i] - field.start[i]) / field.stride[i]), 0), field.map_size[i] - 1)
        if field.stride[i]
        else 0
        for i in range(2)
    )
    return row, column


def field_box(field: ReceptiveField, position: tuple[int, int] | None) -> FieldBox:
    """Return what the unit at a position sees; where there is one position only it need not be given."""
    row, column = position or (0, 0)
    box, nominal = field.box(row, column), field.center(float(row), float(column))
    # What sees everything has no center of its own: its picture's will do.
    middle = [(pixels - 1) / 2 for pixels in field.image_size]
    center = [middle[i] if math.isinf(field.size[i]) else nominal[i] for i in range(2)]
    return FieldBox(
        layer=field.layer,
        position=(row, column),
        map_size=field.map_size,
        size=field.size,
        stride=field.stride,
        start=field.start,
        center=(center[0], center[1]),
        box=(box.top, box.left, box.bottom, box.right),
        exact=field.exact,
        notes=field.notes,
    )


def read_unit(model: Model, unit: Address, activation: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Read a unit off its layer's output: (n, 1) for a channel, (n, channels) where the address names none.

    Args:
        model: the network.
        unit: from ``find_unit``.
        activation: (n, ...), the layer's output.
        image_size: (height, width) of the input.
    """
    values = activation
    if unit.position is not None:
        tap = layout(model).tap(unit, model)
        grid = map_layout(model, tap, tuple(activation.shape), image_size)
        values = grid.to_map(activation)[:, :, unit.position[0], unit.position[1]]
    values = values.flatten(2).mean(dim=2) if values.ndim > 2 else values
    return values if unit.channel is None else values[:, unit.channel : unit.channel + 1]


def _channel_dim(model: Model, tap: Address) -> int | None:
    """The dimension that runs over channels in an output with positions; None for one without positions."""
    value = value_of(graph(model), tap, model)
    rows, columns = extents(model)[value].axes
    known: dict[tuple[int | None, int | None], int] = {(2, 3): 1, (1, 2): 3}
    return known.get((rows.dim, columns.dim))


def _check_channel(model: Model, wanted: Address, tap: Address) -> None:
    shape = layout(model).shapes[tap.layer, tap.call or 0]
    if wanted.channel is None or shape is None:
        return
    dim = _channel_dim(model, tap) or (2 if len(shape) == 3 else 1)
    if wanted.channel >= shape[dim]:
        what = "classes" if str(wanted).startswith("class:") else "channels"
        raise AddressError(f"{tap.layer} of {model.name} has {what} 0 to {shape[dim] - 1}, got {wanted.channel}.")


def _size(extents_: tuple[int, int]) -> str:
    return f"{extents_[0]}×{extents_[1]}"
