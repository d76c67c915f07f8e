"""The field of a unit and of the column of layers under it."""

import math
from itertools import pairwise

import pytest
import torch
import torchvision
from torch import nn

from convscope.anatomy import field, receptive_field
from convscope.anatomy.column import MOST
from convscope.errors import AddressError, ImageError, ModelError
from convscope.store import load, save


@pytest.fixture(scope="module")
def googlenet(wrap):
    torch.manual_seed(0)
    net = torchvision.models.googlenet(weights=None, init_weights=False, aux_logits=False, num_classes=7).eval()
    return wrap(net, size=(96, 128), name="googlenet")


def contains(outer, inner):
    return outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]


@pytest.mark.parametrize(
    "address", ["inception4c", "inception4c@0,0", "inception4c@5,7", "inception5b.branch4.1.conv:3", "class:3"]
)
def test_boxes_of_a_column_grow_and_stay_inside_one_another(googlenet, address):
    found = field(googlenet, address, column=True)
    boxes = found.boxes
    assert 4 <= len(boxes) <= MOST
    assert [box.size for box in boxes] == sorted(box.size for box in boxes)
    assert len({box.size for box in boxes}) == len(boxes)
    for inner, outer in pairwise(boxes):
        assert contains(outer.box, inner.box), (inner.layer, outer.layer)
    own = field(googlenet, address).boxes
    assert own == boxes[-1:]


def test_each_box_is_the_receptive_field_of_its_layer(googlenet):
    for box in field(googlenet, "inception4a@3,2", column=True).boxes:
        seen = receptive_field(googlenet, box.layer).box(*box.position)
        assert box.box == (seen.top, seen.left, seen.bottom, seen.right)


def test_a_column_holds_only_what_the_layer_computes_on(googlenet):
    layers = [box.layer for box in field(googlenet, "inception3b.branch2", column=True).boxes]
    assert "inception3b.branch3" not in layers
    assert not any(name.startswith(("inception4", "inception3b.branch4")) for name in layers)
    assert layers[-1] == "inception3b.branch2"


def test_many_layers_are_thinned_evenly(wrap):
    net = nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1) for _ in range(40)))
    boxes = field(wrap(net, size=(32, 32), channels=1), "39", column=True).boxes
    assert len(boxes) == MOST
    assert (boxes[0].layer, boxes[-1].layer) == ("0", "39")
    steps = [b.size[0] - a.size[0] for a, b in pairwise(boxes)]
    assert max(steps) <= 2 * 7


def test_the_first_layer_is_its_own_column(small_model):
    assert [box.layer for box in field(small_model, "conv1", column=True).boxes] == ["conv1"]


@pytest.mark.parametrize("size", [(16, 16), (9, 16), (8, 7)])
def test_the_middle_of_the_picture_by_default(wrap, size):
    (box,) = field(wrap(nn.Sequential(nn.Conv2d(1, 1, 3, padding=1)), size=size, channels=1), "0").boxes
    for axis in range(2):
        assert abs(box.center[axis] - (size[axis] - 1) / 2) <= 0.5


def test_what_sees_everything_says_so(small_model):
    (box,) = field(small_model, "class:1").boxes
    assert box.box == (0, 0, 16, 16)
    assert all(math.isinf(side) for side in box.size)
    assert box.center == (7.5, 7.5)
    assert box.notes


def test_reused_layers_name_their_call(small_model):
    assert field(small_model, "relu~0:2@1,1").address == "relu~0:2@1,1"
    assert field(small_model, "relu").boxes[0].layer == "relu~1"
    assert field(small_model, "relu~0").boxes[0].size != field(small_model, "relu~1").boxes[0].size


def test_the_effective_field_comes_with_it(small_model, pictures):
    image = pictures(1, 3, 16, 16)
    found = field(small_model, "conv2:1@1,1", image=image, effective=True, samples=8)
    assert found.effective.address == found.address == "conv2:1@1,1"
    assert found.effective.box == found.boxes[-1]
    assert torch.equal(found.effective.image, image)
    assert found.effective.samples == 8


@pytest.mark.parametrize(
    ("address", "options", "error", "words"),
    [
        ("conv2:0@0,4", {}, AddressError, "conv2 has 4×4 positions for a 16×16 picture, got 0,4."),
        ("conv2:99", {}, AddressError, "conv2 of small_net has channels 0 to 7, got 99."),
        ("fc:5", {}, AddressError, "fc of small_net has channels 0 to 4, got 5."),
        (
            "conv2",
            {"image": "two"},
            ImageError,
            "a field is drawn on one picture, got 2. Give one file, or sample:cat.",
        ),
    ],
)
def test_bad_input_is_one_line(small_model, pictures, address, options, error, words):
    options = {key: pictures(2, 3, 16, 16) if value == "two" else value for key, value in options.items()}
    with pytest.raises(error) as caught:
        field(small_model, address, **options)
    assert str(caught.value) == words


def test_a_picture_too_small_for_the_network_is_refused(wrap):
    net = nn.Sequential(nn.Conv2d(1, 1, 5), nn.MaxPool2d(3), nn.Conv2d(1, 1, 3))
    with pytest.raises(ModelError, match=r"does not run on a 1×8×8 picture: .*Kernel size") as caught:
        field(wrap(net, size=(8, 8), channels=1), "2")
    assert "\n" not in str(caught.value)


def test_a_map_without_positions_is_refused(wrap):
    class Cut(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.cut = nn.Conv2d(1, 2, 3), nn.Identity()

        def forward(self, x):
            x = self.conv(x)
            return x[:, :, 4:] * 1

    with pytest.raises(AddressError, match=r"output has a map of 0×4 positions for a 6×6 picture: nothing is left"):
        field(wrap(Cut(), size=(6, 6), channels=1), "output")


def test_it_is_stored(small_model, tmp_path, pictures):
    found = field(small_model, "conv2:1", column=True, effective=True, samples=4, image=pictures(1, 3, 16, 16))
    back = load(save(found, tmp_path / "field"))
    assert back.boxes == found.boxes
    assert torch.equal(back.effective.energy, found.effective.energy)
    assert torch.equal(back.image, found.image)
