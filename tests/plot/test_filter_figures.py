"""Filters are drawn in the colors of their scale, every tile where its label says."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from golden_pictures import check_golden
from torch import nn

from convscope.anatomy import filters
from convscope.plot import figure


@pytest.fixture(scope="module")
def planted(wrap):
    """Filters of known colors: red, green, blue, an edge; then depthwise, pointwise and grouped layers."""
    net = nn.Sequential(nn.Conv2d(3, 8, 5), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 6, 1), nn.Conv2d(6, 12, 3))
    wave = torch.linspace(-1, 1, 5)
    with torch.no_grad():
        net[0].weight.zero_()
        for index in range(3):
            net[0].weight[index, index] = 1
        net[0].weight[3] = wave[None, :, None].expand(3, 5, 5)
        net[0].weight[4] = wave.expand(3, 5, 5)
        net[0].weight[5, 0], net[0].weight[5, 1] = wave, -wave
        net[0].weight[6] = (wave[:, None] * wave).expand(3, 5, 5)
        net[0].weight[7, 2] = -0.25
        for index, layer in enumerate(net[1:]):
            layer.weight.copy_(torch.sin(torch.arange(layer.weight.numel()) * (0.7 + index)).view_as(layer.weight))
    return wrap(net, size=(16, 16), std=0.5, name="planted")


def said(drawn):
    return "\n".join(text.get_text() for text in drawn.texts)


def canvas(drawn):
    """The image that holds the tiles: the largest."""
    return max((image.get_array() for axes in drawn.axes for image in axes.get_images()), key=np.size)


CASES = {
    "color": ("0", {}, {}),
    "color_own_scale": ("0", {}, {"scale": "filter"}),
    "hue": ("0", {"sort": "hue"}, {}),
    "single": ("0", {"view": "single", "only": [3, 5]}, {}),
    "spectrum": ("0", {"view": "spectrum"}, {}),
    "collated": ("3", {}, {}),
    "collated_gray": ("3", {}, {"colors": "gray"}),
    "depthwise": ("1", {}, {}),
    "pairs": ("1", {"view": "pairs"}, {}),
}


@pytest.mark.parametrize("name", CASES)
def test_figures_look_as_they_did(planted, name):
    layer, options, drawing = CASES[name]
    check_golden(figure(filters(planted, layer, **options), **drawing), f"filters_{name}")


def test_a_red_filter_is_red_on_gray_and_full_color_is_the_largest_weight(planted):
    drawn = canvas(figure(filters(planted, "0")))
    np.testing.assert_allclose(drawn[20, 20], (1, 0.5, 0.5), atol=1e-6)
    assert "Full color: ±2.0 (weight per unit of a [0, 1] pixel); one scale for all filters" in said(
        figure(filters(planted, "0"))
    ).replace("\n", " ")


def test_the_legend_tells_an_own_scale_from_a_shared_one(planted):
    found = filters(planted, "0", only=[7])
    shared, own = (said(figure(found, scale=scale)).replace("\n", " ") for scale in ("shared", "filter"))
    assert "one scale for all filters" in shared
    assert "each filter in its own scale" in own


def test_a_collated_figure_is_one_image_that_holds_every_weight(planted):
    found = filters(planted, "3")
    drawn = figure(found)
    picture = canvas(drawn)
    assert sum(axes.get_images() != [] for axes in drawn.axes) == 2  # the tiles and the color bar
    values = np.ma.getdata(picture)[~np.ma.getmaskarray(picture)]
    np.testing.assert_array_equal(np.sort(values), np.sort(found.values.numpy().ravel()))
    np.testing.assert_array_equal(picture[:3, 4:7], found.values[0, 1].numpy())
    np.testing.assert_array_equal(picture[4:7, :3], found.values[1, 0].numpy())


def test_single_tiles_are_labelled_filter_and_channel(planted):
    words = said(figure(filters(planted, "3", view="single", only=[2], channels=[4, 1]))).splitlines()
    assert [word for word in words if "," in word and word[0].isdigit()][-2:] == ["2,4", "2,1"]


def test_pairs_name_filters_and_weights(planted):
    found = filters(planted, "1", view="pairs")
    words = said(figure(found))
    strongest = int(found.mixing[:, :].norm(dim=1).argmax())
    heaviest = int(found.mixing[strongest].abs().argmax())
    assert f"output {strongest}" in words
    assert f"{found.mixing[strongest, heaviest]:+.1f}".replace("-", "−") in words
    assert "100 % shown" in words


def test_weights_that_were_never_trained_are_named(planted):
    found = filters(planted, "0")
    assert "random" not in said(figure(found))
    untrained = replace(found.provenance, options={"weights": "random, seed 0"})
    assert "planted, random weights" in said(figure(replace(found, provenance=untrained)))
