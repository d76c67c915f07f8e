"""Where a layer's output has its channels and positions: maps, channels-last maps, and tokens.

Convolutional networks give (n, c, h, w). Some timm networks keep (n, h, w, c). Transformers give (n, tokens, c), where
the tokens behind the class token and its like are a grid of patches.
"""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from convscope.anatomy.receptive_field import extents, receptive_field
from convscope.errors import MethodError, ModelError
from convscope.model import Address, Model
from convscope.probe import graph, layout, value_of

Kind = Literal["map", "channels last", "tokens"]

_MOST_PREFIX = 16
"""Class, distillation and register tokens that a grid of patches may be preceded by."""


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
    last = _is_channels_last(shape, image_size)
    even = _even("channels last" if last else "map", shape[1:3] if last else shape[2:4], 0, image_size)
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


def _is_channels_last(shape: tuple[int, ...], image_size: tuple[int, int]) -> bool:
    """Guess by the picture's aspect: (n, h, w, c) has it in the middle, and nothing like it at the end."""
    return _has_aspect(shape[1:3], image_size, 1.1) and not _has_aspect(shape[2:4], image_size, 1.7)


def _has_aspect(grid: tuple[int, ...], image_size: tuple[int, int], tolerance: float) -> bool:
    ratio = (grid[0] / grid[1]) / (image_size[0] / image_size[1])
    return 1 / tolerance <= ratio <= tolerance


def _tokens(model: Model, tap: Address, shape: tuple[int, ...], image_size: tuple[int, int]) -> MapLayout:
    tokens, own = shape[1], model.spec.preprocessing.size
    shapes = [call.shape for call in layout(model).calls if call.shape and len(call.shape) == 4]
    grids = {s[1:3] if _is_channels_last(s, own) else s[2:4] for s in shapes}
    scaled = {(round(g[0] * image_size[0] / own[0]), round(g[1] * image_size[1] / own[1])) for g in grids}
    rows, columns = max((grid for grid in scaled if grid[0] * grid[1] <= tokens), key=math.prod, default=(0, 0))
    prefix = tokens - rows * columns
    if rows * columns < 2 or prefix > _MOST_PREFIX:
        raise MethodError(
            f"layer {layout(model).name(tap)!r} of {model.name} has {tokens} tokens, which fit no patch "
            "grid of the network. Choose another layer."
        )
    return _even("tokens", (rows, columns), prefix, image_size)


def _even(kind: Kind, grid: tuple[int, ...], prefix: int, image_size: tuple[int, int]) -> MapLayout:
    rows, columns = grid
    stride = (image_size[0] / rows, image_size[1] / columns)
    start = ((stride[0] - 1) / 2, (stride[1] - 1) / 2)
    return MapLayout(kind, (rows, columns), prefix, start, stride, aligned=kind == "tokens")
