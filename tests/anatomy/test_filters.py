"""Filters: every number once more by brute force, on networks whose filters are known."""

import cmath
import math

import pytest
import torch
from timm.layers import StdConv2d
from torch import nn
from torch.nn import functional as F

from convscope.anatomy import filters
from convscope.anatomy.filter_order import hues, orientations, similarities, spectrum
from convscope.errors import AddressError, MethodError
from convscope.probe import batch_target, input_gradient, untouched
from convscope.store import load, save


class Recolored(nn.Module):
    """Mixes the colors before its first layer, as some networks do."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        red, green, blue = x[:, 0:1] * 2 - 0.3, x[:, 1:2] - x[:, 2:3], x[:, 2:3] / 4
        return self.conv(torch.cat([red, green, blue], 1)).mean((2, 3))


class Separable(nn.Module):
    """A depthwise convolution whose mixer comes after normalization, activation and a squeeze-and-excite branch."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 1)
        self.a = nn.Conv2d(6, 12, 3, padding=1, groups=6)
        self.norm = nn.BatchNorm2d(12)
        self.squeeze = nn.Conv2d(12, 3, 1)
        self.excite = nn.Conv2d(3, 12, 1)
        self.zz = nn.Conv2d(12, 5, 1)

    def forward(self, x):
        y = F.silu(self.norm(self.a(self.first(x))))
        gate = self.excite(F.relu(self.squeeze(y.mean((2, 3), keepdim=True)))).sigmoid()
        return self.zz(y * gate).mean((2, 3))


class NextBlock(nn.Module):
    """Mixes channels by a linear layer on channels-last maps, as ConvNeXt does."""

    def __init__(self):
        super().__init__()
        self.conv_dw = nn.Conv2d(3, 3, 7, padding=3, groups=3)
        self.norm = nn.LayerNorm(3)
        self.mix = nn.Linear(3, 8)

    def forward(self, x):
        return self.mix(self.norm(self.conv_dw(x).permute(0, 2, 3, 1))).mean((1, 2))


def slope(model, element, size=(16, 16)):
    """∂ element / ∂ pixel by autograd, through the model's own normalization."""
    images = torch.full((1, model.channels, *size), 0.5)
    with untouched(model):
        return input_gradient(model, images, batch_target(model, images, element))[0][0]


def test_color_filters_are_the_derivative_of_the_layer_by_the_pixels(small_model):
    found = filters(small_model, "conv1")
    assert (found.view, found.unit) == ("color", "weight per unit of a [0, 1] pixel")
    for index in range(6):
        around = slope(small_model, f"conv1:{index}@5,8")[:, 4:7, 7:10]
        torch.testing.assert_close(found.values[index], around)


def test_a_change_of_color_inside_the_network_is_undone(wrap):
    model = wrap(Recolored(), mean=0.4, std=0.25)
    around = slope(model, "conv:2@7,7")[:, 6:9, 6:9]
    torch.testing.assert_close(filters(model, "conv").values[2], around)


def test_a_linear_classifier_has_templates(linear_model):
    found = filters(linear_model, "fc", view="single")
    assert found.values.shape == (3, 2, 4, 5)
    torch.testing.assert_close(found.values[1], slope(linear_model, "class:1", (4, 5)))


def test_a_linear_layer_behind_a_flattened_map_has_kernels_of_its_size(wrap):
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.Dropout(), nn.Flatten(), nn.Linear(64, 5))
    assert filters(wrap(net), "3").values.shape == (5, 4, 4, 4)


