"""Receptive fields on a picture: nested boxes, and the heat of the effective field with its profiles."""

import math

import matplotlib as mpl
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, Rectangle
from numpy.typing import NDArray

from convscope.plot.blend import overlay, picture, picture_note
from convscope.plot.dispatch import figure
from convscope.plot.lettering import ellipsize, width, wrap
from convscope.plot.panel import SMALL, Fit
from convscope.plot.scale import Scale
from convscope.plot.sheet import FAINT, INK, Sheet, line_height
from convscope.plot.words import number, percent
from convscope.results import EffectiveField, Field, FieldBox
from convscope.shapes import Image, Images

_MARGIN, _GUTTER = 0.28, 0.3
_TITLE, _TEXT = 11.0, 8.0
_LEGEND = 2.9
_SWATCH = 0.22

_BLANK = 0.93
"""Gray on which a field is drawn where there is no picture."""

_CASING = [patheffects.withStroke(linewidth=2.8, foreground="black", alpha=0.65)]
_BOX, _GAUSS = "#ffffff", "#4cc9f0"
_ROWS, _COLUMNS = "#b8461b", "#2a6f97"

_AIR = 0.12
"""Around the box in the picture of an effective field, in units of the box."""


@figure.register
def field_figure(field: Field, *, cell: float = 3.1) -> Figure:
    """Draw the boxes of a field on its picture, deeper layers in brighter colors, and below it the effective field.

    Args:
        field: of one unit, or of a column of layers.
        cell: width of a picture, in inches.
    """
    fit = Fit.inside(cell, field.image_size, tallest=1.4 * cell)
    effective = field.effective
    page = 2 * _MARGIN + cell + _GUTTER + _LEGEND
    title = wrap(_title(field), page - 2 * _MARGIN, _TITLE, lines=2, weight="bold")
    head = _MARGIN + len(title) * line_height(_TITLE) + line_height(SMALL) + 0.12
    legend = _legend_lines(field)
    body = max(fit.height, _legend_height(legend))
    below = head + body + 0.3
    sheet = Sheet(page, (below + _effective_height(effective, cell) if effective else head + body) + _MARGIN)
    under = sheet.text(_MARGIN, _MARGIN, title, size=_TITLE, weight="bold")
    sheet.text(_MARGIN, under, ellipsize(_about(field), page - 2 * _MARGIN, SMALL), size=SMALL, color=FAINT)
    rgb = _backdrop(field.image, field.image_size)
    axes = sheet.pixels(_MARGIN, head, fit.width, fit.height, rgb).axes
    for color, box in zip(_colors(len(field.boxes)), field.boxes, strict=True):
        _frame(axes, box, color)
    _cross(axes, field.boxes[-1], field.image_size)
    _draw_legend(sheet, _MARGIN + cell + _GUTTER, head, legend)
    if effective is not None:
        _draw_effective(sheet, below, effective, cell)
    return sheet.figure


@figure.register
def effective_field_figure(field: EffectiveField, *, cell: float = 3.1) -> Figure:
    """Draw the heat of an effective field around its theoretical box, and its profiles along rows and columns.

    Args:
        field: of one unit.
        cell: width of a picture, in inches.
    """
    sheet = Sheet(2 * _MARGIN + cell + _GUTTER + _LEGEND, 2 * _MARGIN + _effective_height(field, cell))
    _draw_effective(sheet, _MARGIN, field, cell)
    return sheet.figure


def _title(field: Field) -> str:
    return f"What {field.address} sees" if len(field.boxes) == 1 else f"How the field grows up to {field.address}"


def _about(field: Field) -> str:
    height, wide = field.image_size
    note = picture_note(field.image.shape[1]) if field.image is not None else "no picture given"
    return " · ".join(filter(None, (field.provenance.model, f"input {height} × {wide} pixels", note)))


def _colors(count: int) -> list[tuple[float, float, float]]:
    """From dark to bright with depth; a lone box is bright."""
    places = np.linspace(0.08, 0.93, count) if count > 1 else [0.85]
    return [tuple(mpl.colormaps["plasma"](place)[:3]) for place in places]


def _backdrop(image: Images | None, size: tuple[int, int]) -> NDArray[np.float64]:
    return np.full((*size, 3), _BLANK) if image is None else picture(image[0])


def _frame(axes: Axes, box: FieldBox, color: object, *, linewidth: float = 1.5) -> None:
    top, left, bottom, right = box.box
    # Pixel centers are at whole numbers, so a box of pixels begins half a pixel before its first.
    axes.add_patch(
        Rectangle(
            (left - 0.5, top - 0.5),
            right - left,
            bottom - top,
            facecolor="none",
            edgecolor=color,
            linewidth=linewidth,
            linestyle="-",
            joinstyle="miter",
            clip_on=False,
            path_effects=_CASING,
        )
    )


def _cross(axes: Axes, box: FieldBox, size: tuple[int, int]) -> None:
    row, column = box.center
    if 0 <= row < size[0] and 0 <= column < size[1]:
        axes.plot(
            [column],
            [row],
            marker="+",
            markersize=6,
            color=_BOX,
            markeredgewidth=1.2,
            path_effects=_CASING,
            linestyle="",
        )


