"""The networks that every method must work on: small ones with something unusual each, and small published ones."""

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

SIZES = {"plain": (18, 14), "gray": (17, 23), "four": (16, 16), "softmax": (16, 20)}


class Net(nn.Module):
    """Batch norm, dropout, a skip connection, in-place and functional ReLU, overlapping pooling, a pooled head."""

    def __init__(self, channels: int = 3, *, softmax: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.middle = nn.Conv2d(6, 6, 3, padding=1)
        self.late = nn.Conv2d(6, 7, 3, padding=1)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(7, 5)
        self.softmax = softmax
        self.armed = False

    def forward(self, x):
        x = self.pool(F.relu(self.norm(self.first(x)), inplace=True))
        x = x + self.middle(F.relu(x))
        if self.armed:
            raise ValueError("a network's own error")
        x = self.late(F.relu_(x)).relu()
        x = self.fc(self.drop(F.adaptive_avg_pool2d(x, 1).view(x.size(0), -1)))
        return x.softmax(dim=1) if self.softmax else x


def _seeded(make):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        net = make()
        for part in net.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(part.weight)
                if part.bias is not None:
                    nn.init.uniform_(part.bias, -0.1, 0.1)
    return net.eval()


@pytest.fixture
def fresh(wrap):
    """``fresh(channels=3, ...)``: a ``Net`` nobody has looked into, as a model."""

    def make(channels: int = 3, *, size=SIZES["plain"], softmax: bool = False):
        return wrap(_seeded(lambda: Net(channels, softmax=softmax)), size=size, channels=channels, mean=0.4, std=0.3)

    return make


@pytest.fixture(scope="session")
def networks(wrap):
    """Networks by name, made once. None of them is changed by a test."""
    published = torchvision.models
    squeezenet = _seeded(lambda: published.squeezenet1_1(num_classes=10))
    nn.init.ones_(squeezenet.classifier[1].bias)  # it ends in a ReLU, behind which random logits would be half dead
    squeezenet.classifier[1].weight.data.mul_(0.1)
    return {
        "plain": wrap(_seeded(Net), size=SIZES["plain"], mean=0.4, std=0.3),
        "gray": wrap(_seeded(lambda: Net(1)), size=SIZES["gray"], channels=1, mean=0.5, std=0.5),
        "four": wrap(_seeded(lambda: Net(4)), size=SIZES["four"], channels=4, mean=0.4, std=0.3),
        "softmax": wrap(_seeded(lambda: Net(softmax=True)), size=SIZES["softmax"], mean=0.4, std=0.3),
        "float64": wrap(_seeded(Net).double(), size=SIZES["plain"], mean=0.4, std=0.3),
        "resnet18": wrap(_seeded(lambda: published.resnet18(num_classes=10)), size=(64, 80), mean=0.45, std=0.25),
        "squeezenet1_1": wrap(squeezenet, size=(64, 64), mean=0.45, std=0.25),
        "mobilenet_v2": wrap(
            _seeded(lambda: published.mobilenet_v2(num_classes=10)), size=(64, 64), mean=0.45, std=0.25
        ),
    }


@pytest.fixture(scope="session")
def pictures_for():
    """``pictures_for(model, n)``: random pictures of the model's own size."""

    def make(model, n: int = 2, seed: int = 100):
        generator = torch.Generator().manual_seed(seed)
        return torch.rand(n, model.channels, *model.spec.preprocessing.size, generator=generator)

    return make
