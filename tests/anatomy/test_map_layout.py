"""How layers are read as maps: where their positions are in the tensor, and where they lie on the picture."""

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from convscope.anatomy import map_layout, receptive_field, suggest_cam_layer
from convscope.errors import MethodError, ModelError
from convscope.model import Address
from convscope.probe import graph, layout, record


def read(model, layer, images):
    """A layer's layout and its activation as a map."""
    tap = layout(model).tap(Address(layer), model)
    activation = record(model, images, [layer])[layout(model).name(tap)]
    where = map_layout(model, tap, tuple(activation.shape), tuple(images.shape[2:]))
    return where, where.to_map(activation)


class Planted(nn.Module):
    """Channel 0 of every spelling shows the picture's brightness, so a bright spot says which unit lies where."""

    def __init__(self, spelling, stride=4, padding=0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 5, stride=stride, padding=padding, bias=False)
        nn.init.constant_(self.conv.weight, 1.0)
        self.spelled, self.spelling = nn.Identity(), spelling
        self.last = nn.ReLU()

    def forward(self, x):
        return self.last(self.spelling(self.conv(x)))


SPELLINGS = {
    "map": ("map", lambda x: x),
    "channels last": ("channels last", lambda x: x.permute(0, 2, 3, 1).contiguous()),
    "tokens": ("tokens", lambda x: x.flatten(2).transpose(1, 2)),
    "tokens behind a class token": ("tokens", lambda x: F.pad(x.flatten(2).transpose(1, 2), (0, 0, 1, 0))),
    "tokens behind five": ("tokens", lambda x: F.pad(x.flatten(2).transpose(1, 2), (0, 0, 5, 0))),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("size", [(33, 33), (25, 41)])
def test_every_spelling_is_the_same_map(wrap, pictures, spelling, size):
    kind, function = SPELLINGS[spelling]
    model, plain = (wrap(Planted(f), size=size) for f in (function, lambda x: x))
    images = pictures(2, 3, *size)
    where, found = read(model, "last", images)
    assert where.kind == kind
    assert where.grid == ((size[0] - 1) // 4, (size[1] - 1) // 4)
    assert where.prefix == (1 if spelling.endswith("class token") else 5 if spelling.endswith("five") else 0)
    assert where.aligned
    torch.testing.assert_close(found, read(plain, "last", images)[1])


@pytest.mark.parametrize("spelling", ["map", "channels last"])
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_a_bright_spot_lights_the_unit_that_the_layout_places_there(wrap, spelling, padding):
    model = wrap(Planted(SPELLINGS[spelling][1], padding=padding), size=(29, 37))
    for row, column in [(2, 3), (4, 1), (5, 6)]:
        images = torch.zeros(1, 3, 29, 37)
        where, _ = read(model, "last", images)
        assert where.start == (2 - padding, 2 - padding)
        assert where.stride == (4, 4)
        at = [int(where.start[i] + (row, column)[i] * where.stride[i]) for i in range(2)]
        images[:, :, at[0], at[1]] = 1
        lit = read(model, "last", images)[1][0, 0]
        assert divmod(int(lit.argmax()), where.grid[1]) == (row, column)


def test_another_picture_size_has_its_own_layout(wrap, pictures):
    model = wrap(Planted(lambda x: x), size=(33, 33))
    for size, grid in [((33, 33), (8, 8)), ((21, 45), (5, 11)), ((33, 33), (8, 8))]:
        assert read(model, "last", pictures(1, 3, *size))[0].grid == grid


def test_one_position_stands_for_the_whole_picture(wrap, pictures):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1))
    where, found = read(wrap(net, size=(12, 20)), "1", pictures(1, 3, 12, 20))
    assert (where.kind, where.grid, where.stride) == ("map", (1, 1), (12, 20))
    assert where.start == (5.5, 9.5)
    assert found.shape == (1, 4, 1, 1)


class Untraceable(nn.Module):
    """Its way depends on the pixels, which no graph can say."""

    def __init__(self, spelling) -> None:
        super().__init__()
        self.conv, self.last, self.spelling = nn.Conv2d(3, 64, 3, stride=2, padding=1), nn.ReLU(), spelling

    def forward(self, x):
        x = self.conv(x * 2 if float(x.detach().sum()) > 0 else x)
        return self.last(self.spelling(x))


