"""The address language, on a real network's layers and ImageNet's class names."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from convscope.errors import AddressError
from convscope.model import Address, expand, find_class, load, parse


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("layer3.1.conv2", Address("layer3.1.conv2")),
        ("layer3.1.conv2:42", Address("layer3.1.conv2", channel=42)),
        ("layer3.1.conv2:42@5,7", Address("layer3.1.conv2", channel=42, position=(5, 7))),
        ("layer3.1.conv2@5,7", Address("layer3.1.conv2", position=(5, 7))),
        ("layer1.0.relu~1", Address("layer1.0.relu", call=1)),
        ("layer1.0.relu~0:3@1,2", Address("layer1.0.relu", call=0, channel=3, position=(1, 2))),
        ("class:281", Address("output", channel=281)),
        ("class:tabby cat", Address("output", channel=281)),
        ("class:Tabby_Cat", Address("output", channel=281)),
        ("class:tabby, tabby cat", Address("output", channel=281)),
        ("class:top", Address("output", rank=1)),
        ("class:top1", Address("output", rank=1)),
        ("class:top2", Address("output", rank=2)),
        ("class:281@0,3", Address("output", channel=281, position=(0, 3))),
        ("output", Address("output")),
        ("output:7", Address("output", channel=7)),
        ("  fc  ", Address("fc")),
    ],
)
def test_parse(resnet18, text, address):
    assert parse(text, resnet18) == address
    assert parse(str(address), resnet18) == address


@cache
def squeezenet():
    return load("squeezenet1_1", weights=None)


@given(data=st.data())
def test_what_is_written_is_read_back(data):
    model = squeezenet()
    number = st.integers(0, 999)
    position = data.draw(st.none() | st.tuples(number, number))
    if data.draw(st.booleans()):
        layer = data.draw(st.sampled_from(list(model.layers)))
        call, channel = data.draw(st.none() | number), data.draw(st.none() | number)
        address = Address(layer, call=call, channel=channel, position=position)
    elif data.draw(st.booleans()):
        address = Address("output", channel=data.draw(number), position=position)
    else:
        address = Address("output", rank=data.draw(st.integers(1, 20)), position=position)
    assert parse(str(address), model) == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layer3.1.cnov2", "no layer 'layer3.1.cnov2' in resnet18. Did you mean 'layer3.1.conv2'"),
        ("LAYER3.1.CONV2", "Did you mean 'layer3.1.conv2'"),
        ("zzz", "no layer 'zzz' in resnet18. `convscope layers` lists them"),
        ("class:taby cat", "no class 'taby cat' in resnet18. Did you mean 'tabby cat'"),
        ("class:1000", "no class 1000 in resnet18: it has classes 0 to 999"),
        (
            "class:crane",
            r"'crane' names several classes of resnet18: class:134 \(crane bird\), class:517 \(crane\). Give the index",
        ),
        ("class:top0", "no class 'top0'"),
        ("class:", "not an address: 'class:'"),
        ("", "not an address: ''. Expected LAYER, LAYER:CHANNEL"),
        ("fc:x", "not an address: 'fc:x'"),
        ("fc:-1", "not an address: 'fc:-1'"),
        ("fc@3", "not an address: 'fc@3'"),
        ("fc:1:2", "not an address: 'fc:1:2'"),
    ],
)
def test_what_is_no_address(resnet18, text, message):
    with pytest.raises(AddressError, match=message) as caught:
        parse(text, resnet18)
    assert "\n" not in str(caught.value)


def test_a_part_of_a_name_lists_the_classes_that_contain_it(resnet18):
    with pytest.raises(AddressError, match=r"Classes that contain it: .*3 tiger shark"):
        find_class("shark", resnet18)


def test_globs(resnet18):
    assert [str(a) for a in expand("layer?.0", resnet18)] == ["layer1.0", "layer2.0", "layer3.0", "layer4.0"]
    assert "layer2.0.downsample.0" in [str(a) for a in expand("layer*.0", resnet18)]
    assert [str(a) for a in expand("layer[12].1.conv1:3@4,5", resnet18)] == [
        "layer1.1.conv1:3@4,5",
        "layer2.1.conv1:3@4,5",
    ]
    assert [str(a) for a in expand("layer?.0.relu~1", resnet18)] == [f"layer{i}.0.relu~1" for i in (1, 2, 3, 4)]
    assert expand("fc:3", resnet18) == (Address("fc", channel=3),)
    assert expand("class:top", resnet18) == (Address("output", rank=1),)
    with pytest.raises(AddressError, match="no layer of resnet18 matches 'block\\*'"):
        expand("block*", resnet18)


def test_taps_and_slugs(resnet18):
    address = parse("layer1.0.relu~1:3@4,5", resnet18)
    assert address.tap == Address("layer1.0.relu", call=1)
    assert address.slug == "layer1.0.relu_1_3_4_5"
    assert parse("class:tabby", resnet18).slug == "class_281"


def test_networks_without_names_take_indices_only():
    model = load(nn.Sequential(nn.Conv2d(3, 2, 1)), size=8)
    assert find_class("7", model) == 7
    with pytest.raises(AddressError, match="Sequential has no class names, so 'class:cat' means nothing"):
        parse("class:cat", model)