_Line = tuple[object, str, str]
"""Color of a swatch or None, words at the left, words at the right."""


def _legend_lines(field: Field) -> list[_Line]:
    if len(field.boxes) > 1:
        colors = _colors(len(field.boxes))
        lines: list[_Line] = [(color, box.layer, _extent(box)) for color, box in zip(colors, field.boxes, strict=True)]
        lines.append((None, "", "field in pixels, rows × columns"))
        return lines + [(None, line, "") for line in wrap(_cut_note(field), _LEGEND, SMALL, lines=3)]
    (box,) = field.boxes
    top, left, bottom, right = box.box
    share = box.area / math.prod(field.image_size)
    facts = [
        ("size", f"{_extent(box)} pixels" if math.isfinite(box.size[0]) else _extent(box)),
        ("position", f"{box.position[0]},{box.position[1]} of {box.map_size[0]} × {box.map_size[1]}"),
        ("center", f"{box.center[0]:g}, {box.center[1]:g}"),
        ("stride", f"{_pair(box.stride)}" if any(box.stride) else "one position"),
        *([("start", f"{box.start[0]:g}, {box.start[1]:g}")] if any(box.stride) else []),
        ("rows", f"{top} to {bottom - 1}" if box.area else "none: padding only"),
        ("columns", f"{left} to {right - 1}" if box.area else "none: padding only"),
        ("part of the picture", percent(share)),
    ]
    lines = [(_colors(1)[0] if name == "size" else None, name, value) for name, value in facts]
    notes = [*box.notes, *(() if box.exact else ("an upper bound: not every call is followed",))]
    return lines + [(None, line, "") for note in notes for line in wrap(note, _LEGEND, SMALL, lines=3)]


def _cut_note(field: Field) -> str:
    cut = any(box.area < min(math.prod(box.size), 1e12) for box in field.boxes)
    notes = list(dict.fromkeys(note for box in field.boxes for note in box.notes))
    return " · ".join([*(["boxes are cut at the picture's border"] if cut else []), *notes])


def _extent(box: FieldBox) -> str:
    return "the whole picture" if all(math.isinf(side) for side in box.size) else _pair(box.size)


def _pair(values: tuple[float, float]) -> str:
    return " × ".join("all" if math.isinf(value) else f"{value:g}" for value in values)


def _legend_height(lines: list[_Line]) -> float:
    return len(lines) * (line_height(_TEXT) + 0.05)


def _draw_legend(sheet: Sheet, left: float, top: float, lines: list[_Line]) -> None:
    for color, name, value in lines:
        if color is not None:
            axes = sheet.axes(left, top + 0.02, 0.13, line_height(_TEXT) - 0.04)
            axes.add_patch(Rectangle((0, 0), 1, 1, facecolor=color, edgecolor=INK, linewidth=0.5))
            axes.set_xlim(0, 1)
            axes.set_ylim(0, 1)
        room = _LEGEND - _SWATCH - (width(value, _TEXT) + 0.1 if value else 0)
        faint = FAINT if color is None and not value else INK
        size = _TEXT if value else SMALL
        indent = _SWATCH if value or color is not None else 0.0
        sheet.text(left + indent, top, ellipsize(name, room if value else _LEGEND, size), size=size, color=faint)
        small = value and not name
        sheet.text(
            left + _LEGEND,
            top,
            value,
            size=SMALL if small else _TEXT,
            color=FAINT if small else INK,
            align="right",
        )
        top += line_height(_TEXT) + 0.05


# The effective field.


def _effective_words(field: EffectiveField) -> list[str]:
    holds = f"95 % of the gradient energy lies in {percent(field.energy_fraction)} of the field's pixels"
    sides = f"two-sigma side {percent(field.side_ratio)} of the field's (Luo et al. 2016)"
    lines = [holds, sides]
    if field.gaussian is not None:
        sigma = " × ".join(number(side, 2) for side in field.gaussian.sigma)
        lines.append(f"Gaussian: σ {sigma} pixels, R² {field.gaussian.r_squared:.2f}")
    silent = f", off on {field.silent}" if field.silent else ""
    return [*lines, f"measured on {field.inputs}{silent}"]


def _effective_height(field: EffectiveField, cell: float) -> float:
    words = len(_effective_words(field))
    return (
        line_height(_TEXT)
        + 0.08
        + _window_fit(field, cell).height
        + 0.1
        + 0.13
        + 2 * line_height(SMALL)
        + words * line_height(_TEXT)
        + 0.1
    )


def _window(field: EffectiveField) -> tuple[int, int, int, int]:
    """The part of the picture to show: the box with some air, or everything where the box is most of it."""
    height, wide = field.energy.shape
    top, left, bottom, right = field.box.box
    air = max(3, round(_AIR * max(bottom - top, right - left)))
    return max(top - air, 0), max(left - air, 0), min(bottom + air, height), min(right + air, wide)


