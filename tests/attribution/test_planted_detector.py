"""A network that detects a spot knows where the spot is: the map's peak must be there, whatever the paddings."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

from convscope.attribution import method

SIZE = (77, 69)

PADDINGS = [(2, 2, 2), (0, 0, 0), (3, 3, 3), (4, 4, 4), (0, 2, 0), (0, 0, 1)]
"""Of three 5 × 5 convolutions of stride 2: symmetric, none, too much, and mixtures."""


@pytest.fixture(scope="module", params=PADDINGS, ids=str)
def paddings(request):
    return request.param


@pytest.fixture(scope="module")
def detector(paddings, wrap):
    """Three blurring convolutions (stride 8 in all), a rectifier, pooling: the brightest unit sees the spot best."""
    layers = OrderedDict()
    for index, padding in enumerate(paddings):
        conv = nn.Conv2d(1, 1, 5, stride=2, padding=padding, bias=False)
        bump = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
        with torch.no_grad():
            conv.weight.copy_(torch.outer(bump, bump)[None, None])
        layers[f"conv{index}"] = conv
    layers |= {"relu": nn.ReLU(), "gap": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), "fc": nn.Linear(1, 1)}
    net = nn.Sequential(layers)
    nn.init.ones_(net.fc.weight)
    return wrap(net, size=SIZE, channels=1)


def _centers(paddings, length):
    """Where the units stand along an axis: each layer moves the first center by 2 − padding of its own strides."""
    start, stride = 0, 1
    for padding in paddings:
        start += (2 - padding) * stride
        stride *= 2
        length = (length + 2 * padding - 5) // 2 + 1
    return [start + stride * index for index in range(length)]


def _spots(paddings):
    """Pictures with one spot each, anywhere between the outermost units, and where the spot is."""
    spans = []
    for length in SIZE:
        centers = _centers(paddings, length)
        spans.append(range(max(centers[0], 1), min(centers[-1], length - 2) + 1, 3))
    places = [(row, column) for row in spans[0] for column in spans[1]]
    images = torch.zeros(len(places), 1, *SIZE)
    for image, (row, column) in zip(images, places, strict=True):
        image[0, row - 1 : row + 2, column - 1 : column + 2] = 1.0
    return images, torch.tensor(places)


def _worst_miss(result, places):
    """The largest distance in pixels, along the worse axis, from the peak of a map to its spot."""
    errors = []
    for values, place in zip(result.values[:, 0], places, strict=True):
        peak = (values >= values.max() * (1 - 1e-6)).nonzero()
        errors.append((peak - place).abs().amax(dim=1).min())
    return int(torch.stack(errors).max())


@pytest.mark.parametrize("name", ["cam", "grad_cam", "hires_cam", "layer_cam", "xgrad_cam", "eigen_cam"])
def test_the_peak_is_within_half_a_stride_of_the_spot(name, detector, paddings):
    images, places = _spots(paddings)
    result = method(name)(detector, images, "class:0")
    assert result.facts["upsampling"] == "aligned"
    assert _worst_miss(result, places) <= 4


def test_stretching_from_the_corners_misses_it_by_about_a_stride(detector, paddings):
    """The same maps, placed as other tools do; only for symmetric paddings that is nearly right."""
    images, places = _spots(paddings)
    worst = _worst_miss(method("grad_cam(upsampling='corners')")(detector, images, "class:0"), places)
    assert worst <= 6 if paddings == (2, 2, 2) else worst >= 8


def test_both_ways_of_placing_are_the_same_where_the_grid_is_symmetric(wrap, pictures):
    """Pooling without padding over a size it divides: centers are (stride − 1) / 2 + stride i, as corners assume."""
    net = OrderedDict(pool=nn.AvgPool2d(4), gap=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), fc=nn.Linear(3, 2))
    model = wrap(nn.Sequential(net), size=(16, 24))
    images = pictures(2, 3, 16, 24)
    aligned, corners = (
        method(f"hires_cam(layer='pool', rectify=False, upsampling={way!r})")(model, images, "class:1")
        for way in ("aligned", "corners")
    )
    torch.testing.assert_close(aligned.values, corners.values)
