"""Where a layer's output has its channels and positions: maps, channels-last maps, and tokens.

Convolutional networks give (n, c, h, w). Some timm networks keep (n, h, w, c). Transformers give (n, tokens, c), where
the tokens behind the class token and its like are a grid of patches.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from convscope.anatomy.receptive_field import extents, receptive_field
from convscope.errors import MethodError, ModelError
from convscope.model import Address, Model
from convscope.probe import graph, layout, value_of

Kind = Literal["map", "channels last", "tokens"]


@dataclass(frozen=True)
class MapLayout:
    """How to read a layer's output as a map, and where the map lies on the picture.

    Attributes:
        kind: ``"map"`` (n, c, h, w), ``"channels last"`` (n, h, w, c) or ``"tokens"`` (n, prefix + h·w, c).
        grid: (rows, columns) of positions.
        prefix: number of tokens ahead of the grid (class token, registers).
        start: (row, column) in pixels of the center of position 0,0.
        stride: (rows, columns) in pixels between positions.
        aligned: whether start and stride come from true receptive fields; else they assume an even spread.
    """

    kind: Kind
    grid: tuple[int, int]
    prefix: int
    start: tuple[float, float]
    stride: tuple[float, float]
    aligned: bool

    def to_map(self, activation: Tensor) -> Tensor:
        """Bring a layer's output, or its gradient, to (n, c, h, w)."""
        if self.kind == "map":
            return activation
        if self.kind == "channels last":
            return activation.permute(0, 3, 1, 2)
        tokens = activation[:, self.prefix :].transpose(1, 2)
        return tokens.reshape(*tokens.shape[:2], *self.grid)


def map_layout(model: Model, tap: Address, shape: tuple[int, ...], image_size: tuple[int, int]) -> MapLayout:
    """Find out how to read the output of a layer call as a map.

    Args:
        model: the network.
        tap: the layer call (see ``Layout.tap``).
        shape: of its output.
        image_size: (height, width) of the input.

    Raises:
        MethodError: the output has no positions.
    """
    key = f"map layout {tap} {shape[1:]} {image_size}"
    if key not in model.memo:
        model.memo[key] = (
            _tokens(model, tap, shape, image_size) if len(shape) == 3 else _map(model, tap, shape, image_size)
        )
    known: MapLayout = model.memo[key]
    return known


def _map(model: Model, tap: Address, shape: tuple[int, ...], image_size: tuple[int, int]) -> MapLayout:
    if len(shape) != 4:
        raise MethodError(
            f"layer {layout(model).name(tap)!r} of {model.name} has output {shape[1:]}, which has no "
            "positions to draw. Choose a layer with maps; `convscope layers` lists them."
        )
    even = _even("map", (shape[2], shape[3]), 0, image_size)
    try:
        value = value_of(graph(model, image_size), tap, model)
    except ModelError:
        return even  # not traceable, or an identity: the stated fallback, and ``aligned`` says so
    dims = tuple(axis.dim for axis in extents(model, image_size)[value].axes)
    if dims not in {(2, 3), (1, 2)}:
        return even
    field = receptive_field(model, str(tap), size=image_size)
    kind: Kind = "map" if dims == (2, 3) else "channels last"
    # One position has no stride of its own; it stands for the whole picture.
    rows, columns = (float(field.stride[i] or image_size[i]) for i in range(2))
    return MapLayout(kind, field.map_size, 0, field.start, (rows, columns), aligned=True)


def _tokens(model: Model, tap: Address, shape: tuple[int, ...], image_size: tuple[int, int]) -> MapLayout:
    tokens = shape[1]
    grids = [call.shape[2:] for call in layout(model).calls if call.shape and len(call.shape) == 4]
    own = model.spec.preprocessing.size
    scaled = [tuple(round(extent * image_size[i] / own[i]) for i, extent in enumerate(grid)) for grid in grids]
    fitting = [grid for grid in scaled if 1 < grid[0] * grid[1] <= tokens]
    if not fitting or tokens - fitting[-1][0] * fitting[-1][1] > 16:
        raise MethodError(
            f"layer {layout(model).name(tap)!r} of {model.name} has {tokens} tokens, which fit no patch "
            "grid of the network. Choose another layer."
        )
    rows, columns = fitting[-1]
    return _even("tokens", (rows, columns), tokens - rows * columns, image_size)


def _even(kind: Kind, grid: tuple[int, int], prefix: int, image_size: tuple[int, int]) -> MapLayout:
    stride = (image_size[0] / grid[0], image_size[1] / grid[1])
    start = ((stride[0] - 1) / 2, (stride[1] - 1) / 2)
    return MapLayout(kind, grid, prefix, start, stride, aligned=kind == "tokens")
