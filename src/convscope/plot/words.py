"""The words of results, spelled for people: numbers, targets, methods, color bars."""

import math
import re
from collections.abc import Mapping, Sequence

import torch

from convscope.plot.scale import PERCENTILE, Scale
from convscope.results import Answer, Attribution, Provenance, Source

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_CLASS = re.compile(r"class:(\d+)")

_REDUCTIONS = {
    "max_abs": "max |value| over {} channels",
    "l2": "root of summed squares over {} channels",
    "sum": "sum over {} channels",
    "abs_sum": "sum of |values| over {} channels",
}


def number(value: float, digits: int = 2) -> str:
    """Spell a number with ``digits`` significant digits: ``0.031``, ``−1.2×10⁻⁵``, ``340``."""
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "−∞"}.get(value, "not a number")
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = int(exponent)
    if -4 <= power < max(4, digits):
        return f"{float(f'{value:.{digits - 1}e}'):.{max(digits - 1 - power, 0)}f}".replace("-", "−")
    return f"{mantissa}×10{str(power).translate(_SUPERSCRIPTS)}".replace("-", "−", 1)


def correlation(value: float) -> str:
    """Spell a correlation, or the change of one, with two decimals: ``−0.26``."""
    return f"{value:.2f}".replace("-", "−") if math.isfinite(value) else "undefined"


def percent(share: float) -> str:
    """Spell a share as a percentage with one digit below 10 %: ``0.4 %``, ``37 %``, ``< 0.1 %``."""
    if not math.isfinite(share):
        return number(share)
    hundred = 100 * share
    if 0 < abs(hundred) < 0.1:
        return "< 0.1 %"
    if abs(hundred) >= 1000:
        return f"{number(hundred)} %"
    return f"{hundred:.{1 if abs(hundred) < 9.95 and hundred else 0}f} %".replace("-", "−")


def class_names(answers: Sequence[Answer]) -> dict[int, str]:
    """Names by index of the classes that an image was taken for."""
    return {answer.index: answer.name for answer in answers}


def target_words(target: str, names: Mapping[int, str]) -> str:
    """Put class names into a resolved target: ``class:281`` becomes ``tabby cat (class:281)`` if it has one."""

    def name(match: re.Match[str]) -> str:
        known = names.get(int(match[1]), match[0])
        return match[0] if known in (match[0], f"class {match[1]}") else f"{known} ({match[0]})"

    return _CLASS.sub(name, target)


def method_words(spelling: str) -> str:
    """Spell a method as on the command line, without parentheses that say nothing: ``gradient``."""
    return spelling.removesuffix("()")


def network_words(made: Provenance) -> str:
    """Name the network, and say so where its weights were never trained."""
    random = str(made.options.get("weights", "")).startswith("random")
    return f"{made.model}, random weights" if random else made.model


def layer_words(layers: Sequence[str]) -> str:
    """Name the layers a method looked at, or the input."""
    return f"layer {layers[0]}" if len(layers) == 1 else f"layers {', '.join(layers)}" if layers else "at the input"


def scale_words(attribution: Attribution, scale: Scale) -> str:
    """Say what the numbers at a color bar are: unit, reduction of channels, clipping."""
    channels = attribution.values.shape[1]
    parts = [str(attribution.facts.get("unit", "units of the target"))]
    if channels > 1:
        parts.append(_REDUCTIONS[attribution.reduction].format(channels))
    if len(attribution.images) > 1:
        parts.append("same scale for all pictures")
    if scale.clipped:
        parts.append(f"colors end at percentile {PERCENTILE:g}, peak {number(scale.peak)}")
    return " · ".join(parts)


def tick_words(scale: Scale) -> tuple[str, str, str]:
    """Spell the ticks of a color bar; ends beyond which values are clipped say so."""
    low, middle, high = (number(tick) for tick in scale.ticks)
    return (
        f"≤ {low}" if scale.clipped and scale.signed else low,
        middle,
        f"≥ {high}" if scale.clipped else high,
    )


def map_note(attribution: Attribution, index: int) -> str:
    """Say what a reader must know before looking at one map: it is blank, or not all numbers; else empty."""
    values = attribution.maps[index]
    missing = int((~torch.isfinite(values)).sum())
    if missing:
        return f"{missing} of {values.numel()} values are not finite (gray)"
    return "" if values.any() else "blank: all zero"


def seen_words(source: Source) -> str:
    """Say which part of the original the network saw; empty for tensors."""
    if not (source.width and source.height):
        return ""
    left, top, right, bottom = source.box
    width, height = min(right, source.width) - max(left, 0), min(bottom, source.height) - max(top, 0)
    share = max(width, 0) * max(height, 0) / (source.width * source.height)
    if share > 0.999:
        return f"the whole picture of {source.width} × {source.height} pixels"
    return (
        f"columns {left:.0f} to {right:.0f} and rows {top:.0f} to {bottom:.0f} "
        f"of {source.width} × {source.height} pixels, {percent(share)} of the picture"
    )
