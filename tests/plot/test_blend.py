"""The picture stays recognizable under its map, and nothing is colored where nothing is claimed."""

import numpy as np
import pytest
import torch
from made_results import photograph

from convscope.plot import Scale, backdrop, opacity, overlay, picture, picture_note

SCALES = [Scale(1.0, 1.0, signed=True), Scale(1.0, 1.0, signed=False)]


@pytest.mark.parametrize("scale", SCALES)
def test_zero_leaves_the_gray_picture(scale):
    image = photograph()[0]
    laid = overlay(image, np.zeros(image.shape[1:], np.float32), scale)
    np.testing.assert_allclose(laid, np.repeat(backdrop(image)[..., None], 3, axis=2))


@pytest.mark.parametrize("scale", SCALES)
def test_the_strongest_value_covers_88_percent_with_its_own_color(scale):
    image = photograph()[0]
    laid = overlay(image, np.ones(image.shape[1:], np.float32), scale)
    color = scale.rgb(np.ones(1, np.float32))[0]
    np.testing.assert_allclose(laid, 0.12 * backdrop(image)[..., None] + 0.88 * color)


@pytest.mark.parametrize("scale", SCALES)
def test_opacity_grows_with_the_value_and_not_with_its_sign(scale):
    cover = opacity(scale)[:-1]
    cover = cover[len(cover) // 2 :] if scale.signed else cover
    assert cover[0] == 0
    assert (np.diff(cover) > 0).all()
    if scale.signed:
        np.testing.assert_allclose(opacity(scale)[:-1], opacity(scale)[:-1][::-1])


def test_even_fully_covered_pictures_can_be_recognized():
    image = photograph()[0]
    laid = overlay(image, np.ones(image.shape[1:], np.float32), SCALES[1]).mean(axis=2)
    assert np.corrcoef(laid.ravel(), backdrop(image).ravel())[0, 1] > 0.999
    assert laid.std() > 0.01


def test_pictures_of_any_number_of_channels():
    color = photograph(4, 6)[0]
    np.testing.assert_allclose(picture(color), color.permute(1, 2, 0).numpy(), atol=1e-7)
    gray = photograph(4, 6, 1)[0]
    np.testing.assert_allclose(picture(gray)[..., 2], gray[0].numpy(), atol=1e-7)
    five = torch.arange(5.0).div(4).view(5, 1, 1).expand(5, 4, 6)
    np.testing.assert_allclose(picture(five), np.full((4, 6, 3), 0.5))
    assert [picture_note(n) for n in (1, 3, 5)] == ["", "", "shown: the mean of 5 channels"]


def test_luminance_weighs_green_most():
    channels = [backdrop(torch.eye(3)[k].view(3, 1, 1))[0, 0] for k in range(3)]
    assert channels[1] > channels[0] > channels[2]
