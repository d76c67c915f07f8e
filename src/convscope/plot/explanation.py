"""The figure of an explanation: one row per image, one column per method."""

from dataclasses import dataclass

from matplotlib.figure import Figure

from convscope.plot.blend import overlay, picture, picture_note
from convscope.plot.dispatch import figure
from convscope.plot.lettering import ellipsize, width, wrap
from convscope.plot.panel import SMALL, Column, Fit
from convscope.plot.scale import shared_scale
from convscope.plot.sheet import FAINT, INK, Sheet, line_height
from convscope.plot.trust import verdicts
from convscope.plot.words import (
    class_names,
    layer_words,
    method_words,
    number,
    percent,
    seen_words,
    target_words,
)
from convscope.results import Answer, Explanation, Trust

_MARGIN, _GUTTER, _GAP = 0.3, 0.22, 0.08
_NARROWEST = 4.6
_TITLE, _HEAD, _TEXT = 12.0, 8.5, 7.0

_ANSWERS = 5
_MARK = 0.13
_BAR_COLOR, _BAR_GROUND = "#3b6ea8", "#e9ecef"
_GOOD, _DOUBTFUL = "#1b6e4b", "#a34700"


@dataclass(frozen=True)
class _Layout:
    """Every measure of the figure, in inches."""

    cell: float
    fit: Fit
    columns: tuple[Column, ...]
    words: tuple[tuple[str, ...], ...]
    """Lines of text below each image's name."""
    answers: tuple[float, ...]
    """Height of each image's answers."""
    checks: tuple[int, ...]
    """Lines of text under each image's maps."""

    @property
    def width(self) -> float:
        return _sheet_width(self.cell, len(self.columns))

    @property
    def inner(self) -> float:
        return self.width - 2 * _MARGIN

    def row_head(self, index: int) -> float:
        return 0.08 + line_height(_HEAD) + len(self.words[index]) * line_height(_TEXT) + 0.06

    def row(self, index: int) -> float:
        """Height of an image's row; below the picture stand its answers, below the overlays the bare maps."""
        bare = self.fit.height + 0.05 + self.checks[index] * line_height(SMALL) if self.columns else 0.0
        return self.row_head(index) + self.fit.height + _GAP + max(bare, self.answers[index]) + 0.18


@figure.register
def explanation_figure(explanation: Explanation, *, cell: float = 1.75) -> Figure:
    """Draw what the network answered to each image, and per method the overlay, the bare map and its checks.

    Args:
        explanation: any number of images and methods.
        cell: width of a picture, in inches.

    The images share one color scale per method; its bar stands below the column.
    """
    layout = _measure(explanation, cell)
    columns = layout.columns
    title = wrap(f"What made {explanation.provenance.model} answer so", layout.inner, _TITLE, lines=2, weight="bold")
    names = [wrap(method_words(c.attribution.method), cell, _HEAD, lines=3, weight="bold") for c in columns]
    failures = [
        line
        for name, reason in explanation.failures
        for line in wrap(f"not shown: {name}: {reason}", layout.inner, _TEXT, lines=3)
    ]
    footer = wrap(_footer(explanation), layout.inner, SMALL, lines=3)

    head = _MARGIN + len(title) * line_height(_TITLE) + 0.1
    rows = head + max((len(lines) for lines in names), default=0) * line_height(_HEAD) + line_height(_TEXT) + 0.05
    bars = rows + sum(layout.row(index) for index in range(len(explanation.images)))
    tail = bars + max((c.color_bar_height for c in columns), default=0) + 0.15
    end = tail + len(failures) * line_height(_TEXT) + len(footer) * line_height(SMALL) + _MARGIN

    sheet = Sheet(layout.width, end)
    sheet.text(_MARGIN, _MARGIN, title, size=_TITLE, weight="bold")
    for column, lines in zip(columns, names, strict=True):
        below = sheet.text(column.left, head, lines, size=_HEAD, weight="bold")
        sheet.text(
            column.left,
            below,
            ellipsize(layer_words(column.attribution.layers), cell, _TEXT),
            size=_TEXT,
            color=FAINT,
        )
        column.draw_color_bar(sheet, bars)
    for index in range(len(explanation.images)):
        _draw_row(sheet, explanation, layout, index, rows)
        rows += layout.row(index)
    below = sheet.text(_MARGIN, tail, failures, size=_TEXT, color=_DOUBTFUL)
    sheet.text(_MARGIN, below, footer, size=SMALL, color=FAINT)
    return sheet.figure


