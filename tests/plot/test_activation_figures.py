"""Activation maps are drawn in their scales, where their units look, with everything named."""

from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
import torch
from golden_pictures import check_golden
from made_results import photograph
from PIL import Image
from torch import nn

from convscope.anatomy import activation_maps
from convscope.plot import animation, figure


@pytest.fixture(scope="module")
def looking(wrap):
    """Three strides of fixed edge detectors."""
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2, padding=1), nn.Flatten(),
        nn.Linear(8 * 144, 4),
    )  # fmt: skip
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.sin(torch.arange(parameter.numel()) * 1.7).view_as(parameter) * 0.3)
    return wrap(net, size=(48, 48), mean=0.45, std=0.25, name="looking", classes=("owl", "cat", "dog", "cup"))


@pytest.fixture(scope="module")
def moving():
    cat = photograph()
    return torch.cat([cat, 0.7 * cat.flip(3), cat.roll(12, 2)])


def said(drawn):
    return "\n".join(text.get_text() for text in drawn.texts)


CASES = {
    "grid": ("1", {}, {}),
    "grid_overlay_shared": ("1", {}, {"overlay": True, "scale": "shared", "columns": 3}),
    "grid_signed": ("2", {"sort": "contribution"}, {}),
    "journey": (["1", "2"], {}, {}),
    "journey_overlay": (["1", "2"], {"sort": "contribution"}, {"overlay": True}),
}


@pytest.mark.parametrize("name", CASES)
def test_figures_look_as_they_did(looking, moving, name):
    layers, options, drawing = CASES[name]
    check_golden(figure(activation_maps(looking, moving[:1], layers, **options), **drawing), f"activations_{name}")


def test_a_grid_names_layer_channels_numbers_and_field(looking, moving):
    maps = activation_maps(looking, moving[:1], "1", sort="mean", top=4)
    words = said(figure(maps)).replace("\n", " ")
    assert "1: 4 of 6 channels, by mean activation" in words
    assert "stride 2 px each unit sees 3 px" in words
    assert f"{maps.layers[0].channels[0]} · {float(maps.layers[0].means[0, 0]):.2g}" in words


def test_contributions_name_the_answer_and_its_score(looking, moving):
    maps = activation_maps(looking, moving[:1], "2", sort="contribution", target="class:1")
    assert "gradientofcat(class:1),whichscores" in "".join(said(figure(maps)).split())


def test_the_journey_shows_what_a_unit_sees(looking, moving):
    drawn = figure(activation_maps(looking, moving[:1], ["1", "2"]))
    seen = [
        image.get_array()
        for axes in drawn.axes
        for image in axes.get_images()
        if image.get_array().shape == (48, 48, 3)
    ]
    original = moving[0].permute(1, 2, 0).numpy()
    clear = [np.isclose(picture, original).all(axis=2) for picture in seen]
    # The unit in the middle, 12 of 24 at stride 2 and 6 of 12 at stride 4, is centered on pixel 24.
    for mask, extent in zip(clear, (3, 7), strict=True):
        rows, columns = mask.nonzero()
        assert (rows.min(), rows.max()) == (columns.min(), columns.max()) == (24 - extent // 2, 24 + extent // 2)


def test_an_animation_has_a_frame_for_each_picture_in_one_scale(looking, moving):
    maps = activation_maps(looking, moving, "1", top=4)
    for kind in ("gif", "webp"):
        with Image.open(BytesIO(animation(maps, kind=kind, rate=5.0, overlay=True))) as moved:
            assert (moved.format, moved.n_frames) == (kind.upper(), 3)
            frames = []
            for index in range(3):
                moved.seek(index)
                frames.append(np.asarray(moved.convert("RGB"), dtype=float))
        assert all(np.abs(a - b).mean() > 1 for a, b in pairwise(frames))


def test_what_is_not_in_the_result_cannot_be_drawn(looking, moving):
    maps = activation_maps(looking, moving[:1], "1")
    with pytest.raises(ValueError, match="no picture 0 or layer '2'"):
        figure(maps, layer="2")