@pytest.mark.parametrize("spelling", ["map", "channels last", "tokens behind a class token"])
def test_what_cannot_be_traced_is_spread_evenly_and_says_so(wrap, pictures, spelling):
    kind, function = SPELLINGS[spelling]
    model, images = wrap(Untraceable(function), size=(16, 24)), pictures(1, 3, 16, 24)
    with pytest.raises(ModelError, match=r"^net cannot be traced by torch\.export: .*\.$") as caught:
        graph(model)
    assert "\n" not in str(caught.value)
    where, found = read(model, "last", images)
    assert where.kind == kind
    assert where.grid == (8, 12)
    assert (where.start, where.stride) == ((0.5, 0.5), (2, 2))
    assert where.aligned == (kind == "tokens")
    expected = record(model, images, ["conv"])["conv"].relu()
    torch.testing.assert_close(found, expected)


def test_a_layer_that_computes_nothing_is_spread_evenly(wrap, pictures):
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.Identity())
    where, found = read(wrap(net, size=(15, 15)), "1", pictures(1, 3, 15, 15))
    assert (where.kind, where.grid, where.aligned) == ("map", (7, 7), False)
    assert found.shape == (1, 4, 7, 7)


def test_the_layout_of_the_embedded_network_follows_its_fields(wrap):
    """Its padding, as TensorFlow's, moves the last map by half a stride: an even spread would be 15.5 pixels off."""
    model = wrap(timm.create_model("tf_efficientnet_lite0").eval(), size=(64, 64))
    field = receptive_field(model, "bn2")
    tap = Address("bn2", 0)
    where = map_layout(model, tap, (1, 1280, 2, 2), (64, 64))
    assert (where.start, where.stride, where.aligned) == ((31, 31), (32, 32), True)
    assert (where.start, where.stride) == (field.start, field.stride)


NO_POSITIONS = {
    "fc": r"^layer 'fc' of net has output \(5,\), which has no positions to draw\. Choose a layer with maps; ",
    "odd": r"^layer 'odd' of net has 40 tokens, which fit no patch grid of the network\. Choose another layer\.$",
}


@pytest.mark.parametrize("layer", NO_POSITIONS)
def test_outputs_without_positions(wrap, pictures, layer):
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.odd, self.fc = nn.Conv2d(3, 40, 3, stride=3), nn.ReLU(), nn.Linear(40 * 9, 5)

        def forward(self, x):
            return self.fc(self.odd(self.conv(x).flatten(2)).flatten(1))

    model, images = wrap(Net(), size=(9, 9)), pictures(1, 3, 9, 9)
    with pytest.raises(MethodError, match=NO_POSITIONS[layer]):
        read(model, layer, images)


TIMM = {
    "vit_tiny_patch16_224": ((14, 14), 1, 16),
    "deit_tiny_distilled_patch16_224": ((14, 14), 2, 16),
    "vit_small_patch16_dinov3": ((14, 14), 5, 16),
    "swin_tiny_patch4_window7_224": ((7, 7), 0, 32),
}


@pytest.mark.parametrize("name", TIMM)
def test_token_grids_of_transformers(wrap, name):
    grid, prefix, stride = TIMM[name]
    model = wrap(timm.create_model(name, num_classes=3).eval(), size=(224, 224))
    tap = Address(suggest_cam_layer(model), 0)
    where = map_layout(model, tap, layout(model).shapes[tap.layer, 0], (224, 224))
    assert (where.kind, where.grid, where.prefix) == ("tokens", grid, prefix)
    assert where.stride == (stride, stride)
    assert where.start == ((stride - 1) / 2, (stride - 1) / 2)


def test_channels_last_without_a_graph(wrap):
    """torchvision's Swin writes a mask into parts of a tensor, so its graph is not followed."""
    model = wrap(torchvision.models.swin_t(weights=None, num_classes=3).eval(), size=(64, 96))
    where = map_layout(model, Address("features.1", 0), layout(model).shapes["features.1", 0], (64, 96))
    assert (where.kind, where.grid, where.aligned) == ("channels last", (16, 24), False)
    where = map_layout(model, Address("permute", 0), layout(model).shapes["permute", 0], (64, 96))
    assert (where.kind, where.grid) == ("map", (2, 3))
