"""The health of units: a row per layer, a column per question."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from convscope.plot.dispatch import figure
from convscope.plot.lettering import ellipsize, width, wrap
from convscope.plot.panel import SMALL
from convscope.plot.sheet import FAINT, HAIRLINE, Sheet, line_height
from convscope.plot.words import number, percent
from convscope.results import Health, LayerHealth

_MARGIN, _GUTTER = 0.28, 0.16
_TITLE, _TEXT = 11.0, 7.0
_ROW = 0.158
_CELL = 0.92
_NUMBER = 0.34
_LONGEST_NAME, _NARROWEST = 2.4, 5.0

_BAD, _PLAIN, _BAND, _DOT = "#b8461b", "#3b6ea8", "#a9c3dd", "#17324f"

_Share = Callable[[LayerHealth], float | None]
_Spread = Callable[[LayerHealth], Tensor | None]


@dataclass(frozen=True)
class _Bars:
    """One number per layer: a share of its units or values."""

    title: str
    of: _Share
    color: str
    count: bool = False


@dataclass(frozen=True)
class _Spreads:
    """Many numbers per layer: their middle, and from the 5th to the 95th percentile."""

    title: str
    of: _Spread
    top: float | None


def _listed(name: str) -> _Share:
    def share(layer: LayerHealth) -> float | None:
        return None if layer.activity is None else len(getattr(layer.activity, name)) / layer.units

    return share


def _when_rectified(share: _Share) -> _Share:
    return lambda layer: share(layer) if layer.rectified else None


def _saturated(layer: LayerHealth) -> float | None:
    known = layer.activity is not None and layer.activity.at_end is not None
    return _listed("saturated")(layer) if known else None


_COLUMNS: tuple[_Bars | _Spreads, ...] = (
    _Bars("dead", _listed("dead"), _BAD),
    _Bars("always on", _when_rectified(_listed("always_on")), _BAD),
    _Bars("saturated", _saturated, _BAD),
    _Bars("odd norms", lambda layer: len(layer.norm_outliers) / layer.units, _BAD),
    _Bars("like weights", lambda layer: float(layer.weight_twin_pairs), _BAD, count=True),
    _Bars(
        "act alike",
        lambda layer: None if layer.activity is None else float(layer.activity.twin_pairs),
        _BAD,
        count=True,
    ),
    _Bars("off", lambda layer: layer.sparsity, _PLAIN),
    _Spreads("selectivity", lambda layer: None if layer.activity is None else layer.activity.selectivity, 1.0),
    _Spreads("logit change", lambda layer: None if layer.ablation is None else layer.ablation.change, None),
    _Bars("answer flips", lambda layer: None if layer.ablation is None else float(layer.ablation.flips.mean()), _BAD),
)

_ABOUT = (
    "dead: never above zero · always on: above zero everywhere · saturated: at an end of the activation function 90 % "
    "of the time · odd norms: |robust z| > 3.5 · like weights, act alike: pairs of units · off: values not above zero "
    "· selectivity: of the preferred class (Morcos et al. 2018) · logit change: of the answer, one unit set to zero. "
    "Bars: share of units, or number of pairs. Bands: 5 to 95 % of units, dot: median"
)


@figure.register
def health_figure(health: Health) -> Figure:
    """Draw what an examination found: layers from top to bottom, a column of bars for each question that was asked.

    Args:
        health: of any number of layers.
    """
    columns = [column for column in _COLUMNS if any(column.of(layer) is not None for layer in health.layers)]
    names = min(max(width(layer.layer, _TEXT) for layer in health.layers) + 0.08, _LONGEST_NAME)
    left = _MARGIN + names + _NUMBER + _GUTTER
    page = max(left + len(columns) * (_CELL + _GUTTER) - _GUTTER + _MARGIN, _NARROWEST)
    title = wrap(_title(health), page - 2 * _MARGIN, _TITLE, lines=2, weight="bold")
    about = wrap(_ABOUT, page - 2 * _MARGIN, SMALL, lines=8)
    notes = [line for note in health.notes for line in wrap(note, page - 2 * _MARGIN, SMALL, lines=2)]
    head = _MARGIN + len(title) * line_height(_TITLE) + len(notes) * line_height(SMALL) + 0.14
    top = head + line_height(_TEXT) + line_height(SMALL) + 0.03
    end = top + len(health.layers) * _ROW + 0.12
    sheet = Sheet(page, end + len(about) * line_height(SMALL) + _MARGIN)
    below = sheet.text(_MARGIN, _MARGIN, title, size=_TITLE, weight="bold")
    sheet.text(_MARGIN, below, notes, size=SMALL, color=FAINT)
    sheet.text(_MARGIN + names + _NUMBER, head, "units", size=_TEXT, align="right")
    for row, layer in enumerate(health.layers):
        place = top + row * _ROW + (_ROW - line_height(_TEXT)) / 2
        sheet.text(_MARGIN, place, ellipsize(layer.layer, names - 0.05, _TEXT), size=_TEXT)
        sheet.text(_MARGIN + names + _NUMBER, place, str(layer.units), size=_TEXT, align="right", color=FAINT)
    for index, column in enumerate(columns):
        at = left + index * (_CELL + _GUTTER)
        sheet.text(at, head, column.title, size=_TEXT, weight="bold")
        axes = sheet.axes(at, top, _CELL, len(health.layers) * _ROW)
        axes.set_ylim(len(health.layers) - 0.5, -0.5)
        reach = (
            _draw_bars(axes, column, health.layers)
            if isinstance(column, _Bars)
            else _draw_spreads(axes, column, health.layers)
        )
        sheet.text(at, head + line_height(_TEXT), reach, size=SMALL, color=FAINT)
        axes.plot(
            [0, 0],
            [-0.5, len(health.layers) - 0.5],
            color=HAIRLINE,
            linewidth=0.6,
            marker="",
            linestyle="-",
            clip_on=False,
        )
    sheet.text(_MARGIN, end, about, size=SMALL, color=FAINT)
    return sheet.figure


def _title(health: Health) -> str:
    on = f"on {health.pictures} picture{'' if health.pictures == 1 else 's'}" if health.pictures else "by their weights"
    return f"Units of {health.provenance.model}, {on}"


def _draw_bars(axes: Axes, column: _Bars, layers: Sequence[LayerHealth]) -> str:
    """Draw bars to the largest of them; return the words for the scale."""
    values = [column.of(layer) for layer in layers]
    peak = max((value for value in values if value is not None), default=0.0)
    full = 1.0 if column.color == _PLAIN else peak or 1.0
    # Bars take two thirds; the longest one's number stands behind it.
    axes.set_xlim(0, full / 0.66)
    for row, value in enumerate(values):
        if value is None:
            continue
        axes.barh([row], [value], height=0.68, color=column.color, edgecolor="none", linewidth=0)
        words = f"{value:.0f}" if column.count else percent(value)
        axes.annotate(
            words if value else "·",
            (value, row),
            xytext=(2, 0),
            textcoords="offset points",
            va="center",
            ha="left",
            fontsize=5.6,
            fontfamily="DejaVu Sans",
            color=FAINT if not value else "#1a1a1a",
            annotation_clip=False,
        )
    if not peak:
        return "none"
    return f"0 to {peak:.0f} pairs" if column.count else f"0 to {percent(full)}"


def _draw_spreads(axes: Axes, column: _Spreads, layers: Sequence[LayerHealth]) -> str:
    """Draw bands and medians; return the words for the scale."""
    values = [column.of(layer) for layer in layers]
    bands = [None if value is None else np.percentile(value.double().numpy(), [5, 50, 95]) for value in values]
    top = column.top or max((float(band[2]) for band in bands if band is not None), default=0.0) or 1.0
    axes.set_xlim(0, top)
    for row, band in enumerate(bands):
        if band is not None:
            axes.barh(
                [row], [band[2] - band[0]], left=[band[0]], height=0.5, color=_BAND, edgecolor="none", linewidth=0
            )
            axes.plot(
                [band[1]], [row], marker="o", markersize=2.6, color=_DOT, markeredgewidth=0, linestyle="", clip_on=False
            )
    return f"0 to {number(top)}"
