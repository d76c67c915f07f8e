"""Small networks whose maps can be written down."""

from collections import OrderedDict

import pytest
import torch
from torch import nn


@pytest.fixture(scope="session")
def seeded():
    """``seeded(make, seed=0)``: what ``make()`` builds, with random numbers that leave no trace, in eval mode."""

    def build(make, seed: int = 0):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return make().eval()

    return build


@pytest.fixture(scope="session")
def pooled(seeded, wrap):
    """``pooled(classes=3, channels=3, ...)``: conv → ReLU → conv → ReLU → global average pooling → linear."""

    def make(classes: int = 3, *, channels: int = 3, padding: int = 1, stride: int = 2, size=(17, 21), seed: int = 0):
        def build():
            return nn.Sequential(
                OrderedDict(
                    conv1=nn.Conv2d(channels, 6, 3, padding=1),
                    relu1=nn.ReLU(),
                    conv2=nn.Conv2d(6, 8, 3, stride=stride, padding=padding),
                    relu2=nn.ReLU(),
                    gap=nn.AdaptiveAvgPool2d(1),
                    flat=nn.Flatten(),
                    fc=nn.Linear(8, classes),
                )
            )

        return wrap(seeded(build, seed), size=size, channels=channels, mean=0.45, std=0.25)

    return make