def _window_fit(field: EffectiveField, cell: float) -> Fit:
    top, left, bottom, right = _window(field)
    return Fit.inside(cell, (bottom - top, right - left), tallest=1.2 * cell)


def _draw_effective(sheet: Sheet, top: float, field: EffectiveField, cell: float) -> None:
    fit, (first, start, last, end) = _window_fit(field, cell), _window(field)
    title = f"What {field.address} listens to"
    room = cell + _GUTTER + _LEGEND
    head = sheet.text(_MARGIN, top, ellipsize(title, room, _TEXT, "bold"), size=_TEXT, weight="bold") + 0.08
    heat = field.energy[first:last, start:end].sqrt().numpy()
    scale = _heat_scale(heat)
    shown = _crop(field, (first, start, last, end))
    axes = sheet.pixels(_MARGIN, head, fit.width, fit.height, overlay(shown, heat, scale)).axes
    axes.images[0].set_extent((start - 0.5, end - 0.5, last - 0.5, first - 0.5))
    _frame(axes, field.box, _BOX)
    if field.gaussian is not None:
        _ellipse(axes, field)
    left = _MARGIN + cell + _GUTTER
    _profiles(sheet, left, head, fit.height, field=field)
    bar = head + fit.height + 0.1
    below = sheet.color_bar(_MARGIN, bar, cell, scale)
    below = sheet.text(_MARGIN, below, "root mean square gradient per unit of a [0, 1] pixel", size=SMALL, color=FAINT)
    sheet.text(_MARGIN, below + 0.05, [ellipsize(line, room, _TEXT) for line in _effective_words(field)], size=_TEXT)


def _crop(field: EffectiveField, window: tuple[int, int, int, int]) -> Image:
    first, start, last, end = window
    if field.image is not None:
        return field.image[0, :, first:last, start:end]
    return field.energy[None, first:last, start:end] * 0 + _BLANK


def _heat_scale(heat: NDArray[np.float32]) -> Scale:
    # The few hottest pixels of a strided network would leave the rest dark.
    peak = float(heat.max())
    return Scale(limit=float(np.percentile(heat[heat > 0], 99.5)) if peak else 0.0, peak=peak, signed=False)


def _ellipse(axes: Axes, field: EffectiveField) -> None:
    fitted = field.gaussian
    if fitted is None:
        return
    axes.add_patch(
        Ellipse(
            (fitted.center[1], fitted.center[0]),
            4 * fitted.sigma[1],
            4 * fitted.sigma[0],
            facecolor="none",
            edgecolor=_GAUSS,
            linewidth=1.4,
            linestyle=(0, (4, 2)),
            path_effects=_CASING,
        )
    )


def _profiles(sheet: Sheet, left: float, top: float, height: float, *, field: EffectiveField) -> None:
    """The energy summed over columns and over rows, each with the Gaussian's, over pixels from the box's center."""
    gap = 0.42
    each = (height - gap) / 2
    first, start, last, end = field.box.box
    inside = field.energy[first:last, start:end].double().numpy()
    for index, (name, color) in enumerate((("rows", _ROWS), ("columns", _COLUMNS))):
        place = top + index * (each + gap)
        curve = inside.sum(axis=1 - index)
        pixels = np.arange(len(curve)) + (first, start)[index]
        axes = sheet.axes(left, place + 0.14, _LEGEND, each - 0.14)
        peak = curve.max() or 1.0
        axes.fill_between(pixels, curve / peak, color=color, alpha=0.3, linewidth=0, step="mid")
        axes.step(pixels, curve / peak, where="mid", color=color, linewidth=0.9, marker="", linestyle="-")
        if field.gaussian is not None:
            line = np.linspace(pixels[0], pixels[-1], 300)
            at, sigma = field.gaussian.center[index], field.gaussian.sigma[index]
            # The Gaussian summed over the box along the other axis, as the energy is.
            other, spread = field.gaussian.center[1 - index], field.gaussian.sigma[1 - index]
            across = np.arange(inside.shape[1 - index]) + (first, start)[1 - index]
            mass = np.exp(-(((across - other) / spread) ** 2) / 2).sum()
            bell = field.gaussian.peak * mass * np.exp(-(((line - at) / sigma) ** 2) / 2)
            axes.plot(line, bell / peak, color=INK, linewidth=0.9, linestyle=(0, (4, 2)), marker="")
        axes.set_xlim(pixels[0] - 0.5, pixels[-1] + 0.5)
        axes.set_ylim(0, 1.08)
        axes.plot(
            [pixels[0] - 0.5, pixels[-1] + 0.5],
            [0, 0],
            color=FAINT,
            linewidth=0.6,
            clip_on=False,
            marker="",
            linestyle="-",
        )
        legend = f"energy along the {name}" + (" · dashed: Gaussian" if field.gaussian is not None else "")
        sheet.text(left, place - 0.03, legend, size=SMALL, color=FAINT)
        for words, spot, align in ((str(pixels[0]), left, "left"), (str(pixels[-1]), left + _LEGEND, "right")):
            sheet.text(spot, place + each + 0.02, words, size=SMALL, color=FAINT, align=align)
