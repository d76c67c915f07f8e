"""The networks of the benchmark, with random weights (time does not depend on them) except the embedded one."""

import copy
from collections.abc import Callable, Mapping

import torch
import torchvision
from torch import Tensor, nn

import convscope

NETWORKS: Mapping[str, Callable[[], convscope.Model]] = {
    name: lambda name=name: convscope.load(name, weights=None) for name in ("resnet18", "resnet50", "vgg16")
} | {"efficientnet_lite0": convscope.load}

CAM_LAYERS = {"resnet18": "layer4", "resnet50": "layer4", "vgg16": "features.29", "efficientnet_lite0": "bn2"}

CLASS = 281


def pictures(count: int = 1) -> Tensor:
    """Pictures in [0, 1]; time does not depend on what they show."""
    return torch.rand(count, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def as_loaded(module: nn.Module) -> nn.Module:
    """The module as torchvision and timm hand it out, in eval mode: its parameters require gradients."""
    return module.eval().requires_grad_()


def frozen(module: nn.Module) -> nn.Module:
    """A copy without parameter gradients: what a careful user would run by hand."""
    return copy.deepcopy(module).requires_grad_(requires_grad=False)


VERSIONS = {"torch": torch.__version__, "torchvision": torchvision.__version__}
