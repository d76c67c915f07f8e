"""The sanity check of Adebayo et al. 2018 (arXiv:1810.03292): which maps change when the top of a network is random?

Gradient and Grad-CAM do. Guided backpropagation hardly does: it paints the picture's edges whatever the network says.
A correct implementation has to fail like that.
"""

import copy
from collections import OrderedDict

import pytest
import torch
from torch import nn

from convscope.attribution import method
from convscope.image import SAMPLES, read, sample_path, to_input


@pytest.fixture(scope="module")
def photographs():
    pictures = [read(str(sample_path(f"sample:{name}"))) for name in sorted(SAMPLES)[:3]]
    return torch.stack([to_input(p, (96, 96), interpolation="bilinear", crop=0.875)[0] for p in pictures])


@pytest.fixture(scope="module", params=[0, 1])
def pair(request, wrap, seeded):
    """A network in the manner of VGG, and the same with its last convolution and its two linear layers drawn anew."""

    def build():
        layers, channels = OrderedDict(), 3
        for index, width in enumerate((16, 32, 48, 64, 64)):
            layers[f"conv{index}"] = nn.Conv2d(channels, width, 3, padding=1)
            layers[f"relu{index}"] = nn.ReLU()
            if index < 4:
                layers[f"pool{index}"] = nn.MaxPool2d(2)
            channels = width
        layers |= {"gap": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), "hidden": nn.Linear(64, 64)}
        layers |= {"relu": nn.ReLU(), "fc": nn.Linear(64, 10)}
        net = nn.Sequential(layers)
        for part in net:
            if isinstance(part, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(part.weight)
        return net

    net = seeded(build, request.param)
    other = copy.deepcopy(net)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(100 + request.param)
        for part in (other.fc, other.hidden, other.conv4):
            nn.init.kaiming_normal_(part.weight)
    return [wrap(module, size=(96, 96), mean=0.45, std=0.25) for module in (net, other)]


def _agreement(text, pair, photographs):
    """Mean rank correlation of the absolute maps of the two networks."""
    ranks = []
    for model in pair:
        maps = method(text)(model, photographs, "class:3").maps.abs().flatten(1)
        ranks.append(maps.argsort(dim=1).argsort(dim=1).double())
    return torch.stack([torch.corrcoef(torch.stack(both))[0, 1] for both in zip(*ranks, strict=True)]).mean()


def test_guided_backprop_hardly_changes_where_gradient_and_grad_cam_do(pair, photographs):
    guided = _agreement("guided_backprop", pair, photographs)
    gradient = _agreement("gradient", pair, photographs)
    grad_cam = _agreement("grad_cam(rectify=False)", pair, photographs)
    assert guided > 0.75
    assert gradient < 0.5
    assert grad_cam < 0.5
