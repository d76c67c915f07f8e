"""The figure of activation maps: a grid of one layer's channels, or the journey of a picture through the layers."""

from dataclasses import dataclass
from math import isinf
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from convscope.image import place
from convscope.plot.blend import overlay, picture
from convscope.plot.dispatch import figure
from convscope.plot.lettering import ellipsize, wrap
from convscope.plot.panel import SMALL
from convscope.plot.scale import PERCENTILE, Scale
from convscope.plot.sheet import BAR, FAINT, Sheet, line_height
from convscope.plot.tiles import Grid, draw_tiles
from convscope.plot.words import network_words, number, target_words, tick_words
from convscope.results import ActivationMaps, LayerMaps

ScaleBy = Literal["shared", "channel"]

_MARGIN, _GUTTER = 0.3, 0.25
_TITLE, _HEAD, _TEXT = 11.0, 8.5, 7.0
_SIDE = 1.75
"""Width of the column with the picture and the words, in inches."""

_OUTSIDE = 0.72
"""How far what a unit cannot see is faded towards white."""

_NAMES = {"max": "largest activation", "mean": "mean activation", "contribution": "contribution to the target"}


@dataclass(frozen=True)
class _Look:
    """How maps are drawn.

    Attributes:
        maps: the result.
        image: which of its pictures.
        overlay: over the picture, aligned by receptive fields, instead of bare.
        shared: one scale for all channels of a layer.
    """

    maps: ActivationMaps
    image: int
    overlay: bool
    shared: bool

    def scales(self, layer: LayerMaps) -> tuple[Scale, ...]:
        """The scale of each channel, the same for all pictures; signed where the layer has negative values."""
        values = layer.values.numpy()
        signed, size = bool((values < 0).any()), np.abs(values)
        if self.shared:
            peak = float(size.max())
            limit = float(np.percentile(size, PERCENTILE)) or peak
            return (Scale(limit=limit, peak=peak, signed=signed),) * len(layer.channels)
        peaks = size.max(axis=(0, 2, 3))
        return tuple(Scale(limit=float(peak), peak=float(peak), signed=signed) for peak in peaks)

    def tiles(self, layer: LayerMaps) -> list[NDArray[np.float64]]:
        """Each channel's map in colors: (rows, columns, 3), or at the picture's size with it below."""
        return [self._tile(layer, channel, scale) for channel, scale in enumerate(self.scales(layer))]

    def labels(self, layer: LayerMaps) -> list[tuple[str]]:
        """Each channel and the number that it is sorted by."""
        keys = {"mean": layer.means, "contribution": layer.contributions}.get(self.maps.sort)
        numbers = (layer.peaks if keys is None else keys)[self.image].tolist()
        return [(f"{channel} · {number(key)}",) for channel, key in zip(layer.channels, numbers, strict=True)]

    def _tile(self, layer: LayerMaps, channel: int, scale: Scale) -> NDArray[np.float64]:
        values = layer.values[self.image, channel]
        if not self.overlay:
            return scale.rgb(values.numpy())
        image = self.maps.images[self.image]
        size = (image.shape[1], image.shape[2])
        return overlay(image, place(values[None, None], size, layer.start, layer.stride)[0, 0].numpy(), scale)

    def ticks(self, layer: LayerMaps) -> tuple[str, str, str]:
        """Words at the color bar of a layer."""
        if self.shared:
            return tick_words(self.scales(layer)[0])
        return ("−own peak", "0", "own peak") if self.scales(layer)[0].signed else ("0", "", "own peak")

    @property
    def name(self) -> str:
        """The picture's name, without its folders."""
        return self.maps.sources[self.image].name.replace("\\", "/").rpartition("/")[2]

    @property
    def order(self) -> str:
        """What the channels shown are."""
        several = " over all pictures" if len(self.maps.images) > 1 else ""
        name = _NAMES.get(self.maps.sort)
        return "the channels asked for" if name is None else f"by {name}{several}"

    @property
    def legend(self) -> str:
        """What the colors and numbers mean."""
        over = "aligned by receptive fields" if all(layer.exact for layer in self.maps.layers) else "spread evenly"
        parts = [
            "one scale for all channels of a layer" if self.shared else "each channel in its own scale, up to its peak",
            f"maps lie over the picture, {over}" if self.overlay else "bare maps, from border to border",
            f"below a map: channel · {_NAMES.get(self.maps.sort, _NAMES['max']).removesuffix(' to the target')}",
        ]
        if self.shared:
            parts.append(f"colors end at percentile {PERCENTILE:g}")
        if self.maps.targets:
            score = number(float(self.maps.scores[self.image]), 3) if self.maps.scores is not None else ""
            answer = target_words(
                self.maps.targets[self.image], {int(key): name for key, name in self.maps.classes.items()}
            )
            parts.append(f"contribution: Σ activation × gradient of {answer}, which scores {score}")
        words = "; ".join(parts)
        return f"{words[0].upper()}{words[1:]}."


