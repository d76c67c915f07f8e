"""timm's networks: tags, the Hugging Face cache, other channels, class names beyond ImageNet-1k."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from convscope.errors import ModelError
from convscope.model import load
from convscope.model.timm_models import local_files

NAME = "test_resnet"  # timm's own tiny network for tests, 0.5 million parameters, 160 px


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    return timm.create_model(NAME).eval()


def test_recipe_and_names_are_those_of_the_weights():
    model = load(NAME, weights=None)
    recipe = timm.create_model(NAME).pretrained_cfg
    assert model.spec.preprocessing.size == recipe["input_size"][1:] == (160, 160)
    assert model.spec.preprocessing.mean == recipe["mean"]
    assert model.spec.preprocessing.std == recipe["std"]
    assert model.spec.preprocessing.crop == recipe["crop_pct"]
    assert model.spec.preprocessing.interpolation == recipe["interpolation"]
    assert model.spec.classes[281] == "tabby"
    assert model.spec.origin == f"timm:{NAME}"
    assert load(model.spec.origin, **dict(model.spec.origin_options)).digest == model.digest


def test_a_prefix_forces_the_library():
    assert type(load("timm:resnet18", weights=None).module).__module__.startswith("timm.")
    assert type(load("resnet18", weights=None).module).__module__.startswith("torchvision.")


def test_weights_in_the_hugging_face_cache_are_used(no_network, tiny, tmp_path):
    repository = tmp_path / "hub" / f"models--timm--{NAME}.r160_in1k"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots" / "abc").mkdir(parents=True)
    save_file(tiny.state_dict(), repository / "snapshots" / "abc" / "model.safetensors")
    images = torch.rand(1, 3, 160, 160)
    model = load(NAME)
    assert torch.equal(model.module(images), tiny(images))
    assert model.spec.weights == f"timm {NAME}.r160_in1k"


def test_weights_beside_torch_hubs_are_used(no_network, tiny):
    file = next(iter(local_files(NAME).values()))
    assert file.parent == no_network
    no_network.mkdir(parents=True)
    save_file(tiny.state_dict(), file)
    assert torch.equal(load(NAME).module.conv1[0].weight, tiny.conv1[0].weight)
    file.write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"do not load into timm:test_resnet .*Is the file damaged"):
        load(NAME)


def test_without_network_one_line_names_weights_file_and_the_embedded_default(no_network):
    with pytest.raises(ModelError) as caught:
        load("timm:resnet18.a2_in1k")
    text = str(caught.value)
    assert "weights resnet18.a2_in1k of timm:resnet18.a2_in1k" in text
    assert f"Put the file at {no_network / 'timm--resnet18.a2_in1k--model.safetensors'}" in text
    assert "efficientnet_lite0" in text
    assert "\n" not in text


def test_number_of_classes_is_read_off_the_file(tmp_path):
    torch.manual_seed(5)
    own = timm.create_model(NAME, num_classes=7).eval()
    torch.save(own.state_dict(), tmp_path / "own.pth")
    model = load(NAME, weights=tmp_path / "own.pth")
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(model.module(images), own(images))
    assert "7 outputs, read off the last layer in own.pth" in model.notes
    assert f"preprocessing assumed as for timm {NAME}.r160_in1k: own.pth carries none" in model.notes
    assert model.spec.classes == ()


def test_other_channels_adapt_the_recipe_aloud():
    model = load(NAME, weights=None, channels=1)
    assert model.channels == 1
    assert model.module(torch.rand(1, 1, 64, 64)).shape == (1, 1000)
    assert sum("the average over the weights' own 3 channels" in note for note in model.notes) == 2
    given = load(NAME, weights=None, channels=5, mean=0.5, std=0.25)
    assert given.spec.preprocessing.mean == (0.5,) * 5
    assert given.notes == ("random weights (seed 0)",)
    assert load(given.spec.origin, **dict(given.spec.origin_options)).spec == given.spec


def test_class_names_beyond_imagenet_1k():
    model = load("timm:convnext_nano.in12k", weights=None)
    assert len(model.spec.classes) == 11821
    index = model.spec.classes.index("airliner")
    assert len(model.spec.synonyms) == 11821
    assert model.spec.synonyms[index] == ("airliner",)
    assert any("tabby cat" in names for names in model.spec.synonyms)


def test_unknown_tag_and_tag_as_weights():
    with pytest.raises(ModelError, match=r"timm's resnet18 has no weights tagged 'a9_in1k'. Did you mean 'a._in1k'"):
        load("timm:resnet18.a9_in1k")
    with pytest.raises(ModelError, match=r"a tag belongs to the name \(timm:resnet18.a1_in1k\)"):
        load("timm:resnet18", weights="a1_in1k")


def test_an_architecture_without_published_weights_says_so():
    name = next(n for n in timm.list_models() if not timm.list_pretrained(f"{n}.*") if n.startswith("resnet"))
    with pytest.raises(ModelError, match=f"timm has no weights for {name}"):
        load(f"timm:{name}")
