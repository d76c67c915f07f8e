"""Figures show the raw values in shared colors, name everything, overlap nowhere and touch no global state."""

from dataclasses import replace
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest
import torch
from made_results import NAMES, attribution, photograph
from made_results import explanation as make_explanation
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg

from convscope.plot import figure, shared_scale
from convscope.results import Answer


def words(drawn):
    return [text.get_text() for text in drawn.texts]


def bare_maps(drawn, shape):
    """The images that hold raw values of this shape, in drawing order."""
    images = [image for axes in drawn.axes for image in axes.get_images()]
    return [image for image in images if image.get_array().shape == shape]


def boxes(drawn, dpi=110):
    drawn.set_dpi(dpi)
    renderer = FigureCanvasAgg(drawn).get_renderer()
    return [(text.get_text(), text.get_window_extent(renderer)) for text in drawn.texts if text.get_text()]


def test_every_map_is_drawn_with_its_raw_values_in_its_methods_scale(explanation):
    drawn = bare_maps(figure(explanation), (48, 48))
    assert len(drawn) == 6
    wanted = [(a, index) for index in range(2) for a in explanation.attributions]
    for image, (made, index) in zip(drawn, wanted, strict=True):
        scale = shared_scale(made)
        np.testing.assert_array_equal(image.get_array(), made.maps[index].numpy())
        assert (image.norm.vmin, image.norm.vmax) == pytest.approx((scale.low, scale.limit))
        np.testing.assert_allclose(image.to_rgba(np.float32(scale.limit))[:3], scale.rgb(np.float32([scale.limit]))[0])


def test_one_column_has_one_color_per_value(explanation):
    first, _, _, second, _, _ = bare_maps(figure(explanation), (48, 48))
    probe = np.linspace(0, first.norm.vmax, 7)
    np.testing.assert_array_equal(first.to_rgba(probe), second.to_rgba(probe))


def test_each_color_bar_runs_over_its_scale(explanation):
    bars = bare_maps(figure(explanation), (1, 255))
    scales = [shared_scale(a) for a in explanation.attributions]
    assert [(bar.get_array()[0, 0], bar.get_array()[0, -1]) for bar in bars] == [(s.low, s.limit) for s in scales]


def test_everything_is_named(explanation):
    said = "\n".join(words(figure(explanation)))
    for word in (
        "What made tiny_net answer so", "cats/chelsea.png", "mirrored", "gradient", "grad_cam", "layer features.2",
        "explained: Egyptian cat (class:3), score 9.25", "tiger cat (class:1), score 4.50", "62 %", "< 0.1 %",
        "columns 75 to 375", "✓", "?", "does not add up: error 46 %", "looks like edges: ρ 0.71",
        "hardly changes: 0.05", "notes.txt: not a picture", "weights 0123456789abcdef", "seed 17", "≥ ", "≤ −",
    ):  # fmt: skip
        assert word in said, word
    assert "The baseline is close to" in said.replace("\n", " ")
    assert "integrated_gradients(steps=50,baseline='black')" in said.replace("\n", "")


def test_bars_are_as_long_as_probabilities(explanation):
    patches = [axes.patches for axes in figure(explanation).axes if len(axes.patches) == 2]
    lengths = [bar.get_width() for _, bar in patches]
    assert lengths == [0.625, 0.25, 0.0004, 0.5, 0.25]


def test_targets_that_differ_between_methods_are_each_named(explanation):
    first, *others = explanation.attributions
    mixed = replace(explanation, attributions=(replace(first, targets=("class:3 - class:1",) * 2), *others))
    said = " ".join(words(figure(mixed)))
    assert "gradient: Egyptian cat (class:3) - tiger cat (class:1), score 9.25" in said
    assert "integrated_gradients, grad_cam: Egyptian cat (class:3), score 9.25" in said


def test_an_attribution_shows_input_map_and_overlay(explanation):
    made = explanation.attributions[2]
    drawn = figure(made, names=NAMES)
    assert len(bare_maps(drawn, (48, 48))) == 2
    assert len(bare_maps(drawn, (48, 48, 3))) == 4
    said = words(drawn)
    for word in (
        "grad_cam",
        "tiny_net · layer features.2",
        "Egyptian cat (class:3) · score 9.25",
        "the map over the picture",
    ):
        assert word in said
    assert "class:3 · score 9.25" in words(figure(made))


