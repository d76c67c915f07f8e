"""The layer to look at when nobody names one."""

from collections import OrderedDict

import pytest
import timm
import torchvision
from torch import nn
from torch.nn import functional as F

from convscope.anatomy import suggest_cam_layer
from convscope.errors import MethodError
from convscope.probe import layout

# The layer that each architecture's papers and users look at, on small pictures (64 unless said).
TORCHVISION = {
    "resnet18": "layer4", "vgg11_bn": "features.27", "alexnet": "features.11", "squeezenet1_1": "features",
    "googlenet": "inception5b", "densenet121": "features", "mobilenet_v2": "features", "mobilenet_v3_small": "features",
    "shufflenet_v2_x0_5": "conv5", "regnet_y_400mf": "trunk_output", "convnext_tiny": "features",
}  # fmt: skip
TIMM = {
    "tf_efficientnet_lite0": "bn2", "resnet26d": "layer4", "skresnet18": "layer4", "convnext_atto": "stages",
    "mobilevit_xxs": "final_conv", "vit_tiny_patch16_224": "blocks.11.norm1", "pvt_v2_b0": "stages.3.blocks.1.norm1",
}  # fmt: skip


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision(wrap, name):
    options = {"init_weights": False} if name == "googlenet" else {}
    size = 96 if name == "alexnet" else 64
    model = wrap(getattr(torchvision.models, name)(weights=None, **options).eval(), size=(size, size))
    assert suggest_cam_layer(model) == TORCHVISION[name]


@pytest.mark.parametrize("name", TIMM)
def test_timm(wrap, name):
    size = 224 if name.endswith("224") else 64
    assert suggest_cam_layer(wrap(timm.create_model(name).eval(), size=(size, size))) == TIMM[name]


class Head(nn.Module):
    """Two convolutions and whatever comes next."""

    def __init__(self, head, *, untraceable=False) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 6, 3)
        self.relu, self.pool, self.drop = nn.ReLU(), nn.MaxPool2d(2), nn.Dropout2d()
        self.fc, self.maps = nn.Linear(6, 4), nn.Conv2d(6, 4, 1)
        self.head, self.untraceable = head, untraceable

    def forward(self, x):
        if self.untraceable and float(x.detach().sum()) < 0:
            x = -x
        return self.head(self, self.conv2(F.relu(self.conv1(x))))


def _attend(net, x):
    """Spatial attention in a convolutional network: a softmax, and no tokens."""
    weights = x.mean(1, keepdim=True).flatten(2).softmax(2).reshape(len(x), 1, *x.shape[2:])
    return net.fc((net.relu(x) * weights).sum((2, 3)))


HEADS = {
    "pooled": (lambda net, x: net.fc(net.relu(x).mean((2, 3))), "relu"),
    "max-pooled": (lambda net, x: net.fc(net.pool(net.relu(x)).mean((2, 3))), "relu"),
    "with dropout": (lambda net, x: net.fc(net.drop(net.relu(x)).mean((2, 3))), "relu"),
    "one map per class": (lambda net, x: net.maps(net.relu(x)).mean((2, 3)), "relu"),
    "functional": (lambda net, x: net.fc(F.relu(x).mean((2, 3))), "conv2"),
    "softmax at the end": (lambda net, x: net.fc(net.pool(net.relu(x)).mean((2, 3))).softmax(1), "relu"),
    "spatial attention": (_attend, "relu"),
    "reused": (lambda net, x: net.fc(net.relu(net.relu(x) - 1).mean((2, 3))), "relu~1"),
    "as many maps as classes": (lambda net, x: net.fc(F.pad(net.maps(x).mean((2, 3)), (0, 2))), "maps"),
}  # fmt: skip


@pytest.mark.parametrize("head", HEADS)
def test_heads(wrap, head):
    function, expected = HEADS[head]
    assert suggest_cam_layer(wrap(Head(function).eval())) == expected


@pytest.mark.parametrize("head", ["pooled", "one map per class", "functional", "reused"])
def test_networks_that_cannot_be_traced(wrap, head):
    function, expected = HEADS[head]
    assert suggest_cam_layer(wrap(Head(function, untraceable=True).eval())) == expected


def test_the_outermost_layer_names_it(wrap):
    block = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 3), act=nn.ReLU()))
    net = nn.Sequential(OrderedDict(body=nn.Sequential(OrderedDict(block=block)), gap=nn.AdaptiveAvgPool2d(1)))
    assert suggest_cam_layer(wrap(net)) == "body"


NO_MAPS = {
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 5)),
    "one position": lambda: nn.Sequential(nn.Conv2d(3, 4, 16), nn.Flatten()),
}


@pytest.mark.parametrize("kind", NO_MAPS)
def test_no_layer_with_positions_is_an_error(wrap, kind):
    text = r"^net has no layer with positions to draw a class activation map on\. Give layer=\.\.\., or use "
    with pytest.raises(MethodError, match=text):
        suggest_cam_layer(wrap(NO_MAPS[kind]()))


def test_the_suggestion_is_an_address_that_runs(wrap):
    model = wrap(Head(HEADS["reused"][0]).eval())
    name, _, call = suggest_cam_layer(model).partition("~")
    assert layout(model).shapes[name, int(call)] == (1, 6, 12, 12)
