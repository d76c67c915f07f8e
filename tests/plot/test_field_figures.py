"""Fields are drawn where they are: boxes on their pixels, the heat inside the box, the legend in order."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from golden_pictures import check_golden
from made_results import photograph
from matplotlib.patches import Ellipse, Rectangle
from torch import nn

from convscope.anatomy import effective_receptive_field, field
from convscope.plot import figure


@pytest.fixture(scope="module")
def deep(wrap):
    """Five convolutions with known weights; the picture is 40 × 56."""
    net = nn.Sequential(*(nn.Conv2d(3 if i == 0 else 2, 2, 3, stride=1 + i % 2, padding=1) for i in range(5)))
    with torch.no_grad():
        for index, layer in enumerate(net):
            layer.weight.copy_(
                0.4 + 0.1 * torch.cos(torch.arange(layer.weight.numel()) * (1.0 + index)).view_as(layer.weight)
            )
    return wrap(net, size=(40, 56), name="deep")


@pytest.fixture(scope="module")
def image():
    return photograph(40, 56)


def rectangles(drawn):
    """Box edges (top, left, bottom, right) in pixels of every rectangle on the first picture."""
    axes = next(axes for axes in drawn.axes if axes.get_images())
    found = []
    for patch in axes.patches:
        if isinstance(patch, Rectangle):
            left, top = patch.get_xy()
            found.append((top + 0.5, left + 0.5, top + patch.get_height() + 0.5, left + patch.get_width() + 0.5))
    return found


CASES = {
    "one": {},
    "column": {"column": True},
    "effective": {"column": True, "effective": True, "samples": 8},
}


@pytest.mark.parametrize("case", CASES)
def test_golden(deep, image, case):
    check_golden(figure(field(deep, "4:1@4,5", image=image, **CASES[case])), f"field_{case}")


def test_golden_without_a_picture(deep):
    check_golden(figure(field(deep, "3@0,0", column=True)), "field_blank")
    check_golden(figure(effective_receptive_field(deep, "3@0,0", samples=8)), "field_effective_alone")


@pytest.mark.parametrize("address", ["4@4,5", "2@0,0", "3@9,13"])
def test_boxes_lie_on_their_pixels(deep, image, address):
    found = field(deep, address, image=image, column=True)
    assert rectangles(figure(found)) == [box.box for box in found.boxes]


def test_layers_brighten_with_depth_and_are_named_in_order(deep, image):
    drawn = figure(field(deep, "4", image=image, column=True))
    axes = next(axes for axes in drawn.axes if axes.get_images())
    luma = [np.dot(patch.get_edgecolor()[:3], (0.3, 0.6, 0.1)) for patch in axes.patches]
    assert all(a < b for a, b in pairwise(luma))
    words = [text.get_text() for text in drawn.texts]
    assert [word for word in words if word in set("01234")] == list("01234")
    sizes = ["3 × 3", "5 × 5", "9 × 9", "13 × 13", "21 × 21"]
    assert [word for word in words if word in sizes] == sizes


def test_the_ellipse_is_two_sigmas_wide(deep):
    measured = effective_receptive_field(deep, "4", samples=4)
    drawn = figure(measured)
    (ellipse,) = [patch for axes in drawn.axes for patch in axes.patches if isinstance(patch, Ellipse)]
    assert ellipse.center == (measured.gaussian.center[1], measured.gaussian.center[0])
    assert (ellipse.height, ellipse.width) == (4 * measured.gaussian.sigma[0], 4 * measured.gaussian.sigma[1])


def test_the_heat_is_drawn_at_its_pixels(deep):
    measured = effective_receptive_field(deep, "3@2,3", samples=4)
    axes = next(axes for axes in figure(measured).axes if axes.get_images())
    (shown,) = axes.get_images()
    left, right, bottom, top = shown.get_extent()
    pixels = shown.get_array()
    assert pixels.shape[:2] == (bottom - top, right - left)
    # Only what the unit listens to is colored; the blank picture is gray.
    colored = np.abs(pixels - pixels[..., :1]).max(axis=2) > 1e-6
    rows, columns = np.nonzero(colored)
    box = measured.box.box
    assert rows.min() + top + 0.5 >= box[0]
    assert rows.max() + top + 0.5 < box[2]
    assert columns.min() + left + 0.5 >= box[1]
    assert columns.max() + left + 0.5 < box[3]


def test_what_was_measured_is_said(deep):
    measured = effective_receptive_field(deep, "4", samples=4)
    said = "\n".join(text.get_text() for text in figure(measured).texts)
    assert "measured on 4 inputs of uniform noise" in said
    assert f"R² {measured.gaussian.r_squared:.2f}" in said
    assert "95 % of the gradient energy lies in" in said


def test_one_pixel_and_no_gaussian(wrap):
    net = nn.Sequential(nn.Conv2d(1, 1, 1))
    said = figure(field(wrap(net, size=(6, 6), channels=1), "0", effective=True, samples=1))
    assert not [patch for axes in said.axes for patch in axes.patches if isinstance(patch, Ellipse)]