def _measure(explanation: Explanation, cell: float) -> _Layout:
    shape = (explanation.images.shape[2], explanation.images.shape[3])
    columns = tuple(
        Column(attribution, shared_scale(attribution), _MARGIN + (k + 1) * (cell + _GUTTER), cell)
        for k, attribution in enumerate(explanation.attributions)
    )
    answers = tuple(len(answers[:_ANSWERS]) * _answer_height() for answers in explanation.answers)
    lines = [[len(verdicts(trust)) + len(_note_lines(trust, cell)) for trust in trusts] for trusts in explanation.trust]
    checks = tuple(max((row[index] for row in lines), default=0) for index in range(len(explanation.images)))
    inner = _sheet_width(cell, len(columns)) - 2 * _MARGIN
    words = tuple(
        tuple(wrap(_row_words(explanation, index), inner, _TEXT, lines=3)) for index in range(len(explanation.images))
    )
    return _Layout(cell, Fit.inside(cell, shape, tallest=1.5 * cell), columns, words, answers, checks)


def _sheet_width(cell: float, methods: int) -> float:
    return max(2 * _MARGIN + cell + methods * (_GUTTER + cell), _NARROWEST)


def _draw_row(sheet: Sheet, explanation: Explanation, layout: _Layout, index: int, top: float) -> None:
    image, answers, fit = explanation.images[index], explanation.answers[index], layout.fit
    sheet.rule(_MARGIN, top, layout.inner)
    head = top + 0.08
    head = sheet.text(
        _MARGIN,
        head,
        ellipsize(explanation.sources[index].name, layout.inner, _HEAD, "bold"),
        size=_HEAD,
        weight="bold",
    )
    sheet.text(_MARGIN, head, layout.words[index], size=_TEXT, color=FAINT)

    upper = top + layout.row_head(index)
    lower = upper + fit.height + _GAP
    sheet.pixels(_MARGIN, upper, fit.width, fit.height, picture(image))
    _draw_answers(sheet, answers[:_ANSWERS], lower, layout.cell)
    for column, trusts in zip(layout.columns, explanation.trust, strict=True):
        laid = overlay(image, column.values(index), column.scale)
        sheet.pixels(column.left, upper, fit.width, fit.height, laid)
        column.draw_map(sheet, lower, fit, index)
        below = lower + fit.height + 0.05
        for verdict in verdicts(trusts[index]):
            color = _GOOD if verdict.good else _DOUBTFUL
            sheet.text(column.left, below, verdict.mark, size=SMALL, weight="bold", color=color)
            below = sheet.text(column.left + _MARK, below, f"{verdict.words}: {verdict.value}", size=SMALL)
        sheet.text(column.left + _MARK, below, _note_lines(trusts[index], layout.cell), size=SMALL, color=FAINT)


def _note_lines(trust: Trust, cell: float) -> list[str]:
    return [line for note in trust.notes for line in wrap(note, cell - _MARK, SMALL, lines=3)]


def _answer_height() -> float:
    return line_height(_TEXT) + 0.1


def _draw_answers(sheet: Sheet, answers: tuple[Answer, ...], top: float, cell: float) -> None:
    for answer in answers:
        share = percent(answer.probability)
        room = cell - width(share, _TEXT) - 0.1
        sheet.text(_MARGIN, top, ellipsize(answer.name, room, _TEXT), size=_TEXT)
        sheet.text(_MARGIN + cell, top, share, size=_TEXT, align="right", color=INK)
        axes = sheet.axes(_MARGIN, top + line_height(_TEXT), cell, 0.04)
        axes.set_xlim(0, 1)
        axes.barh([0, 0], [1, answer.probability], height=1, color=[_BAR_GROUND, _BAR_COLOR], edgecolor="none")
        axes.set_ylim(-0.5, 0.5)
        top += _answer_height()


def _row_words(explanation: Explanation, index: int) -> str:
    names = class_names(explanation.answers[index])
    # One for all methods as a rule; where targets differ, each is named with its methods.
    asked: dict[str, list[str]] = {}
    for attribution in explanation.attributions:
        score = number(float(attribution.scores[index]), 3)
        words = f"{target_words(attribution.targets[index], names)}, score {score}"
        asked.setdefault(words, []).append(attribution.method.split("(")[0])
    parts = [words if len(asked) == 1 else f"{', '.join(methods)}: {words}" for words, methods in asked.items()]
    seen, note = seen_words(explanation.sources[index]), picture_note(explanation.images.shape[1])
    return " · ".join(
        filter(None, ("explained: " + "; ".join(parts) if parts else "", f"seen: {seen}" if seen else "", note))
    )


def _footer(explanation: Explanation) -> str:
    made = explanation.provenance
    versions = ", ".join(f"{name} {version}" for name, version in made.versions.items())
    return f"weights {made.weights_digest} · seed {made.seed} · {made.device} {made.dtype} · {versions}"
