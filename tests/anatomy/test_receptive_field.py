"""What a receptive field says about itself: the nominal grid, and when its boxes are bounds alone."""

import math
from collections import OrderedDict

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_networks import Lambda
from seen_pixels import SumOfWindow, places, positive, seen_box
from torch import nn
from torch.nn import functional as F

from convscope.anatomy import Box, receptive_field, receptive_fields
from convscope.errors import AddressError, ModelError
from convscope.probe import layout


def conv(kernel=3, **options):
    return nn.Conv2d(4, 4, kernel, bias=False, **options)


class Net(nn.Module):
    """A stem of two convolutions, the body under test, and a mean."""

    def __init__(self, body) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), conv(2))
        self.body = body if isinstance(body, nn.Module) else Lambda(body, "body")

    def forward(self, x):
        return self.body(self.stem(x)).flatten(1).mean(1, keepdim=True)


class Windows(nn.Module):
    """Attention within windows of 3 × 3 positions."""

    def forward(self, x):
        n, c, h, w = x.shape
        tiles = x.view(n, c, h // 3, 3, w // 3, 3).permute(0, 2, 4, 3, 5, 1).reshape(-1, 9, c)
        tiles = F.scaled_dot_product_attention(tiles, tiles, tiles)
        return tiles.reshape(n, h // 3, w // 3, 3, 3, c).permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w)


class Attention(nn.Module):
    """Attention between all positions, as maps."""

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        return F.scaled_dot_product_attention(tokens, tokens, tokens)


class OwnFilter(nn.Module):
    """A filter that the picture itself makes."""

    def forward(self, x):
        weight = x.mean((0, 2, 3)).reshape(1, 4, 1, 1)
        return F.conv2d(x, weight) + x


def space_to_depth(x):
    n, c, h, w = x.shape
    return x.view(n, c, h // 3, 3, w // 3, 3).permute(0, 3, 5, 1, 2, 4).reshape(n, 9 * c, h // 3, w // 3)


class Branches(nn.Module):
    """One branch reaches into its padding so far that some units see nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.far, self.tall = conv(1, padding=(0, 2)), nn.Conv2d(4, 4, (5, 1), padding=(2, 2), bias=False)
        self.wide = conv((1, 5), padding=(0, 4))

    def forward(self, x):
        return self.tall(x) + self.wide(x)


# What the picture's pixels really do is asked of a gradient; the boxes must hold all of them, and all of them only
# where the field says so.
CASES = {
    "exact: convolution": (conv(3), None),
    "exact: squeeze by a view": (lambda x: x * x.view(x.shape[0], 4, -1).mean(2)[:, :, None, None].sigmoid(), "global"),
    "exact: whole rows": (lambda x: x.softmax(3), "softmax over positions"),
    "exact: group norm": (nn.GroupNorm(2, 4), "group norm over positions"),
    "exact: instance norm": (nn.InstanceNorm2d(4), "instance norm over positions"),
    "exact: instance norm by running statistics": (nn.InstanceNorm2d(4, track_running_stats=True), None),
    "exact: layer norm over all": (nn.LayerNorm([4, 12, 15]), "layer norm over positions"),
    "exact: adaptive max": (nn.AdaptiveMaxPool2d(1), "global pooling"),
    "exact: linear over columns": (nn.Linear(15, 15), None),
    "exact: matrix by constants": (lambda x: x.movedim(1, 3) @ torch.ones(4, 2).to(x), None),
    "exact: norm over rows": (lambda x: x.norm(dim=2, keepdim=True) + x, "global pooling"),
    "exact: variance": (lambda x: x.var((2, 3), keepdim=True) + x, "global pooling"),
    "exact: maximum of two": (lambda x: torch.max(x, x * 2) + torch.min(x, x * 2), None),
    "exact: clamped, gated": (lambda x: torch.where(x > 0, x, x * 0.5).clamp(-9, 9).masked_fill(x > 99, 0), None),
    "bound: flatten": (nn.Flatten(), None),
    "bound: windows": (Windows(), "positions split by a reshape: not followed"),
    "bound: space to depth": (space_to_depth, "positions split by a reshape: not followed"),
    "bound: a filter of its own": (OwnFilter(), "conv2d: not followed, taken to see everything"),
    "bound: product with itself": (lambda x: x @ x.transpose(2, 3), "matmul: not followed, taken to see everything"),
    "bound: cumulated": (lambda x: x.cumsum(2), "cumsum: not followed, taken to see everything"),
    "bound: columns unfolded": (lambda x: F.fold(F.unfold(x, 3), (12, 15), 3), "im2col: not followed"),
    "bound: branches that see only padding": (Branches(), "some units of a branch see only padding"),
    "bound: own transpose": (lambda x: x[..., :12] + x[..., :12].transpose(2, 3), "joined with its own transpose"),
    "bound: maps in a row": (lambda x: torch.cat([x, F.avg_pool2d(x, (1, 5), 1, (0, 2))], 2), "joined along an image"),
    "bound: constants in a row": (lambda x: torch.cat([x, torch.zeros_like(x)], 2), "cat: not followed"),
    "bound: product of one": (lambda x: x[..., :12] @ x[..., :12], "matmul: not followed"),
    "exact: attention": (Attention(), "attention"),
}
CHANNELS_LAST = {"exact: attention", "exact: matrix by constants"}
TIGHT = {"bound: flatten", "bound: a filter of its own", "bound: product of one"}  # which happen to see everything
SIZE = (15, 18)  # 12 × 15 behind the stem


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:.*non-full backward hook")
def test_a_field_is_exact_or_says_why_not(wrap, case):
    body, note = CASES[case]
    net = positive(Net(body))
    field = receptive_field(wrap(net, size=SIZE), "body")
    assert field.exact == case.startswith("exact")
    assert any(text.startswith(note) or note in text for text in field.notes) if note else not field.notes
    inputs = torch.rand(1, 3, *SIZE, dtype=torch.float64, requires_grad=True)
    with SumOfWindow():
        value = net.body(net.stem(inputs))
    value = value.movedim(-1, 1) if case in CHANNELS_LAST else value
    value = value.reshape(*value.shape, *[1] * (4 - value.ndim))
    looser = False
    for row, column in places(*value.shape[2:]):
        unit = (min(row, field.map_size[0] - 1), min(column, field.map_size[1] - 1))
        box, seen = field.box(*unit), seen_box(value, inputs, row, column)
        bounds = (box.top, box.left, box.bottom, box.right)
        assert bounds[0] <= seen[0], (row, column)
        assert bounds[1] <= seen[1], (row, column)
        assert bounds[2] >= seen[2], (row, column)
        assert bounds[3] >= seen[3], (row, column)
        looser |= bounds != seen
        assert bounds == seen or not field.exact, (row, column)
    assert looser == (case.startswith("bound") and case not in TIGHT)  # the doubts are not idle


@st.composite
def plain_stacks(draw):
    """Layers without borders of their own: on a large picture every unit but the outermost sees the nominal field."""
    layers = [nn.Conv2d(3, 4, 3, bias=False)]
    for _ in range(draw(st.integers(1, 4))):
        kernel, stride = (tuple(draw(st.integers(1, top)) for _ in range(2)) for top in (4, 2))
        padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
        dilation = tuple(draw(st.integers(1, 2)) for _ in range(2))
        layers.append(
            draw(
                st.sampled_from(
                    [
                        conv(kernel, stride=stride, padding=padding, dilation=dilation),
                        nn.MaxPool2d(kernel, stride, padding, ceil_mode=draw(st.booleans())),
                        nn.ZeroPad2d(tuple(draw(st.integers(0, 3)) for _ in range(4))),
                    ]
                )
            )
        )
    branches = [conv(1), conv((3, 5), padding=(1, 2)), conv(4, padding=1), nn.AvgPool2d(3, 1, 1)]
    return [*layers, Sum(*draw(st.lists(st.sampled_from(branches), min_size=1, max_size=3)))]


class Sum(nn.Module):
    """Branches, cut to the size of the smallest."""

    def __init__(self, *branches) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        found = [branch(x) for branch in self.branches]
        rows, columns = (min(value.shape[axis] for value in found) for axis in (2, 3))
        return sum(value[:, :, :rows, :columns] for value in found)


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(plain_stacks())
def test_size_stride_and_start_are_those_of_units_far_from_the_borders(wrap, layers):
    """And those of ``test_receptive_fields_of_random_networks`` prove the boxes."""
    model = wrap(nn.Sequential(*layers).eval(), size=(150, 170))
    for index in range(len(layers)):
        field = receptive_field(model, str(index))
        row, column = (count // 2 for count in field.map_size)
        box, center = field.box(row, column), field.center(float(row), float(column))
        assert (box.bottom - box.top, box.right - box.left) == field.size
        assert center == ((box.top + box.bottom - 1) / 2, (box.left + box.right - 1) / 2)
        after = field.box(row + 1, column + 1)
        assert (after.top - box.top, after.left - box.left) == field.stride


def test_upsampling_halves_the_stride_and_keeps_centers(wrap):
    net = nn.Sequential(
        OrderedDict(
            down=nn.Conv2d(3, 4, 3, stride=4, padding=1),
            nearest=nn.Upsample(scale_factor=2),
            linear=nn.Upsample(scale_factor=2, mode="bilinear"),
            up=nn.ConvTranspose2d(4, 4, 4, stride=2, padding=1),
        )
    )
    model = wrap(net, size=(64, 64))
    fields = {name: receptive_field(model, name) for name in ("down", "nearest", "linear", "up")}
    assert [field.stride for field in fields.values()] == [(4, 4), (2, 2), (1, 1), (0.5, 0.5)]
    assert [field.start for field in fields.values()] == [(0, 0), (-1, -1), (-1.5, -1.5), (-1.75, -1.75)]
    assert [field.size for field in fields.values()] == [(3, 3), (3, 3), (5, 5), (6, 6)]


def test_boxes_are_cut_at_the_border_and_empty_in_the_padding(wrap):
    field = receptive_field(wrap(nn.Sequential(nn.Conv2d(3, 2, 3, padding=3)), size=(5, 7)), "0")
    assert field.map_size == (9, 11)
    assert field.image_size == (5, 7)
    assert field.box(0, 5) == field.box(4, 0) == field.box(0, 0) == Box(0, 0, 0, 0)
    assert field.box(1, 1) == Box(0, 0, 1, 1)
    assert field.box(4, 5) == Box(1, 2, 4, 5)
    assert field.box(7, 9) == Box(4, 6, 5, 7)
    assert field.center(0.0, 0.0) == (-2, -2)
    assert not field.whole


@pytest.mark.parametrize("unit", [(9, 0), (0, 11), (-1, 0)])
def test_a_unit_that_is_not_there(wrap, unit):
    field = receptive_field(wrap(nn.Sequential(nn.Conv2d(3, 2, 3, padding=3)), size=(5, 7)), "0")
    text = rf"^0 has 9×11 positions for a 5×7 picture, got {unit[0]},{unit[1]}\.$"
    with pytest.raises(AddressError, match=text):
        field.box(*unit)


def test_every_layer_call_has_a_field_and_pictures_of_any_size(small_model):
    fields = receptive_fields(small_model)
    assert set(fields) == {(call.layer, call.call) for call in layout(small_model).calls}
    assert fields["relu", 0].layer == "relu~0"
    assert fields["relu", 1].size == (9, 9)  # 3, pooled to 5, and 2 · (3 − 1) more by way of the block
    assert fields["conv2", 0].size == (13, 13)
    assert receptive_field(small_model, "relu~0:3@1,1").size == (3, 3)
    assert receptive_field(small_model, "relu").size == fields["relu", 1].size
    assert math.isinf(fields["fc", 0].size[0])
    wide = receptive_field(small_model, "conv2", size=(20, 41))
    assert (wide.map_size, wide.image_size) == ((5, 11), (20, 41))
    assert wide.size == fields["conv2", 0].size


def test_layers_and_networks_without_a_field(wrap):
    net = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 2, 3), same=nn.Identity()))
    with pytest.raises(ModelError, match=r"^layer 'same' of net computes nothing of its own \(an identity\?\)\. "):
        receptive_field(wrap(net), "same")
    with pytest.raises(AddressError, match=r"^no layer 'cnov' in net\. Did you mean 'conv'\?$"):
        receptive_field(wrap(net), "cnov")

    class Undecided(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)

        def forward(self, x):
            return self.conv(x) if float(x.detach().sum()) > 0 else self.conv(-x)

    with pytest.raises(ModelError, match=r"^net cannot be traced by torch\.export: "):
        receptive_fields(wrap(Undecided()))