@figure.register
def activations_figure(
    maps: ActivationMaps,
    *,
    layer: str | None = None,
    image: int = 0,
    overlay: bool = False,
    scale: ScaleBy = "channel",
    columns: int | None = None,
) -> Figure:
    """Draw a grid of one layer's channels, or, of several layers, one row each: the picture's journey.

    Args:
        maps: of any layers.
        layer: the one to draw as a grid; all by default.
        image: which of the pictures.
        overlay: lay each map over the picture, aligned by receptive fields.
        scale: ``"channel"``: each channel fills its own scale. ``"shared"``: one for all channels of a layer.
        columns: of the grid.

    Raises:
        ValueError: no such layer or picture in the result.
    """
    known = {item.layer: item for item in maps.layers}
    if not 0 <= image < len(maps.images) or (layer is not None and layer not in known):
        raise ValueError(f"no picture {image} or layer {layer!r}; has {len(maps.images)} and {', '.join(known)}.")
    look = _Look(maps, image, overlay, shared=scale == "shared")
    if layer is None and len(known) > 1:
        return _journey(look)
    return _grid(look, maps.layers[0] if layer is None else known[layer], columns)


def _grid(look: _Look, layer: LayerMaps, columns: int | None) -> Figure:
    tiles = look.tiles(layer)
    wanted = columns or min(8, len(tiles))
    grid = Grid.inside(len(tiles), 0.82 * wanted, _aspect(look), columns=wanted)
    width = 2 * _MARGIN + _SIDE + _GUTTER + grid.reach
    title = wrap(
        f"{layer.layer}: {len(tiles)} of {layer.count} channels, {look.order}",
        width - 0.6,
        _TITLE,
        lines=3,
        weight="bold",
    )
    top = _MARGIN + len(title) * line_height(_TITLE) + 0.12
    words = [*_facts(layer), *wrap(look.legend, _SIDE, SMALL, lines=12)]
    height = _SIDE * _aspect(look)
    side = height + 0.08 + line_height(_TEXT) + BAR + 0.14 + line_height(SMALL) * (len(words) + 2)
    sheet = Sheet(width, top + max(grid.total, side) + _MARGIN)
    sheet.text(_MARGIN, _MARGIN, title, size=_TITLE, weight="bold")
    sheet.pixels(_MARGIN, top, _SIDE, height, picture(look.maps.images[look.image]))
    below = top + height + 0.04
    name = f"{look.name} · {network_words(look.maps.provenance)}"
    below = sheet.text(_MARGIN, below, ellipsize(name, _SIDE, _TEXT), size=_TEXT) + 0.08
    below = _bar(sheet, _MARGIN, below, _SIDE, scale=look.scales(layer)[0], words=look.ticks(layer)) + 0.04
    sheet.text(_MARGIN, below, words, size=SMALL, color=FAINT)
    draw_tiles(sheet, _MARGIN + _SIDE + _GUTTER, top, grid, pictures=tiles, labels=look.labels(layer))
    return sheet.figure


