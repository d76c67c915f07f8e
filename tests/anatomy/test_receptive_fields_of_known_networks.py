"""Nominal fields against the literature, and exact boxes against gradients, for the networks that everyone uses."""

import math

import pytest
import timm
import torch
import torchvision
from seen_pixels import SumOfWindow, positive, seen_boxes
from torch import nn

from convscope.anatomy import receptive_field

# Layer -> nominal size, stride and start, by the recurrence of Araujo, Norris and Sim 2019, who give these sizes for
# AlexNet (195), VGG-16 (212) and Inception v3 (1311). Their ResNet-50 has 483, with the stride on the first 1×1
# convolution; torchvision's has it on the 3×3, which makes 427. Torchvision's GoogLeNet has 3×3 where the paper has
# 5×5. Whole: squeeze and excitation shows every unit the whole picture.
WHOLE = (math.inf,)
KNOWN = {
    "alexnet": {
        "features.0": (11, 4, 3), "features.2": (19, 8, 7), "features.3": (51, 8, 7), "features.5": (67, 16, 15),
        "features.6": (99, 16, 15), "features.10": (163, 16, 15), "features.12": (195, 32, 31),
    },
    "vgg16": {
        "features.0": (3, 1, 0), "features.4": (6, 2, 0.5), "features.9": (16, 4, 1.5), "features.16": (44, 8, 3.5),
        "features.23": (100, 16, 7.5), "features.29": (196, 16, 7.5), "features.30": (212, 32, 15.5),
    },
    "resnet18": {
        "conv1": (7, 2, 0), "maxpool": (11, 4, 0), "layer1": (43, 4, 0), "layer2": (99, 8, 0),
        "layer3": (211, 16, 0), "layer4": (435, 32, 0),
    },
    "resnet50": {"layer1": (35, 4, 0), "layer2": (91, 8, 0), "layer3": (267, 16, 0), "layer4": (427, 32, 0)},
    "squeezenet1_1": {"features.0": (3, 2, 1), "features.3": (15, 4, 3), "features": (207, 16, 15)},
    "googlenet": {"conv1": (7, 2, 0), "inception3a": (43, 8, 6), "inception5b": (379, 32, 22)},
    "densenet121": {"features.conv0": (7, 2, 0), "features.transition1": (63, 8, 2), "features": (2071, 32, 14)},
    "inception_v3": {"Conv2d_1a_3x3": (3, 2, 1), "Mixed_5b": (63, 8, 13), "Mixed_7c": (1311, 32, 37)},
    "mobilenet_v2": {"features.0": (3, 2, 0), "features": (491, 32, 0)},
    "mobilenet_v3_small": {
        "features.0": (3, 2, 0), "features.1.block.0": (7, 4, 0), "features.1": WHOLE, "features": WHOLE,
    },
    "tf_efficientnet_lite0": {"conv_stem": (3, 2, 1), "conv_head": (851, 32, 31)},
}  # fmt: skip
NARROW = {"alexnet": 70, "inception_v3": 80, "tf_efficientnet_lite0": 64}


@pytest.mark.parametrize("name", KNOWN)
def test_fields_of_known_networks(wrap, name):
    """On a picture taller than the field and as narrow as the network takes: cheap, and all of both."""
    sizes = [field[0] for field in KNOWN[name].values() if field != WHOLE]
    # A multiple of 32: networks that pad as TensorFlow does pad by what the size leaves over.
    picture = ((max(sizes) + 103) // 32 * 32, NARROW.get(name, 40))
    net = positive(_without_weights(name))
    model = wrap(net, size=picture, name=name)
    with SumOfWindow():
        values = layer_values(net, list(KNOWN[name]), torch.rand(3, 3, *picture, dtype=torch.float64).requires_grad_())
    for layer, nominal in KNOWN[name].items():
        field = receptive_field(model, layer)
        value, inputs = values[layer]
        rows, columns = field.map_size
        assert field.exact
        assert (rows, columns) == tuple(value.shape[2:])
        middle = (rows // 2, columns // 2)
        units = [middle, (0, columns - 1), (rows - 1, 0)]
        for unit, seen in zip(units, seen_boxes(value, inputs, units), strict=True):
            box = field.box(*unit)
            assert (box.top, box.left, box.bottom, box.right) == seen, (layer, unit)
        if nominal == WHOLE:
            assert field.whole
            assert field.notes == ("global pooling",)
            assert seen == (0, 0, *picture)
        else:
            size, stride, start = nominal
            assert field.size == (size, size), layer
            assert field.stride[0] == stride, layer
            assert field.start == (start, start), layer
            box = field.box(*middle)
            assert box.bottom - box.top == size, layer  # far from the borders the exact box is the nominal one
            assert field.center(*map(float, middle))[0] == (box.top + box.bottom - 1) / 2, layer


def _without_weights(name):
    """The architecture; its weights are filled in by ``positive``. Large heads are left out."""
    with torch.device("meta"):
        if hasattr(torchvision.models, name):
            options = {"init_weights": False} if name in {"googlenet", "inception_v3"} else {}
            net = getattr(torchvision.models, name)(weights=None, **options)
        else:
            net = timm.create_model(name)
    if name in {"alexnet", "vgg16"}:
        net.classifier = nn.Identity()
    return net.to_empty(device="cpu").eval()


def layer_values(net, layers, inputs):
    """Outputs of layers by name, each with the input it hangs on."""
    seen = {}
    for layer in layers:
        module = net.get_submodule(layer)
        module.register_forward_hook(lambda _, __, output, layer=layer: seen.update({layer: (output, inputs)}))
    net(inputs)
    for layer in layers:
        net.get_submodule(layer)._forward_hooks.clear()
    return seen
