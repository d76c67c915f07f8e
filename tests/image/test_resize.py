"""The same input as the recipes that the weights were measured with."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.data import create_transform
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

from convscope.errors import ImageError
from convscope.image import from_array, from_pil, to_input

SHAPES = [
    (451, 300),
    (300, 451),
    (224, 224),
    (256, 256),
    (640, 427),
    (30, 20),
    (1, 50),
    (50, 1),
    (1, 1),
    (7, 900),
]


def noise(width, height, channels=3):
    values = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(values if channels == 3 else values[..., 0])


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_torchvision_to_the_last_bit(shape, interpolation):
    image = noise(*shape)
    theirs = ImageClassification(
        crop_size=224,
        resize_size=232,
        mean=(0, 0, 0),
        std=(1, 1, 1),
        interpolation=InterpolationMode(interpolation),
    )(image)
    ours, _ = to_input(from_pil(image), (224, 224), interpolation=interpolation, crop=224 / 232)
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("size", "crop"),
    [((224, 224), 0.875), ((224, 224), 0.9), ((224, 224), 1.0), ((96, 64), 0.95), ((60, 150), 0.8)],
)
def test_agrees_with_timm_to_the_last_bit(shape, size, crop):
    image = noise(*shape)
    theirs = create_transform(
        (3, *size), interpolation="bicubic", mean=(0, 0, 0), std=(1, 1, 1), crop_pct=crop, crop_mode="center"
    )(image)
    ours, _ = to_input(from_pil(image), size, interpolation="bicubic", crop=crop)
    assert torch.equal(ours, theirs)


def test_gray_pictures_have_one_channel():
    image = noise(60, 40, channels=1)
    ours, _ = to_input(from_pil(image, channels=1), (20, 20), crop=1.0)
    assert ours.shape == (1, 20, 20)
    rgb, _ = to_input(from_pil(image), (20, 20), crop=1.0)
    assert torch.equal(rgb, ours.expand(3, -1, -1))


def test_resize_of_torchvision_is_recovered_from_its_ratio():
    for size in (112, 224, 299, 384, 518):
        for resize in range(size, 2 * size):
            picture = from_pil(Image.new("RGB", (resize, resize)))
            _, source = to_input(picture, (size, size), crop=size / resize)
            assert source.box[2] - source.box[0] == size


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 120),
    height=st.integers(1, 120),
    size=st.tuples(st.integers(1, 64), st.integers(1, 64)),
    crop=st.floats(0.3, 1),
    fit=st.sampled_from(["crop", "stretch", "whole"]),
)
def test_the_box_says_where_each_input_pixel_comes_from(width, height, size, crop, fit):
    # A picture of its own coordinates: after resizing, the values still say where they were.
    rows, columns = np.mgrid[0:height, 0:width] + 0.5
    picture = from_array(np.stack([columns / width, rows / height]), channels=2)
    ours, source = to_input(picture, size, crop=crop, fit=fit)
    left, top, right, bottom = source.box
    assert -1e-9 <= left < right <= width + 1e-9
    assert -1e-9 <= top < bottom <= height + 1e-9
    _, out_height, out_width = ours.shape
    if fit == "whole":
        assert min(out_height, out_width) == min(size)
    else:
        assert (out_height, out_width) == size
    across = (left + (np.arange(out_width) + 0.5) * (right - left) / out_width) / width
    down = (top + (np.arange(out_height) + 0.5) * (bottom - top) / out_height) / height
    # Away from the border a filter leaves a ramp as it is, up to a small part of an output pixel.
    reach_x = max(1, (right - left) / out_width) / width
    reach_y = max(1, (bottom - top) / out_height) / height
    inner_x = (across > reach_x) & (across < 1 - reach_x)
    inner_y = (down > reach_y) & (down < 1 - reach_y)
    assert np.allclose(ours[0].numpy()[:, inner_x], across[inner_x], atol=0.1 * reach_x + 1e-5)
    assert np.allclose(ours[1].numpy()[inner_y], down[inner_y][:, None], atol=0.1 * reach_y + 1e-5)


def test_stretch_shows_all_of_it_and_whole_keeps_its_aspect():
    picture = from_pil(noise(451, 300))
    stretched, source = to_input(picture, (224, 200), fit="stretch")
    assert stretched.shape == (3, 224, 200)
    assert source.box == (0, 0, 451, 300)
    whole, source = to_input(picture, (224, 224), fit="whole")
    assert whole.shape == (3, 224, math.floor(224 * 451 / 300))
    assert source.box == (0, 0, 451, 300)


def test_the_cat_sees_its_middle():
    picture = from_pil(noise(451, 300))
    _, source = to_input(picture, (224, 224))
    # 451 × 300 becomes 384 × 256; columns 80 to 304 and rows 16 to 240 are kept.
    assert source.box == pytest.approx((80 * 451 / 384, 16 * 300 / 256, 304 * 451 / 384, 240 * 300 / 256))
    assert (source.width, source.height) == (451, 300)
    assert "the network sees only the middle 51%" not in " ".join(source.notes)


def test_what_is_lost_is_said():
    _, source = to_input(from_pil(noise(900, 90)), (224, 224))
    assert source.notes == ("the network sees only the middle 8%; fit='stretch' or 'whole' shows it all",)
    _, source = to_input(from_pil(noise(900, 90)), (224, 224), fit="stretch")
    assert source.notes == ("stretched from 900×90: shapes are distorted",)


def test_arrays_keep_their_precision_and_range():
    fine = np.linspace(0.5, 0.5 + 1e-4, 64, dtype=np.float32).reshape(1, 8, 8).repeat(5, axis=0)
    ours, _ = to_input(from_array(fine, channels=5), (8, 8), crop=1.0)
    assert np.array_equal(ours.numpy(), fine)
    steps = np.zeros((2, 8, 8), np.float32)
    steps[:, 4:] = 1
    ours, _ = to_input(from_array(steps, channels=2), (31, 31), interpolation="lanczos", crop=1.0)
    assert ours.min() == 0
    assert ours.max() == 1


@pytest.mark.parametrize("fit", ["crop", "whole"])
def test_a_thread_of_a_picture_is_refused_before_it_fills_the_memory(fit):
    picture = from_pil(Image.new("RGB", (1, 100_000)), name="thread.png")
    with pytest.raises(ImageError, match=r"^cannot use 'thread\.png': 1×100000 pixels would grow to 2\d\d×2\d+\. Cut"):
        to_input(picture, (224, 224), fit=fit)
    image, _ = to_input(picture, (224, 224), fit="stretch")
    assert image.shape == (3, 224, 224)


@pytest.mark.parametrize("crop", [0.0, -1.0, 1.15, float("nan")])
def test_a_crop_that_is_no_part_is_an_error(crop):
    with pytest.raises(ImageError, match=r"^crop must lie in \(0, 1\], got"):
        to_input(from_pil(noise(9, 9)), (4, 4), crop=crop)