def _journey(look: _Look) -> Figure:
    maps = look.maps
    most = max(len(layer.channels) for layer in maps.layers)
    aspect, tile = _aspect(look), 0.86
    grid = Grid(most, most, tile, tile * aspect, 1)
    lead, seen = 1.55, tile
    left = _MARGIN + lead + _GUTTER / 2
    width = left + seen + _GUTTER + grid.reach + _MARGIN
    inner = width - 2 * _MARGIN
    title = wrap(
        f"{look.name} on its way through {network_words(maps.provenance)}", inner, _TITLE, lines=2, weight="bold"
    )
    legend = wrap(f"Left: what the unit in the middle of the layer can see. {look.legend}", inner, SMALL, lines=5)
    head = _MARGIN + len(title) * line_height(_TITLE) + 0.12
    row = max(grid.row, line_height(_HEAD) + 3 * line_height(SMALL) + BAR + 0.2) + 0.12
    sheet = Sheet(width, head + len(maps.layers) * row + len(legend) * line_height(SMALL) + _MARGIN)
    sheet.text(_MARGIN, _MARGIN, title, size=_TITLE, weight="bold")
    for index, layer in enumerate(maps.layers):
        top = head + index * row
        below = sheet.text(_MARGIN, top, ellipsize(layer.layer, lead, _HEAD, "bold"), size=_HEAD, weight="bold")
        below = sheet.text(_MARGIN, below, _facts(layer), size=SMALL, color=FAINT)
        _bar(sheet, _MARGIN, below + 0.04, lead * 0.8, scale=look.scales(layer)[0], words=look.ticks(layer))
        sheet.pixels(left, top, seen, seen * aspect, _seen(look, layer))
        grid_of = Grid(len(layer.channels), most, tile, tile * aspect, 1)
        draw_tiles(
            sheet,
            left + seen + _GUTTER,
            top,
            grid_of,
            pictures=look.tiles(layer),
            labels=look.labels(layer),
        )
    sheet.text(_MARGIN, head + len(maps.layers) * row, legend, size=SMALL, color=FAINT)
    return sheet.figure


def _facts(layer: LayerMaps) -> list[str]:
    rows, columns = layer.values.shape[2:]
    kind = "tokens" if layer.kind == "tokens" else "map"
    facts = [f"{layer.count} channels, {kind} {rows}×{columns}", f"stride {_pair(layer.stride)} px"]
    if not any(layer.field):
        return [*facts, "receptive field unknown"]
    whole = all(isinf(extent) for extent in layer.field)
    return [*facts, "each unit sees everything" if whole else f"each unit sees {_pair(layer.field)} px"]


def _pair(extents: tuple[float, float]) -> str:
    rows, columns = ("all" if isinf(extent) else f"{extent:g}" for extent in extents)
    return rows if rows == columns else f"{rows}×{columns}"


def _seen(look: _Look, layer: LayerMaps) -> NDArray[np.float64]:
    """The picture, faded where the unit in the middle of the map cannot see it."""
    pixels = picture(look.maps.images[look.image])
    if not any(layer.field):
        return pixels
    inside = np.ones(pixels.shape[:2], dtype=bool)
    for axis in range(2):
        middle = layer.values.shape[2 + axis] // 2
        center, extent = layer.start[axis] + middle * layer.stride[axis], layer.field[axis]
        place_of = np.abs(np.arange(pixels.shape[axis]) - center) <= extent / 2
        inside &= place_of[:, None] if axis == 0 else place_of[None, :]
    return np.where(inside[..., None], pixels, pixels + (1 - pixels) * _OUTSIDE)


def _bar(sheet: Sheet, left: float, top: float, width: float, *, scale: Scale, words: tuple[str, str, str]) -> float:
    axes = sheet.axes(left, top, width, BAR)
    ramp = np.linspace(scale.low, scale.limit or 1.0, 255, dtype=np.float32)[None]
    axes.imshow(scale.rgb(ramp), aspect="auto", interpolation="nearest")
    below = top + BAR + 0.02
    for x, align, word in zip((0, width / 2, width), ("left", "center", "right"), words, strict=True):
        sheet.text(left + x, below, word, size=SMALL, align=align)
    return below + line_height(SMALL)


def _aspect(look: _Look) -> float:
    """Height by width of the picture, and of a tile: every map stands for all of it."""
    return look.maps.images.shape[2] / look.maps.images.shape[3]