def test_blank_maps_say_so():
    images = photograph(8, 8).repeat(2, 1, 1, 1)
    values = torch.zeros(2, 1, 8, 8)
    values[1] = 1.0
    assert words(figure(attribution(images, values))).count("blank: all zero") == 1
    assert words(figure(attribution(images, 0 * values, signed=True))).count("blank: all zero") == 2


@pytest.mark.parametrize("shape", [(48, 48), (20, 160), (160, 20)])
@pytest.mark.parametrize("dpi", [80, 150])
def test_nothing_overlaps_and_nothing_leaves_the_page(shape, dpi):
    made = make_explanation(*shape)
    long = "a class with a name that is much longer than any column, " * 3
    answers = ((Answer(3, long, 0.9, 9.0), *made.answers[0][1:]), made.answers[1])
    source = replace(made.sources[0], name="folder/" * 30 + "picture.jpg")
    made = replace(made, answers=answers, sources=(source, made.sources[1]))
    for drawn in (figure(made), figure(made.attributions[1], names={3: long})):
        placed = boxes(drawn, dpi)
        page = drawn.bbox
        for text, box in placed:
            assert box.x0 >= 0, text
            assert box.x1 <= page.x1, text
            assert box.y0 >= 0, text
            assert box.y1 <= page.y1, text
        for (one, a), (other, b) in combinations(placed, 2):
            overlap = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
            # Boxes of lines include descenders that need not be there: two pixels are air.
            assert min(overlap) < 2.5, (one, other)


def test_pictures_keep_their_shape():
    for shape in ((20, 160), (160, 20), (30, 40)):
        drawn = figure(make_explanation(*shape))
        for image in bare_maps(drawn, shape):
            box = image.axes.get_window_extent()
            assert box.height / box.width == pytest.approx(shape[0] / shape[1], rel=1e-6)


@pytest.mark.parametrize("channels", [1, 5])
def test_any_number_of_channels(channels):
    said = " ".join(words(figure(make_explanation(16, 16, channels))))
    assert ("shown: the mean of 5 channels" in said) == (channels == 5)


def test_without_methods_or_images(explanation):
    bare = replace(explanation, attributions=(), trust=())
    assert "Egyptian cat" in words(figure(bare))
    nothing = replace(bare, images=bare.images[:0], sources=(), answers=())
    assert "not shown: notes.txt: not a picture: it is text" in words(figure(nothing))


@pytest.mark.parametrize("name", ["US$ and more $", r"$\frac{a$", "bell\x07", "貓", "\udcff", "_under^caret"])
def test_names_are_never_formulas(explanation, name):
    hostile = replace(
        explanation,
        sources=(replace(explanation.sources[0], name=name), explanation.sources[1]),
        answers=((Answer(3, name, 0.5, 1.0),), explanation.answers[1]),
    )
    drawn = figure(hostile)
    FigureCanvasAgg(drawn).draw()


def test_figures_ignore_and_keep_the_users_settings(explanation):
    def pixels():
        drawn = figure(explanation)
        drawn.set_dpi(40)
        canvas = FigureCanvasAgg(drawn)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba()).copy()

    usual = pixels()
    settings = {
        "image.origin": "lower", "image.cmap": "jet", "image.interpolation": "nearest", "axes.grid": True,
        "font.family": "monospace", "font.size": 30, "figure.facecolor": "black", "text.color": "red",
        "axes.facecolor": "green", "lines.marker": "o", "figure.dpi": 33, "figure.constrained_layout.use": True,
        "patch.force_edgecolor": True, "axes.xmargin": 0.4,
    }  # fmt: skip
    with mpl.rc_context(settings):
        before = dict(mpl.rcParams)
        assert (pixels() == usual).all()
        assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []


def test_results_know_their_figure(explanation):
    assert explanation.figure().get_size_inches() == pytest.approx(figure(explanation).get_size_inches())
    assert explanation.attributions[0]._repr_png_().startswith(b"\x89PNG")


def test_unknown_results_are_refused():
    with pytest.raises(
        TypeError, match=r"no figure for int\. Expected one of: [\w, ]*Attribution, [\w, ]*Explanation[\w, ]*\."
    ):
        figure(3)
