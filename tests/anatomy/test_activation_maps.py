"""Activation maps: values, numbers and order once more by brute force, on blocks of every kind."""

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.nn import functional as F

from convscope.anatomy import activation_maps, receptive_field
from convscope.errors import AddressError, ImageError, MethodError, TargetError
from convscope.image import place
from convscope.probe import record
from convscope.store import load, save


class Branching(nn.Module):
    """An inception block, a dense block and a residual block, and a linear head: contributions are exact."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.narrow = nn.Conv2d(4, 3, 1)
        self.wide = nn.Conv2d(4, 3, 5, padding=2)
        self.dense = nn.Conv2d(6, 4, 3, padding=1)
        self.same = nn.Conv2d(10, 10, 3, padding=1)
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        x = F.relu(self.stem(x))
        x = torch.cat([self.narrow(x), self.wide(x)], 1)
        x = torch.cat([x, self.dense(x)], 1)
        return self.head((x + self.same(x)).mean((2, 3)))


@pytest.fixture
def branching(wrap):
    torch.manual_seed(3)
    return wrap(Branching().eval(), size=(12, 16), name="branching")


def test_maps_are_the_recorded_activations(branching, pictures):
    images = pictures(2, 3, 12, 16)
    maps = activation_maps(branching, images, ["stem", "wide", "dense", "same"], top=3)
    seen = record(branching, images, ["stem", "wide", "dense", "same"])
    for layer in maps.layers:
        torch.testing.assert_close(layer.values, seen[layer.layer][:, list(layer.channels)])
        torch.testing.assert_close(layer.means, layer.values.mean((2, 3)))
        torch.testing.assert_close(layer.peaks, layer.values.amax((2, 3)))


@pytest.mark.parametrize("sort", ["max", "mean"])
def test_the_strongest_channels_come_first(branching, pictures, sort):
    images = pictures(3, 3, 12, 16)
    (layer,) = activation_maps(branching, images, "same", sort=sort).layers
    numbers = record(branching, images, ["same"])["same"].flatten(2)
    keys = (numbers.amax(2) if sort == "max" else numbers.mean(2)).mean(0).tolist()
    assert list(layer.channels) == sorted(range(10), key=lambda channel: -keys[channel])


def test_a_contribution_is_what_the_score_loses_without_the_channel(branching, pictures):
    """Exactly, since everything behind the stem's ReLU is linear."""
    images = pictures(1, 3, 12, 16)
    maps = activation_maps(branching, images, "wide", sort="contribution", target="class:1")
    (layer,) = maps.layers
    module = branching.module
    full = module(images)[0, 1].detach()
    for place_of, channel in enumerate(layer.channels):
        weight, bias = module.wide.weight.data.clone(), module.wide.bias.data.clone()
        module.wide.weight.data[channel], module.wide.bias.data[channel] = 0, 0
        lost = full - module(images)[0, 1].detach()
        module.wide.weight.data, module.wide.bias.data = weight, bias
        assert float(layer.contributions[0, place_of]) == pytest.approx(float(lost), abs=1e-5)
    assert (maps.targets, float(maps.scores[0])) == (("class:1",), pytest.approx(float(full), abs=1e-5))
    assert layer.contributions[0].tolist() == sorted(layer.contributions[0].tolist(), reverse=True)


def test_many_pictures_are_those_pictures_one_by_one(branching, pictures):
    images = pictures(11, 3, 12, 16)
    together = activation_maps(branching, images, "dense", channels=[2, 0], sort="contribution")
    for index in (0, 7, 10):
        alone = activation_maps(branching, images[index : index + 1], "dense", channels=[2, 0], sort="contribution")
        torch.testing.assert_close(together.layers[0].values[index], alone.layers[0].values[0])
        torch.testing.assert_close(together.layers[0].contributions[index], alone.layers[0].contributions[0])
        assert together.targets[index] == alone.targets[0]


def test_geometry_is_that_of_the_receptive_field(branching, pictures):
    for layer in activation_maps(branching, pictures(1, 3, 12, 16), ["stem", "wide", "same"]).layers:
        field = receptive_field(branching, layer.layer)
        assert (layer.stride, layer.start, layer.field) == (field.stride, field.start, field.size)
        assert layer.exact


