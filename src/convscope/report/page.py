"""The page: an explanation as one HTML file that loads nothing and opens from disk."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from convscope.plot import (
    PERCENTILE,
    Scale,
    Verdict,
    class_names,
    layer_words,
    map_note,
    method_words,
    number,
    percent,
    picture_note,
    scale_words,
    seen_words,
    shared_scale,
    target_words,
    tick_words,
    verdicts,
)
from convscope.report.inline import backdrop_uri, color_bar_uri, drawn_size, layer_uri, map_uri, picture_uri
from convscope.results import Answer, Attribution, Explanation, Provenance, Source, Trust

_DIGITS = 4
_BREAKS = re.compile(r"(?<=[_,(/=.])(?=[^\W\d])")
# Networks for small pictures are shown pixel by pixel.
_COARSE = 100


@dataclass(frozen=True)
class Card:
    """One method on one image, ready to be printed."""

    method: str
    layer: str
    target: str
    score: str
    seconds: str
    layer_picture: str
    map_picture: str
    map_note: str
    low: float
    high: float
    ticks: tuple[str, str, str]
    bar: str
    bar_label: str
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Row:
    """One image with its answers and cards, ready to be printed."""

    source: Source
    seen: str
    notes: tuple[str, ...]
    picture: str
    backdrop: str
    size: tuple[int, int]
    coarse: bool
    answers: tuple[Answer, ...]
    cards: tuple[Card, ...]


def html(explanation: Explanation, *, fragment: bool = False) -> str:
    """Write an explanation as HTML, pictures, style and script inside; it works without the script as well.

    Args:
        explanation: any number of images and methods.
        fragment: leave out ``<html>`` and ``<head>``, for a notebook or another page.

    Returns:
        The page. It makes no request of any kind, and its own content security policy forbids any.
    """
    text = _template("fragment.html" if fragment else "page.html").render(
        rows=tuple(_rows(explanation)),
        failures=explanation.failures,
        model=explanation.provenance.model,
        provenance=_provenance(explanation.provenance),
        command=explanation.provenance.options.get("command", "convscope rerun RESULT"),
        percentile=f"{PERCENTILE:g}",
    )
    # A file name that is not valid Unicode must not make the page impossible to write.
    return text.encode("utf-8", "replace").decode("utf-8")


@cache
def _template(name: str) -> Template:
    loader = PackageLoader("convscope.report", "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = percent
    environment.filters["breakable"] = _breakable
    environment.filters["number"] = lambda value: number(value, _DIGITS)
    return environment.get_template(name)


def _breakable(spelling: str) -> Markup:
    """Let the browser break a method's or layer's spelling where a person would."""
    return Markup("<wbr>").join(_BREAKS.split(spelling))


def _rows(explanation: Explanation) -> Iterator[Row]:
    scales = [shared_scale(attribution) for attribution in explanation.attributions]
    bars = [color_bar_uri(scale) for scale in scales]
    for index, (image, source) in enumerate(zip(explanation.images, explanation.sources, strict=True)):
        names = class_names(explanation.answers[index])
        height, width = image.shape[1:]
        drawn = drawn_size(height, width)
        drawing = "" if drawn == (height, width) else f"drawn at {drawn[1]} × {drawn[0]} of {width} × {height} pixels"
        yield Row(
            source=source,
            seen=seen_words(source),
            notes=tuple(filter(None, (*source.notes, picture_note(image.shape[0]), drawing))),
            picture=picture_uri(image),
            backdrop=backdrop_uri(image),
            size=(height, width),
            coarse=max(height, width) < _COARSE,
            answers=explanation.answers[index],
            cards=tuple(
                _card(attribution, index, scale=scale, bar=bar, names=names, trust=explanation.trust[column][index])
                for column, (attribution, scale, bar) in enumerate(
                    zip(explanation.attributions, scales, bars, strict=True)
                )
            ),
        )


def _card(
    attribution: Attribution, index: int, *, scale: Scale, bar: str, names: Mapping[int, str], trust: Trust
) -> Card:
    values = attribution.maps[index].numpy()
    images, seconds = len(attribution.images), attribution.provenance.seconds
    return Card(
        method=method_words(attribution.method),
        layer=layer_words(attribution.layers),
        target=target_words(attribution.targets[index], names),
        score=number(float(attribution.scores[index]), _DIGITS),
        seconds=f"{number(seconds)} s" + (f" for {images} pictures" if images > 1 else ""),
        layer_picture=layer_uri(values, scale),
        map_picture=map_uri(values, scale),
        map_note=map_note(attribution, index),
        low=scale.low,
        high=scale.limit,
        ticks=tick_words(scale),
        bar=bar,
        bar_label=scale_words(attribution, scale),
        verdicts=verdicts(trust),
        notes=trust.notes,
        facts=tuple(_facts(attribution, index)),
    )


def _facts(attribution: Attribution, index: int) -> Iterator[tuple[str, str]]:
    for name, value in attribution.facts.items():
        if name == "unit":  # stands at the color bar
            continue
        per_image = isinstance(value, tuple) and len(value) == len(attribution.images)
        yield name.replace("_", " "), _spell(value[index] if per_image else value)


def _provenance(made: Provenance) -> tuple[tuple[str, str], ...]:
    rows = (
        ("network", made.model),
        ("loaded from", made.origin or "a module made in Python"),
        ("weights digest", made.weights_digest),
        ("made by", made.action),
        ("methods", made.method),
        ("targets", ", ".join(made.targets)),
        ("seed", str(made.seed)),
        ("device", f"{made.device}, {made.dtype}, {made.threads} threads"),
        ("versions", _spell(made.versions)),
        ("created", made.created),
        ("took", f"{number(made.seconds)} s"),
        *((name.replace("_", " "), _spell(value)) for name, value in made.options.items() if name != "command"),
    )
    return tuple((name, value) for name, value in rows if value)


def _spell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return number(value, _DIGITS)
        case Mapping():
            return ", ".join(f"{name} {_spell(item)}" for name, item in value.items())
        case list() | tuple():
            return ", ".join(_spell(item) for item in value)
        case _:
            return str(value)
