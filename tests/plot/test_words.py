"""What is said is what is meant."""

import math
from dataclasses import replace

import pytest
import torch
from made_results import attribution, photograph

from convscope.plot import (
    Scale,
    layer_words,
    map_note,
    method_words,
    number,
    percent,
    scale_words,
    seen_words,
    shared_scale,
    target_words,
    tick_words,
    verdicts,
)
from convscope.results import Source, Trust


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0"), (1.0, "1.0"), (0.5, "0.50"), (12.345, "12"), (9.99, "10"), (340.0, "340"), (3456.0, "3500"),
        (-3.4, "−3.4"), (0.00012, "0.00012"), (1.2e-5, "1.2×10⁻⁵"), (-1.2e-5, "−1.2×10⁻⁵"), (3.21e10, "3.2×10¹⁰"),
        (math.inf, "∞"), (-math.inf, "−∞"), (math.nan, "not a number"),
    ],
)  # fmt: skip
def test_numbers(value, words):
    assert number(value) == words


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.625, "62 %"),
        (0.0994, "9.9 %"),
        (0.0996, "10 %"),
        (0.0004, "< 0.1 %"),
        (-0.5, "−50 %"),
    ],
)
def test_percentages(share, words):
    assert percent(share) == words


def test_targets_get_the_names_that_are_known():
    names = {281: "tabby cat", 7: "class 7"}
    assert target_words("class:281", names) == "tabby cat (class:281)"
    assert target_words("class:281 - class:2810", names) == "tabby cat (class:281) - class:2810"
    assert target_words("class:7", names) == "class:7"
    assert target_words("layer4:281@3,3", names) == "layer4:281@3,3"


def test_methods_and_layers():
    assert method_words("grad_cam()") == "grad_cam"
    assert method_words("smooth_grad(gradient(),samples=5)") == "smooth_grad(gradient(),samples=5)"
    assert [layer_words(names) for names in ((), ("a",), ("a", "b"))] == ["at the input", "layer a", "layers a, b"]


def test_the_part_that_was_seen():
    assert seen_words(Source("x", width=400, height=200, box=(100.0, 0.0, 300.0, 200.0))) == (
        "columns 100 to 300 and rows 0 to 200 of 400 × 200 pixels, 50 % of the picture"
    )
    assert seen_words(Source("x", width=4, height=2, box=(0.0, 0.0, 4.0, 2.0))) == "the whole picture of 4 × 2 pixels"
    # A box larger than the picture (padding) does not make it see more than there is.
    assert seen_words(Source("x", width=4, height=2, box=(0.0, -1.0, 4.0, 3.0))) == "the whole picture of 4 × 2 pixels"
    assert seen_words(Source("a tensor")) == ""


def test_a_color_bar_says_unit_reduction_sharing_and_clipping():
    images = photograph(1, 1000).repeat(2, 1, 1, 1)
    values = torch.linspace(0, 1, 6000).view(2, 3, 1, 1000)
    made = attribution(images, values, facts={"unit": "logits per pixel"})
    words = scale_words(made, shared_scale(made))
    assert words.startswith("logits per pixel · max |value| over 3 channels · same scale for all pictures")
    assert words.endswith("colors end at percentile 99.5, peak 1.0")
    one = attribution(images[:1], values[:1, :1] * 0)
    assert scale_words(one, shared_scale(one)) == "units of the target"


def test_ticks_say_where_values_are_clipped():
    assert tick_words(Scale(2.0, 2.0, signed=False)) == ("0", "1.0", "2.0")
    assert tick_words(Scale(2.0, 3.0, signed=False)) == ("0", "1.0", "≥ 2.0")
    assert tick_words(Scale(2.0, 3.0, signed=True)) == ("≤ −2.0", "0", "≥ 2.0")


def test_notes_on_maps():
    values = torch.zeros(2, 1, 2, 2)
    values[1, 0, 0, 0] = 1e-30
    made = attribution(photograph(2, 2).repeat(2, 1, 1, 1), values)
    assert map_note(made, 0) == "blank: all zero"
    assert map_note(made, 1) == ""
    values[1, 0, 1] = torch.tensor([torch.nan, torch.inf])
    assert map_note(replace(made, values=values), 1) == "2 of 4 values are not finite (gray)"


def judged(**changes):
    """The one verdict of the check that changed."""
    trust = replace(Trust(None, 0.0, None), **changes)
    return next(v for v in verdicts(trust) if "edge_similarity" in changes or "edge" not in v.words)


@pytest.mark.parametrize(
    ("changes", "good", "words", "value"),
    [
        ({"completeness_error": 0.05}, True, "adds up", "error 5.0 %"),
        ({"completeness_error": 0.051}, False, "does not add up", "error 5.1 %"),
        ({"edge_similarity": 0.5}, True, "more than edges", "ρ 0.50"),
        ({"edge_similarity": -0.9}, True, "more than edges", "ρ −0.90"),
        ({"edge_similarity": 0.51}, False, "looks like edges", "ρ 0.51"),
        ({"edge_similarity": math.nan}, False, "cannot be judged", "ρ undefined"),
        ({"randomization_similarity": 0.5}, True, "changes with the answer", "0.50"),
        ({"randomization_similarity": 0.95}, False, "hardly changes", "0.05"),
    ],
)
def test_verdicts(changes, good, words, value):
    verdict = judged(**changes)
    assert (verdict.good, verdict.words, verdict.value) == (good, words, value)
    assert verdict.mark == ("✓" if good else "?")


def test_checks_that_were_not_made_are_not_judged():
    assert len(verdicts(Trust(None, 0.1, None))) == 1
    assert len(verdicts(Trust(0.0, 0.1, 0.2))) == 3
