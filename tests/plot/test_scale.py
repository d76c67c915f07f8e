"""Colors mean values: zero is neutral, one raw value has one color, nothing is blown up."""

import numpy as np
import pytest
import torch
from made_results import attribution, photograph
from skimage.color import rgb2lab

from convscope.plot import LEVELS, NOT_FINITE, Scale, shared_scale

SIGNED, UNSIGNED = Scale(limit=2.0, peak=2.0, signed=True), Scale(limit=2.0, peak=2.0, signed=False)


def of(*values):
    return np.array(values, dtype=np.float32)


def maps(*rows, signed=False):
    """One image per row, each with a 1 × len map of these values."""
    values = torch.tensor(rows)[:, None, None, :]
    images = photograph(1, values.shape[-1], 1).repeat(len(rows), 1, 1, 1)
    return attribution(images, values, reduction="sum", signed=signed)


def test_zero_of_a_signed_scale_is_the_neutral_middle():
    assert SIGNED.levels(of(0.0, -0.0)).tolist() == [LEVELS // 2, LEVELS // 2]
    red, green, blue = SIGNED.rgb(of(0.0))[0]
    assert max(red, green, blue) - min(red, green, blue) < 0.01
    assert min(red, green, blue) > 0.95


def test_signed_levels_mirror_at_zero():
    values = of(1e-6, 0.013, 0.4, 1.1, 1.999, 2.0, 7.0)
    assert (SIGNED.levels(values).astype(int) + SIGNED.levels(-values) == LEVELS - 1).all()


def test_red_is_in_favor_and_blue_against():
    favor, against = SIGNED.rgb(of(2.0, -2.0))
    assert favor[0] > 2 * favor[2]
    assert against[2] > 2 * against[0]


@pytest.mark.parametrize("scale", [SIGNED, UNSIGNED])
def test_levels_are_those_of_matplotlib(scale):
    values = np.linspace(-2.5, 2.5, 1001, dtype=np.float32)
    expected = scale.colormap(scale.norm(values))[:, :3]
    np.testing.assert_allclose(scale.rgb(values), expected, atol=1e-12)


def test_ends_and_beyond_have_the_colors_of_the_ends():
    np.testing.assert_array_equal(UNSIGNED.levels(of(0, 2, 3, -1)), [0, LEVELS - 1, LEVELS - 1, 0])
    np.testing.assert_array_equal(SIGNED.levels(of(-2, 2, 3, -9)), [0, LEVELS - 1, LEVELS - 1, 0])


def test_not_finite_has_a_color_that_no_value_has():
    assert UNSIGNED.levels(of(np.nan, np.inf, -np.inf)).tolist() == [NOT_FINITE] * 3
    for scale in (SIGNED, UNSIGNED):
        assert np.abs(scale.palette[:LEVELS] - scale.palette[NOT_FINITE]).max(axis=1).min() > 0.1


def test_one_raw_value_has_one_color_in_all_images():
    made = maps([0.0, 0.5, 1.0], [0.5, 4.0, 0.0])
    scale = shared_scale(made)
    first, second = (scale.rgb(values.numpy())[0] for values in made.maps)
    np.testing.assert_array_equal(first[1], second[0])
    np.testing.assert_array_equal(first[0], second[2])
    assert scale.peak == 4.0


def test_a_signed_scale_reaches_equally_far_to_both_sides():
    scale = shared_scale(maps([-3.0, 0.0, 1.0], signed=True))
    assert scale.ticks == pytest.approx((-scale.limit, 0.0, scale.limit))
    assert 2.9 < scale.limit <= 3.0


def test_a_hot_pixel_is_clipped_and_this_is_known():
    row = [0.001 * k for k in range(1000)] + [1000.0]
    scale = shared_scale(maps(row))
    assert scale.limit == pytest.approx(0.995, abs=0.002)
    assert scale.clipped
    assert scale.peak == 1000.0


def test_a_lonely_value_is_its_own_end():
    scale = shared_scale(maps([0.0] * 999 + [5.0]))
    assert (scale.limit, scale.clipped) == (5.0, False)


def test_blank_maps_are_not_blown_up():
    scale = shared_scale(maps([0.0, 0.0]))
    assert scale.limit == 0
    assert not scale.clipped
    np.testing.assert_array_equal(scale.levels(of(0.0)), UNSIGNED.levels(of(0.0)))
    blank = shared_scale(maps([0.0, 0.0], signed=True))
    np.testing.assert_array_equal(blank.levels(of(0.0)), SIGNED.levels(of(0.0)))


def test_tiny_noise_beside_evidence_stays_dark():
    made = maps([1e-9, 2e-9, 1e-9], [1.0, 0.5, 0.9])
    assert shared_scale(made).levels(made.maps[0].numpy()).max() == 0


def test_negative_values_of_a_map_that_claims_no_sign_are_shown():
    assert shared_scale(maps([-1.0, 2.0])).signed
    assert not shared_scale(maps([1.0, 2.0])).signed


def test_values_that_are_not_finite_do_not_set_the_scale():
    assert shared_scale(maps([float("nan"), float("inf"), 3.0])).limit == 3.0
    assert shared_scale(maps([float("nan"), float("inf")])).limit == 0.0


def lightness(scale):
    return rgb2lab(scale.palette[None, :LEVELS])[0, :, 0]


def test_lightness_tells_the_order_without_hue():
    assert (np.diff(lightness(UNSIGNED)) > 0).all()
    signed, middle = lightness(SIGNED), LEVELS // 2
    assert (np.diff(signed[: middle + 1]) > 0).all()
    assert (np.diff(signed[middle:]) < 0).all()


# Machado, Oliveira and Fernandes 2009, full severity, in linear RGB.
BLINDNESS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


@pytest.mark.parametrize("kind", BLINDNESS)
@pytest.mark.parametrize("value", [0.5, 1.0, 2.0])
def test_the_sign_is_seen_by_color_blind_eyes(kind, value):
    seen = np.clip(SIGNED.rgb(of(value, -value)) ** 2.2 @ np.array(BLINDNESS[kind]).T, 0, 1) ** (1 / 2.2)
    favor, against = rgb2lab(seen[None])[0]
    assert np.linalg.norm(favor - against) > 15  # a just noticeable difference is about 2.3
