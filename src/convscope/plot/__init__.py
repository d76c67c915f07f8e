"""Results as matplotlib figures, and the colors and words that all views share."""

from convscope.plot.activations import activations_figure
from convscope.plot.animation import AnimationFormat, animation
from convscope.plot.attribution import attribution_figure
from convscope.plot.blend import backdrop, opacity, overlay, picture, picture_note
from convscope.plot.dispatch import figure
from convscope.plot.explanation import explanation_figure
from convscope.plot.field import effective_field_figure, field_figure
from convscope.plot.filters import filters_figure
from convscope.plot.health import health_figure
from convscope.plot.scale import LEVELS, NOT_FINITE, PERCENTILE, Scale, shared_scale
from convscope.plot.trust import Verdict, verdicts
from convscope.plot.words import (
    class_names,
    layer_words,
    map_note,
    method_words,
    number,
    percent,
    scale_words,
    seen_words,
    target_words,
    tick_words,
)

__all__ = [
    "LEVELS",
    "NOT_FINITE",
    "PERCENTILE",
    "AnimationFormat",
    "Scale",
    "Verdict",
    "activations_figure",
    "animation",
    "attribution_figure",
    "backdrop",
    "class_names",
    "effective_field_figure",
    "explanation_figure",
    "field_figure",
    "figure",
    "filters_figure",
    "health_figure",
    "layer_words",
    "map_note",
    "method_words",
    "number",
    "opacity",
    "overlay",
    "percent",
    "picture",
    "picture_note",
    "scale_words",
    "seen_words",
    "shared_scale",
    "target_words",
    "tick_words",
    "verdicts",
]
