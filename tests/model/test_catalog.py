import torch
from torchvision import models

from convscope.model import networks


def test_the_embedded_network_comes_first_and_needs_no_network(no_network):
    entries = networks()
    assert (entries[0].name, entries[0].library, entries[0].local) == ("efficientnet_lite0", "embedded", True)
    assert not any(entry.local for entry in entries[1:])
    assert len(entries) > 1000
    assert len({entry.name for entry in entries}) == len(entries)


def test_names_that_both_libraries_have_are_spelled_with_the_prefix(no_network):
    found = {entry.name: entry.library for entry in networks("resnet18")}
    assert found == {"resnet18": "torchvision", "timm:resnet18": "timm"}
    assert networks("efficientnet_lite0", library="timm")[0].name == "timm:efficientnet_lite0"


def test_weights_at_hand_are_seen(no_network):
    no_network.mkdir(parents=True)
    torch.save({}, no_network / models.AlexNet_Weights.DEFAULT.url.rsplit("/", 1)[-1])
    torch.save({}, no_network / "timm--test_resnet.r160_in1k--model.safetensors")
    assert [entry.name for entry in networks(library="torchvision") if entry.local] == ["alexnet"]
    assert [entry.name for entry in networks("test_*", library="timm") if entry.local] == ["test_resnet"]


def test_only_classification_networks_are_listed(no_network):
    names = {entry.name for entry in networks(library="torchvision")}
    assert "resnet50" in names
    assert not {"fcn_resnet50", "r3d_18", "raft_large", "ssd300_vgg16"} & names