@pytest.mark.parametrize("groups", [1, 3])
def test_a_transposed_kernel_is_what_one_input_unit_paints(wrap, groups):
    layer = nn.ConvTranspose2d(6, 9, 3, groups=groups, bias=False)
    found = filters(wrap(nn.Sequential(nn.Conv2d(3, 6, 1), layer)), "1")
    assert (found.kind, found.groups) == ("transposed conv", groups)
    for index in range(9):
        for channel in range(6 // groups):
            unit = torch.zeros(1, 6, 1, 1)
            unit[0, found.input_channel(index, channel)] = 1
            torch.testing.assert_close(found.values[index, channel], layer(unit)[0, index].detach())


def test_grouped_filters_name_the_input_channels_they_read(wrap):
    layer = nn.Conv2d(6, 4, 3, groups=2, bias=False)
    found = filters(wrap(nn.Sequential(nn.Conv2d(3, 6, 1), layer)), "1")
    for index in range(4):
        picture = torch.zeros(1, 6, 3, 3, requires_grad=True)
        (gradient,) = torch.autograd.grad(layer(picture)[0, index, 0, 0], picture)
        used = gradient[0].abs().sum((1, 2)).nonzero()[:, 0].tolist()
        assert used == [found.input_channel(index, channel) for channel in range(3)]


def test_weights_are_read_as_the_layer_computes_them(wrap):
    torch.manual_seed(0)
    layer = StdConv2d(3, 4, 3)
    model = wrap(nn.Sequential(layer))
    found = filters(model, "0")
    picture = torch.zeros(1, 3, 3, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(picture)[0, 1, 1, 1], picture)
    torch.testing.assert_close(found.values[1], gradient[0], atol=1e-6, rtol=1e-4)
    assert not torch.allclose(found.values[1], layer.weight[1])


def test_parametrized_weights_are_read_as_used(wrap):
    layer = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    found = filters(wrap(nn.Sequential(layer)), "0")
    torch.testing.assert_close(found.values, layer.weight.detach())


def test_single_tiles_are_the_weights_asked_for(small_model, small_net):
    found = filters(small_model, "conv2", view="single", only=[5, 2], channels=[3, 0])
    assert (found.shown, found.channels) == ((5, 2), (3, 0))
    torch.testing.assert_close(found.values, small_net.conv2.weight.detach()[[5, 2]][:, [3, 0]])


@pytest.mark.parametrize(("net", "mixer", "outputs"), [(Separable, "zz", 5), (NextBlock, "mix", 8)])
def test_the_layer_that_mixes_depthwise_filters_is_found_by_what_it_computes(wrap, net, mixer, outputs):
    module = net().eval()
    layer = "a" if net is Separable else "conv_dw"
    found = filters(wrap(module), layer, view="pairs", sort="norm")
    weight = module.get_submodule(mixer).weight.detach().flatten(1)
    assert (found.mixer, found.mixing.shape[0]) == (mixer, outputs)
    torch.testing.assert_close(found.mixing, weight[:, list(found.shown)])


def test_a_spectrum_is_the_sum_it_says(pictures):
    weights = pictures(2, 2, 3, 4) - 0.5
    found = spectrum(weights, 9)
    for index in range(2):
        for row, column in ((4, 4), (0, 8), (6, 3)):
            v, u = (row - 4) / 9, (column - 4) / 9
            power = 0.0
            for channel in range(2):
                total = sum(
                    complex(weights[index, channel, y, x]) * cmath.exp(-2j * math.pi * (u * x + v * y))
                    for y in range(3)
                    for x in range(4)
                )
                power += abs(total) ** 2
            assert found[index, 0, row, column] == pytest.approx(math.sqrt(power), rel=1e-5)


@pytest.mark.parametrize("degrees", [0, 30, 45, 90, 120, 165])
def test_stripes_have_their_orientation(degrees):
    angle = math.radians(degrees)
    y, x = torch.meshgrid(torch.arange(11.0) - 5, torch.arange(11.0) - 5, indexing="ij")
    across = -x * math.sin(angle) - y * math.cos(angle)  # rows count downwards
    gabor = torch.cos(2 * math.pi * across / 4) * torch.exp(-(x**2 + y**2) / 12)
    found = float(orientations((gabor + 3)[None, None])[0])
    assert abs((found - degrees + 90) % 180 - 90) < 2


def test_a_blob_has_no_orientation_and_a_gray_filter_no_hue():
    y, x = torch.meshgrid(torch.arange(9.0) - 4, torch.arange(9.0) - 4, indexing="ij")
    blob = torch.exp(-(x**2 + y**2) / 6)[None, None]
    assert math.isnan(orientations(blob)[0])
    assert math.isnan(hues(blob.expand(1, 3, 9, 9))[0])


@pytest.mark.parametrize(("color", "hue"), [((1, 0, 0), 0), ((1, 1, 0), 60), ((0, 1, 0), 120), ((0, 0, 1), 240)])
def test_hues_are_those_of_the_color_circle(color, hue):
    weights = torch.tensor(color, dtype=torch.float32).view(1, 3, 1, 1).expand(1, 3, 3, 3)
    assert float(hues(weights)[0]) % 360 == pytest.approx(hue, abs=1e-3)


def test_similar_filters_are_neighbors(pictures):
    weights = pictures(7, 2, 3, 3) - 0.5
    chain, keys = similarities(weights)
    flat = weights.flatten(1)
    wanted = [max(range(7), key=lambda i: float(flat[i].norm()))]
    while len(wanted) < 7:
        rest = [i for i in range(7) if i not in wanted]
        wanted.append(max(rest, key=lambda i: float(F.cosine_similarity(flat[wanted[-1]], flat[i], dim=0))))
    assert chain == wanted
    assert float(keys[chain[3]]) == pytest.approx(
        float(F.cosine_similarity(flat[chain[2]], flat[chain[3]], dim=0)), abs=1e-5
    )


def test_sorting_by_norm_puts_the_largest_first(small_model, small_net):
    found = filters(small_model, "conv2", sort="norm")
    norms = small_net.conv2.weight.detach().flatten(1).norm(dim=1)
    assert list(found.shown) == norms.argsort(descending=True).tolist()
    torch.testing.assert_close(found.keys, norms[list(found.shown)])


def test_what_does_not_fit_a_picture_is_left_out_and_said(wrap):
    found = filters(wrap(nn.Sequential(nn.Conv2d(3, 300, 3))), "0", view="single")
    assert (len(found.shown), found.notes) == (170, ("170 of 300 filters shown",))


def test_filters_survive_the_disk(small_model, tmp_path):
    made = filters(small_model, "conv1", sort="hue")
    again = load(save(made, tmp_path / "filters"))
    assert (again.shown, again.layer, again.provenance) == (made.shown, made.layer, made.provenance)
    torch.testing.assert_close(again.values, made.values, rtol=0, atol=0)
    torch.testing.assert_close(again.keys, made.keys, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    ("layer", "options", "text"),
    [
        ("relu", {}, "layer 'relu' of small_net is a ReLU, which has no filters to draw. Layers with filters: conv1, "),
        ("block", {}, "is a Sequential, which holds several layers. Inside it: block.conv."),
        ("conv1:3", {}, "expected a layer with filters, got 'conv1:3'. Did you mean 'conv1'"),
        ("conv2", {"view": "color"}, "layer 'conv2' of small_net does not read the picture (filters of 6 channels)"),
        ("conv2", {"view": "pairs"}, "layer 'conv2' of small_net is no depthwise convolution (it has 1 groups of 6"),
        ("conv2", {"sort": "hue"}, "sorting by hue needs filters with three channels"),
        ("fc", {"view": "spectrum"}, "the filters of 'fc' are 1×1: their spectrum is flat."),
        ("fc", {"sort": "orientation"}, "sorting by orientation needs filters larger than 1×1"),
        ("conv1", {"view": "rgb"}, "no view 'rgb' of filters. Choose of color, single, collated, spectrum, pairs."),
        ("conv1", {"sort": "size"}, "no order 'size' for filters. Choose of index, norm, hue, orientation, simil"),
        ("conv1", {"only": [6]}, "no filter 6 in 'conv1': it has filters 0 to 5."),
        ("conv1", {"only": []}, "no filter chosen. Give indices from 0 to 5"),
        ("conv2", {"channels": [-1]}, "no channel -1 in 'conv2': it has channels 0 to 5."),
        ("conv1", {"channels": [0]}, "channels=... chooses among the tiles of view='single' or 'collated'"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_that_says_what_is_valid(small_model, layer, options, text):
    with pytest.raises(MethodError) as caught:
        filters(small_model, layer, **options)
    assert str(caught.value).startswith(text) or text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_misspelt_layer_is_named(small_model):
    with pytest.raises(AddressError, match="Did you mean 'conv1'"):
        filters(small_model, "conv11")
