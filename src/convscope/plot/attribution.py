"""The figure of an attribution: for each image the input, the bare map and the overlay."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from convscope.plot.blend import overlay, picture, picture_note
from convscope.plot.dispatch import figure
from convscope.plot.lettering import ellipsize, wrap
from convscope.plot.panel import SMALL, Column, Fit
from convscope.plot.scale import shared_scale
from convscope.plot.sheet import FAINT, Sheet, line_height
from convscope.plot.words import layer_words, method_words, number, target_words
from convscope.results import Attribution

_MARGIN, _GUTTER = 0.25, 0.18
_TITLE, _ROW_TITLE = 10.0, 8.0


@figure.register
def attribution_figure(
    attribution: Attribution, *, names: Mapping[int, str] | None = None, cell: float = 2.1
) -> Figure:
    """Draw each image as a row: what the network saw, the bare map, and the map over the gray picture.

    Args:
        attribution: any number of images.
        names: class names by index, put beside ``class:N`` in the titles.
        cell: width of a picture, in inches.

    All rows share one color scale, with its bar below the bare maps.
    """
    images = attribution.images
    fit = Fit.inside(cell, (images.shape[2], images.shape[3]), tallest=1.6 * cell)
    width = 2 * _MARGIN + 3 * cell + 2 * _GUTTER
    column = Column(attribution, shared_scale(attribution), _MARGIN + cell + _GUTTER, cell)
    title = wrap(method_words(attribution.method), width - 2 * _MARGIN, _TITLE, lines=3, weight="bold")
    note = picture_note(images.shape[1])
    about = " · ".join(filter(None, (attribution.provenance.model, layer_words(attribution.layers), note)))

    head = _MARGIN + len(title) * line_height(_TITLE) + line_height(_ROW_TITLE) + line_height(SMALL) + 0.2
    row = line_height(_ROW_TITLE) + 0.05 + fit.height + 0.16
    sheet = Sheet(width, head + len(images) * row + column.color_bar_height + _MARGIN)

    below = sheet.text(_MARGIN, _MARGIN, title, size=_TITLE, weight="bold")
    sheet.text(_MARGIN, below, ellipsize(about, width - 2 * _MARGIN, _ROW_TITLE), size=_ROW_TITLE, color=FAINT)
    for place, words in enumerate(("what the network saw", "the map", "the map over the picture")):
        sheet.text(
            _MARGIN + place * (cell + _GUTTER),
            head - line_height(SMALL) - 0.06,
            words,
            size=SMALL,
            color=FAINT,
        )
    for index, image in enumerate(images):
        top = head + index * row
        score = number(float(attribution.scores[index]), 3)
        words = f"{target_words(attribution.targets[index], names or {})} · score {score}"
        top = sheet.text(_MARGIN, top, ellipsize(words, width - 2 * _MARGIN, _ROW_TITLE), size=_ROW_TITLE) + 0.05
        sheet.pixels(_MARGIN, top, fit.width, fit.height, picture(image))
        column.draw_map(sheet, top, fit, index)
        laid = overlay(image, column.values(index), column.scale)
        sheet.pixels(_MARGIN + 2 * (cell + _GUTTER), top, fit.width, fit.height, laid)
    column.draw_color_bar(sheet, head + len(images) * row)
    return sheet.figure
