"""Published architectures with random weights, small enough for a test: what the peers are compared on."""

import torch
import torchvision
from torch import nn

from convscope.model import Model, ModelSpec, Preprocessing

CLASSES = 10
MEAN, STD = (0.45, 0.5, 0.4), (0.25, 0.2, 0.3)

LAYERS = {
    "resnet18": "layer4",
    "vgg11_bn": "features",
    "squeezenet1_1": "features",
    "googlenet": "inception5b",
    "densenet121": "features",
    "mobilenet_v2": "features",
}
"""The layer that class activation maps look at in each."""


def make(name: str) -> Model:
    """Build a network with seeded random weights of a useful scale, for 64 × 64 pictures."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        with torch.device("meta"):  # vgg's own classifier takes half a gigabyte
            net = _architecture(name)
        if name == "vgg11_bn":
            net.classifier = nn.Sequential(
                nn.Linear(512 * 7 * 7, 64), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(64, CLASSES)
            )
        net = net.to_empty(device="cpu")
        for part in net.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(part.weight)
                if part.bias is not None:
                    nn.init.uniform_(part.bias, -0.1, 0.1)
            elif isinstance(part, nn.BatchNorm2d):
                part.reset_parameters()
        if name == "squeezenet1_1":
            nn.init.normal_(net.classifier[1].weight, std=0.02)
            nn.init.ones_(net.classifier[1].bias)  # it ends in a ReLU, behind which random logits would be half dead
    preprocessing = Preprocessing(size=(64, 64), mean=MEAN, std=STD)
    return Model(net.eval(), ModelSpec(name, "", "random", preprocessing))


def _architecture(name: str) -> nn.Module:
    if name == "googlenet":
        return torchvision.models.googlenet(num_classes=CLASSES, aux_logits=False, init_weights=False)
    return getattr(torchvision.models, name)(num_classes=CLASSES)


class Normalized(nn.Module):
    """A network together with its normalization, so that a peer sees the same function of [0, 1] pixels."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.net = model.module
        preprocessing = model.spec.preprocessing
        self.mean = torch.tensor(preprocessing.mean).view(1, -1, 1, 1)
        self.std = torch.tensor(preprocessing.std).view(1, -1, 1, 1)

    def forward(self, x):
        return self.net((x - self.mean) / self.std)
