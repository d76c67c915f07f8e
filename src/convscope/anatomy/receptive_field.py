"""How much of the picture a unit can see: exact receptive fields, also where a network branches.

Index boxes are propagated through the exported graph (``extent_rules``), so residual, inception and dense blocks,
asymmetric padding, dilation and strides of any spelling come out as they are computed. Nominal size, stride and start
follow Araujo, Norris and Sim 2019 (Distill, "Computing receptive fields of convolutional neural networks").
"""

import math
from dataclasses import dataclass

from convscope.anatomy.extent import Axis, Extent
from convscope.anatomy.extent_rules import propagate
from convscope.errors import AddressError
from convscope.model import Address, Model, parse
from convscope.probe import Graph, graph, layout, value_of


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels: rows ``top`` to ``bottom`` − 1, columns ``left`` to ``right`` − 1. May be empty."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True, eq=False)
class ReceptiveField:
    """What the units of one layer can see of the input.

    Attributes:
        layer: resolved address.
        size: nominal (rows, columns) in pixels of a unit far from all borders; infinite where it is the whole picture.
        stride: (rows, columns) pixels between the centers of neighboring units; 0 where there is one position only.
        start: (row, column) of the center of the unit at 0,0, in pixels, where pixel 0 has its center at 0; may be
            negative.
        map_size: (rows, columns) of the layer's map.
        image_size: (rows, columns) of the input it was computed for.
        exact: False where the network makes calls that are not followed, or where the layer's positions were folded
            into its channels (``flatten``); the boxes are then upper bounds.
        notes: what makes the field the whole picture, such as global pooling, or inexact.
    """

    layer: str
    size: tuple[float, float]
    stride: tuple[float, float]
    start: tuple[float, float]
    map_size: tuple[int, int]
    image_size: tuple[int, int]
    exact: bool
    notes: tuple[str, ...]
    extent: Extent

    @property
    def whole(self) -> bool:
        """Whether a unit sees the whole picture, whatever its size."""
        return math.isinf(self.size[0]) and math.isinf(self.size[1])

    def box(self, row: int, column: int) -> Box:
        """Pixels that can influence the unit at (row, column), cut at the picture's borders.

        Empty (all zero) for a unit that sees nothing but padding.

        Raises:
            AddressError: no such position.
        """
        rows, columns = self.map_size
        if not (0 <= row < rows and 0 <= column < columns):
            height, width = self.image_size
            raise AddressError(
                f"{self.layer} has {rows}×{columns} positions for a {height}×{width} picture, got {row},{column}."
            )
        at = (column, row) if self.extent.transposed else (row, column)
        (top, bottom), (left, right) = _span(self.extent.rows, at[0]), _span(self.extent.columns, at[1])
        return Box(top, left, bottom, right) if top < bottom and left < right else Box(0, 0, 0, 0)

    def center(self, row: float, column: float) -> tuple[float, float]:
        """(row, column) of the pixel at the center of a unit's nominal field; may lie outside the picture."""
        at = (column, row) if self.extent.transposed else (row, column)
        return self.start[0] + at[0] * self.stride[0], self.start[1] + at[1] * self.stride[1]


def receptive_field(model: Model, layer: str, *, size: tuple[int, int] | None = None) -> ReceptiveField:
    """Compute the receptive field of a layer's units.

    Args:
        model: the network.
        layer: address of a layer; channel and position are ignored, all channels of a position see the same box.
        size: (height, width) of the picture; the model's own by default.

    Raises:
        AddressError: no such layer, or it computes nothing of its own.
        ModelError: the network cannot be exported.
    """
    traced = graph(model, size)
    tap = layout(model).tap(parse(layer, model), model)
    return _field(layout(model).name(tap), traced, extents(model, size)[value_of(traced, tap, model)])


def receptive_fields(model: Model, *, size: tuple[int, int] | None = None) -> dict[tuple[str, int], ReceptiveField]:
    """Compute the receptive fields of all layer calls that have one, by (layer, call).

    Raises:
        ModelError: the network cannot be exported.
    """
    traced, known = graph(model, size), extents(model, size)
    names = layout(model)
    return {
        (layer, call): _field(names.name(Address(layer, call)), traced, known[value])
        for (layer, call), value in traced.layer_outputs.items()
        if value in known and layer in names.counts
    }


def extents(model: Model, size: tuple[int, int] | None = None) -> dict[str, Extent]:
    """Propagate index boxes through the whole graph, once per input size: the extent of every value by name."""
    traced = graph(model, size)
    key = f"extents {traced.size}"
    if key not in model.memo:
        height, width = traced.size
        known = {traced.input: Extent(Axis.of_input(2, height), Axis.of_input(3, width))}
        for step in traced.steps:
            extent = propagate(step, known, traced)
            if extent is not None:
                known[step.name] = extent
        model.memo[key] = known
    found: dict[str, Extent] = model.memo[key]
    return found


def _field(name: str, traced: Graph, extent: Extent) -> ReceptiveField:
    rows, columns = extent.axes
    return ReceptiveField(
        layer=name,
        size=(rows.size, columns.size),
        stride=(_stride(rows), _stride(columns)),
        start=(rows.start, columns.start),
        map_size=(len(columns.low), len(rows.low)) if extent.transposed else (len(rows.low), len(columns.low)),
        image_size=traced.size,
        exact=extent.exact and rows.folded is None and columns.folded is None,
        notes=extent.notes,
        extent=extent,
    )


def _stride(axis: Axis) -> float:
    return axis.stride if axis.dim is not None and len(axis.low) > 1 else 0.0


def _span(axis: Axis, index: int) -> tuple[int, int]:
    low, high = int(axis.low[index]), int(axis.high[index])
    return (low, high + 1) if low <= high else (0, 0)