def test_without_layers_there_is_one_per_resolution(small_model, pictures):
    maps = activation_maps(small_model, pictures(1, 3, 16, 16))
    assert [tuple(layer.values.shape[2:]) for layer in maps.layers] == [(16, 16), (8, 8), (4, 4)]


def test_a_glob_passes_over_what_has_no_maps(small_model, pictures):
    maps = activation_maps(small_model, pictures(1, 3, 16, 16), "*c*")
    assert [layer.layer for layer in maps.layers] == [
        "conv1",
        "block",
        "block.conv",
        "block.relu",
        "block.drop",
        "conv2",
    ]
    assert [name for name, _ in maps.failures] == ["fc"]


def test_every_call_of_a_reused_layer_is_seen_and_a_channel_can_be_named(small_model, pictures):
    maps = activation_maps(small_model, pictures(1, 3, 16, 16), ["relu", "conv2:5"])
    assert [(layer.layer, len(layer.channels)) for layer in maps.layers] == [("relu~0", 6), ("relu~1", 6), ("conv2", 1)]
    assert maps.layers[2].channels == (5,)


def test_tokens_of_a_transformer_are_a_map(wrap, pictures):
    torch.manual_seed(0)
    net = VisionTransformer(img_size=32, patch_size=8, embed_dim=8, depth=1, num_heads=2, num_classes=3).eval()
    images = pictures(1, 3, 32, 32)
    (layer,) = activation_maps(wrap(net, size=(32, 32)), images, "blocks.0", channels=[4]).layers
    tokens = record(wrap(net, size=(32, 32)), images, ["blocks.0"])["blocks.0"]
    assert (layer.kind, layer.stride, layer.start) == ("tokens", (8.0, 8.0), (3.5, 3.5))
    torch.testing.assert_close(layer.values[0, 0], tokens[0, 1:, 4].reshape(4, 4))


def test_placing_puts_each_value_at_the_center_of_its_field():
    cells = torch.arange(6.0).reshape(1, 1, 2, 3)
    spread = place(cells, (12, 20), (2.0, 3.0), (6.0, 7.0))
    for row in range(2):
        for column in range(3):
            assert spread[0, 0, 2 + 6 * row, 3 + 7 * column] == cells[0, 0, row, column]
    assert spread[0, 0, 5, 3] == pytest.approx(1.5)
    assert spread[0, 0, 0, 0] == 0
    assert spread[0, 0, 11, 19] == 5


def test_maps_survive_the_disk(branching, pictures, tmp_path):
    made = activation_maps(branching, pictures(2, 3, 12, 16), ["stem", "same"], sort="contribution")
    again = load(save(made, tmp_path / "maps"))
    assert (again.targets, again.classes, again.provenance) == (made.targets, made.classes, made.provenance)
    for one, other in zip(again.layers, made.layers, strict=True):
        assert (one.channels, one.field) == (other.channels, other.field)
        torch.testing.assert_close(one.values, other.values, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("layers", "options", "error", "text"),
    [
        ("fc", {}, MethodError, "layer 'fc' of small_net has output (5,), which has no positions to draw."),
        ("conv9", {}, AddressError, "no layer 'conv9' in small_net. Did you mean"),
        ("x*", {}, AddressError, "no layer of small_net matches 'x*'."),
        ("f*", {}, MethodError, "layer 'fc' of small_net has output (5,)"),
        ("conv1", {"channels": [6]}, AddressError, "no channel 6 in 'conv1': it has channels 0 to 5."),
        ("conv1@2,2", {}, AddressError, "a map has all positions, got 'conv1@2,2'. Give 'conv1'."),
        ("conv1", {"sort": "min"}, MethodError, "no order 'min' for channels. Choose of max, mean, contribution."),
        ("conv1", {"top": 0}, MethodError, "top=0: expected at least 1 channel."),
        ("conv2", {"sort": "contribution", "target": "conv1:0"}, MethodError, "no gradient leads from conv1:0 back"),
        ("conv1", {"sort": "contribution", "target": ["class:0"] * 2}, TargetError, "2 targets for 1 pictures."),
        ("conv1", {"frames": 3}, ImageError, "frames=3 are taken of one video or animated picture"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_that_says_what_is_valid(small_model, pictures, layers, options, error, text):
    with pytest.raises(error) as caught:
        activation_maps(small_model, pictures(1, 3, 16, 16), layers, **options)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
