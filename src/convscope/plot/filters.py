"""The figure of a layer's filters: colored tiles, labelled tiles, or all weights as one heatmap."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from convscope.plot.dispatch import figure
from convscope.plot.lettering import wrap
from convscope.plot.panel import SMALL
from convscope.plot.scale import LEVELS, PERCENTILE, Scale
from convscope.plot.sheet import BAR, FAINT, Sheet, line_height
from convscope.plot.tiles import Grid, draw_tiles
from convscope.plot.words import network_words, number, percent, tick_words
from convscope.results import Filters

Values = NDArray[np.float32]
ScaleBy = Literal["shared", "filter"]
Colors = Literal["diverging", "gray"]

_MARGIN, _REACH = 0.3, 7.4
_TITLE, _HEAD = 11.0, 8.0
_AXIS = 0.34
"""Room for the numbers beside a collated image, in inches."""

_SIDE = 1200
"""About how many pixels wide a collated image is drawn, at 150 per inch."""

_GRAY_GAP = "#cfe3f5"
"""Between gray tiles: white would be the end of their scale."""

_MOST_MIXERS, _MOST_MIXED = 12, 8


@dataclass(frozen=True)
class _Paint:
    """How values become colors: one scale for all filters, or one for each.

    Attributes:
        scale: for all; for each filter alone after division by its own limit (``limits``).
        limits: (filters,), the |value| at the end of each filter's colors.
        shared: whether the limits are all the same.
        gray: gray instead of red and blue, or inferno.
    """

    scale: Scale
    limits: Values
    shared: bool
    gray: bool

    @classmethod
    def of(cls, values: Values, *, by: ScaleBy, gray: bool, signed: bool) -> "_Paint":
        size = np.abs(values).reshape(len(values), -1)
        peak = float(size.max())
        if by == "filter":
            limits = size.max(axis=1)
            return cls(Scale(limit=1.0, peak=1.0, signed=signed), limits, shared=False, gray=gray)
        # A layer of few weights has no outliers to speak of; none of them is clipped.
        limit = (float(np.percentile(size, PERCENTILE)) if size.size > 2000 else peak) or peak
        scale = Scale(limit=limit, peak=peak, signed=signed)
        return cls(scale, np.full(len(values), limit, np.float32), shared=True, gray=gray)

    def scaled(self, values: Values) -> Values:
        """Values as the scale takes them: (filters, ...)."""
        if self.shared:
            return values
        limits = np.where(self.limits > 0, self.limits, 1).astype(np.float32)
        return (values / limits.reshape(-1, *[1] * (values.ndim - 1))).astype(np.float32)

    @property
    def colormap(self) -> Colormap:
        if not self.gray:
            return self.scale.colormap
        return ListedColormap(np.repeat(np.linspace(0, 1, LEVELS)[:, None], 3, axis=1))

    def rgb(self, values: Values) -> NDArray[np.float64]:
        """Colors of scaled values, (...) to (..., 3)."""
        return np.asarray(self.colormap(self.scale.norm(values)))[..., :3]

    @property
    def words(self) -> str:
        if not self.shared:
            return "each filter in its own scale, which ends at its largest |value|"
        if self.scale.clipped:
            return f"one scale for all filters; it ends at percentile {PERCENTILE:g}, peak {number(self.scale.peak)}"
        return "one scale for all filters"


@figure.register
def filters_figure(filters: Filters, *, scale: ScaleBy = "shared", colors: Colors = "diverging") -> Figure:
    """Draw the view of a layer's filters that was asked for.

    Args:
        filters: of any view.
        scale: ``"shared"``: one scale for all filters, so that they can be compared. ``"filter"``: each filter fills
            its own, so that weak ones can be seen. The legend says which.
        colors: of weights: ``"diverging"`` red for positive and blue for negative, or ``"gray"``: from black over
            mid-gray zero to white.
    """
    values = filters.values.numpy()
    signed = filters.view != "spectrum"
    paint = _Paint.of(values, by=scale, gray=colors == "gray", signed=signed)
    match filters.view:
        case "color":
            return _color(filters, paint)
        case "collated":
            return _collated(filters, paint)
        case "pairs":
            return _pairs(filters, paint)
        case _:
            return _tiles(filters, paint)


def _color(filters: Filters, paint: _Paint) -> Figure:
    values = paint.scaled(filters.values.numpy()) / (paint.scale.limit or 1)
    pictures = [np.clip(0.5 + tile.transpose(1, 2, 0) / 2, 0, 1).astype(np.float64) for tile in values]
    if values.shape[1] == 1:
        pictures = [np.repeat(tile, 3, axis=2) for tile in pictures]
    labels = [tuple(_label(filters, place)) for place in range(len(pictures))]
    end = f"Full color: ±{number(paint.scale.limit)} ({filters.unit})" if paint.shared else f"Unit: {filters.unit}"
    legend = f"Mid-gray is zero: a filter adds up what is brighter and takes off what is darker. {end}; {paint.words}."
    return _sheet_of_tiles(filters, pictures, labels, legend, None)


def _tiles(filters: Filters, paint: _Paint) -> Figure:
    values = paint.scaled(filters.values.numpy())
    pictures = [paint.rgb(tile) for block in values for tile in block]
    if filters.view == "spectrum":
        labels = [tuple(_label(filters, place)) for place in range(len(pictures))]
        about = "Middle of a tile: zero frequency; edges: ±½ cycle per pixel."
    else:
        labels = [
            (f"{index},{filters.input_channel(index, channel)}",)
            for index in filters.shown
            for channel in filters.channels
        ]
        about = "Labels: filter,input channel."
    return _sheet_of_tiles(filters, pictures, labels, f"{about} Unit: {filters.unit}; {paint.words}.", paint)


def _sheet_of_tiles(
    filters: Filters,
    pictures: list[NDArray[np.float64]],
    labels: list[tuple[str, ...]],
    legend: str,
    paint: _Paint | None,
) -> Figure:
    rows, columns = pictures[0].shape[:2]
    per_filter = len(pictures) // len(filters.shown)
    lines = max(len(lines) for lines in labels)
    grid = Grid.inside(len(pictures), _REACH, rows / columns, columns=None, lines=lines)
    if 1 < per_filter <= 3 * grid.columns:  # the channels of a filter stay in one row
        whole = max(1, grid.columns // per_filter) * per_filter
        grid = Grid.inside(len(pictures), _REACH, rows / columns, columns=whole, lines=lines)
    reach = max(grid.reach, 5.0)
    head, words = _head(filters, reach), wrap(legend, reach, SMALL, lines=5)
    top = _MARGIN + _head_height(head)
    below = top + grid.total + 0.06
    bar = 0.0 if paint is None else BAR + 0.1 + line_height(SMALL)
    sheet = Sheet(reach + 2 * _MARGIN, below + bar + len(words) * line_height(SMALL) + _MARGIN)
    _draw_head(sheet, head)
    draw_tiles(sheet, _MARGIN, top, grid, pictures=pictures, labels=labels)
    if paint is not None:
        _bar(sheet, below, paint)
    sheet.text(_MARGIN, below + bar, words, size=SMALL, color=FAINT)
    return sheet.figure


def _collated(filters: Filters, paint: _Paint) -> Figure:
    """Filters run down, input channels across; a long strip is cut into blocks that stand side by side."""
    values = paint.scaled(filters.values.numpy())
    count, width, rows, columns = values.shape
    gap = 0 if rows == columns == 1 else 1
    high, wide = rows + gap, width * (columns + gap)
    apart = max(2, round(0.03 * max(wide, high)))
    blocks = _blocks(count, high, wide + apart)
    per_block = ceil(count / blocks)
    picture = np.full((per_block * high - gap, blocks * (wide + apart) - apart - gap), np.nan, np.float32)
    for place, block in enumerate(values):
        top, left = place % per_block * high, place // per_block * (wide + apart)
        for channel, tile in enumerate(block):
            x = left + channel * (columns + gap)
            picture[top : top + rows, x : x + columns] = tile
    factor = max(1, round(_SIDE / picture.shape[1])) if picture.shape[0] < 2 * _SIDE else 1
    factor = min(factor, 16, max(1, 2 * _SIDE // picture.shape[0]))
    inch = factor / 150
    return _draw_collated(filters, paint, picture, inch=inch, step=(high, columns + gap, wide + apart, per_block))


def _draw_collated(
    filters: Filters, paint: _Paint, picture: Values, *, inch: float, step: tuple[int, int, int, int]
) -> Figure:
    high, wide, block, per_block = step
    reach, height = picture.shape[1] * inch, picture.shape[0] * inch
    inner = max(reach + _AXIS, 5.0)
    head = _head(filters, inner)
    legend = f"{_axes_words(filters, blocks=len(filters.shown) > per_block)} Unit: {filters.unit}; {paint.words}."
    words = wrap(legend, inner, SMALL, lines=5)
    top = _MARGIN + _head_height(head) + line_height(SMALL)
    below = top + height + 0.1
    bar = BAR + 0.1 + line_height(SMALL)
    sheet = Sheet(inner + 2 * _MARGIN, below + bar + len(words) * line_height(SMALL) + _MARGIN)
    _draw_head(sheet, head)
    axes = sheet.axes(_MARGIN + _AXIS, top, reach, height)
    axes.imshow(
        np.ma.masked_invalid(picture),
        cmap=paint.colormap.with_extremes(bad=_GRAY_GAP if paint.gray else "white"),
        norm=paint.scale.norm,
        aspect="auto",
        origin="upper",
        interpolation="nearest",
    )
    for place, x in _ticks(len(filters.channels), wide * inch, 0.3):
        label = str(filters.channels[place]) if len(filters.channels) > 1 else ""
        sheet.text(_MARGIN + _AXIS + x, top - line_height(SMALL), label, size=SMALL, color=FAINT, align="center")
    for place, y in _ticks(min(per_block, len(filters.shown)), high * inch, 0.16):
        text = str(filters.shown[place])
        sheet.text(
            _MARGIN + _AXIS - 0.05, top + y - line_height(SMALL) / 2, text, size=SMALL, color=FAINT, align="right"
        )
    for place in range(per_block, len(filters.shown), per_block):
        x = place // per_block * block * inch
        text = f"{filters.shown[place]} ↓"
        sheet.text(_MARGIN + _AXIS + x, top - line_height(SMALL), text, size=SMALL, color=FAINT)
    _bar(sheet, below, paint)
    sheet.text(_MARGIN, below + bar, words, size=SMALL, color=FAINT)
    return sheet.figure


def _axes_words(filters: Filters, *, blocks: bool) -> str:
    group = " of the filter’s group" if filters.groups > 1 else ""
    across = "" if len(filters.channels) == 1 else f" Across: input channels{group}."
    further = " The next block goes on where the last one ends." if blocks else ""
    return f"Down: filters.{further}{across}"


def _blocks(count: int, high: int, wide: int) -> int:
    """Into how many blocks a strip of filters is cut so that the picture comes closest to four by three."""
    best = min(range(1, count + 1), key=lambda n: abs(np.log(n * wide / (ceil(count / n) * high) / (4 / 3))))
    return ceil(count / ceil(count / best))


def _ticks(count: int, step: float, apart: float) -> Iterator[tuple[int, float]]:
    """Round numbers of tiles, at least ``apart`` inches from each other: (index, center in inches)."""
    every = next(n for n in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2**30) if n * step >= apart)
    return ((place, (place + 0.5) * step) for place in range(0, count, every))


def _pairs(filters: Filters, paint: _Paint) -> Figure:
    """One row per output of the pointwise layer: the depthwise filters it weighs most, strongest first."""
    mixing = (filters.mixing if filters.mixing is not None else filters.values.flatten(1).T).numpy()
    scaled = paint.scaled(filters.values.numpy())[:, 0]
    strength = np.linalg.norm(mixing, axis=1)
    outputs = np.argsort(-strength, kind="stable")[:_MOST_MIXERS]
    kept = min(_MOST_MIXED, mixing.shape[1])
    tile, lead = 0.56, 1.15
    grid = Grid(kept, kept, tile, tile * scaled.shape[1] / scaled.shape[2], lines=2)
    legend = (
        f"Rows: the outputs of {filters.mixer} with the largest weights ({len(outputs)} of {len(mixing)}), each with "
        f"the filters of {filters.layer} that it weighs most; below a tile the filter and its weight, beside a row "
        f"the share of its squared weights that is shown. Tiles: {filters.unit}; {paint.words}. Normalization and "
        "activation may lie between the two."
    )
    inner = max(lead + grid.reach, 5.6)
    head, words = _head(filters, inner), wrap(legend, inner, SMALL, lines=7)
    top = _MARGIN + _head_height(head)
    below = top + len(outputs) * (grid.row + 0.06)
    bar = BAR + 0.1 + line_height(SMALL)
    sheet = Sheet(inner + 2 * _MARGIN, below + bar + len(words) * line_height(SMALL) + _MARGIN)
    _draw_head(sheet, head)
    for row, output in enumerate(outputs):
        y = top + row * (grid.row + 0.06)
        strongest = np.argsort(-np.abs(mixing[output]), kind="stable")[:kept]
        share = float(np.square(mixing[output][strongest]).sum() / max(float(np.square(mixing[output]).sum()), 1e-30))
        sheet.text(_MARGIN, y + 0.08, f"output {output}", size=_HEAD)
        sheet.text(_MARGIN, y + 0.08 + line_height(_HEAD), f"{percent(share)} shown", size=SMALL, color=FAINT)
        labels = [(f"{filters.shown[i]}", _signed(float(mixing[output][i]))) for i in strongest]
        draw_tiles(sheet, _MARGIN + lead, y, grid, pictures=[paint.rgb(scaled[i]) for i in strongest], labels=labels)
    _bar(sheet, below, paint)
    sheet.text(_MARGIN, below + bar, words, size=SMALL, color=FAINT)
    return sheet.figure


def _label(filters: Filters, place: int) -> Iterator[str]:
    yield str(filters.shown[place])
    if filters.keys is not None and filters.sort != "index":
        key = float(filters.keys[place])
        degrees = "°" if filters.sort in {"hue", "orientation"} else ""
        yield "none" if np.isnan(key) else f"{key:.0f}{degrees}" if degrees else number(key)


def _signed(value: float) -> str:
    return number(value) if value < 0 else f"+{number(value)}"


def _head(filters: Filters, reach: float) -> tuple[list[str], list[str]]:
    count, width, rows, columns = filters.shape
    grouped = f", {filters.groups} groups" if filters.groups > 1 else ""
    shown = "" if len(filters.shown) == count else f" · {len(filters.shown)} shown"
    ordered = "" if filters.sort == "index" else f" · sorted by {filters.sort}"
    size = f"{count} filters of {width}×{rows}×{columns}{grouped}"
    about = f"{network_words(filters.provenance)} · {filters.kind}, {size}{shown}{ordered}"
    notes = [note for note in filters.notes if not note.endswith("filters shown")]
    title = f"{'Filter spectra' if filters.view == 'spectrum' else 'Filters'} of {filters.layer}"
    return (
        wrap(title, reach, _TITLE, lines=2, weight="bold"),
        [line for text in (about, *notes) for line in wrap(text, reach, _HEAD, lines=3)],
    )


def _head_height(head: tuple[list[str], list[str]]) -> float:
    return len(head[0]) * line_height(_TITLE) + len(head[1]) * line_height(_HEAD) + 0.1


def _draw_head(sheet: Sheet, head: tuple[list[str], list[str]]) -> None:
    below = sheet.text(_MARGIN, _MARGIN, head[0], size=_TITLE, weight="bold")
    sheet.text(_MARGIN, below, head[1], size=_HEAD, color=FAINT)


def _bar(sheet: Sheet, top: float, paint: _Paint) -> None:
    """Place the color bar of a paint, with numbers at its ends and middle."""
    reach = 2.6
    axes = sheet.axes(_MARGIN, top, reach, BAR)
    axes.imshow(paint.rgb(np.linspace(paint.scale.low, paint.scale.limit, 255, dtype=np.float32)[None]), aspect="auto")
    own = ("−own largest", "0", "own largest") if paint.scale.signed else ("0", "half", "own largest")
    words = tick_words(paint.scale) if paint.shared else own
    for x, align, text in zip((0, reach / 2, reach), ("left", "center", "right"), words, strict=True):
        sheet.text(_MARGIN + x, top + BAR + 0.03, text, size=SMALL, align=align)
