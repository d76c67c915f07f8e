"""torchvision's networks: names, weights, heads of another size, and the two that need special care."""

import csv

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from convscope.errors import ModelError
from convscope.model import load


@pytest.fixture(scope="module")
def squeezenet():
    torch.manual_seed(0)
    return models.squeezenet1_1().eval()


def test_recipe_and_names_are_those_of_the_weights(resnet18):
    weights = models.ResNet18_Weights.DEFAULT
    transforms = weights.transforms()
    recipe = resnet18.spec.preprocessing
    assert recipe.size == (224, 224)
    assert recipe.mean == tuple(transforms.mean)
    assert recipe.std == tuple(transforms.std)
    assert recipe.interpolation == "bilinear"
    assert recipe.crop == pytest.approx(224 / 256)
    assert list(resnet18.spec.classes) == weights.meta["categories"]
    assert "tabby cat" in resnet18.spec.synonyms[281]


def test_recipes_differ_between_weights(no_network, squeezenet):
    assert load("efficientnet_b3", weights=None).spec.preprocessing.size == (300, 300)
    assert load("convnext_tiny", weights=None).spec.preprocessing.crop == pytest.approx(224 / 236)
    assert load("efficientnet_b3", weights=None).spec.preprocessing.interpolation == "bicubic"


def test_random_weights_are_said_and_reproducible(resnet18):
    before = torch.get_rng_state()
    again = load(resnet18.spec.origin, **dict(resnet18.spec.origin_options))
    assert again.digest == resnet18.digest
    assert again.notes == ("random weights (seed 0)",)
    assert torch.equal(torch.get_rng_state(), before)
    assert resnet18.spec.origin == "torchvision:resnet18"
    assert not any(m.training for m in resnet18.module.modules())
    assert not any(p.requires_grad for p in resnet18.module.parameters())


def test_a_file_in_torch_hubs_folder_is_used_without_network(no_network, squeezenet):
    no_network.mkdir(parents=True)
    name = models.SqueezeNet1_1_Weights.DEFAULT.url.rsplit("/", 1)[-1]
    torch.save(squeezenet.state_dict(), no_network / name)
    images = torch.rand(1, 3, 64, 64)
    model = load("squeezenet1_1")
    assert torch.equal(model.module(images), squeezenet(images))
    assert model.spec.weights == "torchvision SqueezeNet1_1_Weights.IMAGENET1K_V1"
    assert load("squeezenet1_1", weights="IMAGENET1K_V1").digest == model.digest


def test_without_network_one_line_names_weights_file_and_the_embedded_default(no_network):
    with pytest.raises(ModelError) as caught:
        load("resnet50")
    text = str(caught.value)
    assert "ResNet50_Weights.IMAGENET1K_V2" in text
    assert f"Put the file at {no_network / 'resnet50-11ad3fa6.pth'}" in text
    assert "no route to host" in text
    assert "efficientnet_lite0" in text
    assert "\n" not in text


def test_weights_from_a_file_with_what_was_assumed(squeezenet, tmp_path):
    path = tmp_path / "net.safetensors"
    save_file({k: v.half() for k, v in squeezenet.state_dict().items()}, path)
    model = load("squeezenet1_1", weights=str(path))
    assert model.spec.weights == str(path)
    assert model.dtype == torch.float32
    assert model.notes == (
        "net.safetensors stores its weights as float16",
        "preprocessing assumed as for SqueezeNet1_1_Weights.IMAGENET1K_V1: net.safetensors carries none",
        "class names assumed to be ImageNet's: the network has 1000 outputs",
    )
    assert load(model.spec.origin, **dict(model.spec.origin_options)).digest == model.digest


def test_relative_paths_become_absolute_in_the_origin(squeezenet, tmp_path, monkeypatch):
    torch.save({"model": squeezenet.state_dict()}, tmp_path / "net.pth")
    monkeypatch.chdir(tmp_path)
    model = load("squeezenet1_1", weights="net.pth")
    assert dict(model.spec.origin_options) == {"weights": str(tmp_path / "net.pth")}


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small", "resnet18", "densenet121"])
def test_number_of_classes_is_read_off_the_file(name, tmp_path):
    torch.manual_seed(5)
    own = models.get_model(name, num_classes=7).eval()
    torch.save({"state_dict": {f"module.{k}": v for k, v in own.state_dict().items()}}, tmp_path / "own.pth")
    model = load(name, weights=tmp_path / "own.pth", classes=list("abcdefg"))
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model.module(images), own(images))
    assert "7 outputs, read off the last layer in own.pth" in model.notes
    assert model.spec.classes == tuple("abcdefg")
    assert load(name, weights=tmp_path / "own.pth").spec.classes == ()
    with pytest.raises(ModelError, match=f"2 class names for the 7 outputs of {name}"):
        load(name, weights=tmp_path / "own.pth", classes=["a", "b"])


def test_random_weights_take_the_head_from_the_class_names():
    model = load("resnet18", weights="none", classes=["cat", "dog"])
    assert model.module.fc.out_features == 2
    assert model.spec.classes == ("cat", "dog")
    assert model.spec.synonyms == ()


@pytest.mark.parametrize(("name", "heads"), [("googlenet", ("aux1", "aux2")), ("inception_v3", ("AuxLogits",))])
def test_inception_networks_renormalize_and_drop_their_training_heads(name, heads, tmp_path):
    torch.manual_seed(0)
    kwargs = {"init_weights": False, "transform_input": True, "aux_logits": True}
    made = models.get_model(name, weights=None, **kwargs).eval()
    torch.save(made.state_dict(), tmp_path / "net.pth")
    model = load(name, weights=tmp_path / "net.pth")
    images = torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        assert torch.allclose(model.module(images), made(images))
    assert all(getattr(model.module, head) is None for head in heads)
    assert any(note.startswith("training-only") for note in model.notes)


def test_densenets_published_names_are_understood(tmp_path):
    torch.manual_seed(0)
    made = models.densenet121().eval()
    old = {
        k.replace("norm1.", "norm.1.")
        .replace("norm2.", "norm.2.")
        .replace("conv1.", "conv.1.")
        .replace("conv2.", "conv.2."): v
        for k, v in made.state_dict().items()
    }
    torch.save(old, tmp_path / "densenet.pth")
    model = load("densenet121", weights=tmp_path / "densenet.pth")
    assert torch.equal(
        model.module.features.denseblock1.denselayer1.conv1.weight,
        made.state_dict()["features.denseblock1.denselayer1.conv1.weight"],
    )


def test_versions_of_layers_survive_safetensors(tmp_path):
    torch.manual_seed(0)
    made = models.mnasnet0_5()
    save_file(dict(made.state_dict()), tmp_path / "net.safetensors")
    model = load("mnasnet0_5", weights=tmp_path / "net.safetensors")
    assert torch.equal(model.module.classifier[1].weight, made.classifier[1].weight)


def test_the_wrong_architecture_is_named(squeezenet, tmp_path):
    torch.save(squeezenet.state_dict(), tmp_path / "net.pth")
    with pytest.raises(ModelError, match=r"do not fit torchvision:resnet18: .* missing \(conv1.weight"):
        load("resnet18", weights=tmp_path / "net.pth")


def test_weights_that_do_not_exist():
    with pytest.raises(
        ModelError, match=r"no weights 'IMAGENET1K_V3' for torchvision:resnet18. Did you mean 'IMAGENET1K_V1'"
    ):
        load("resnet18", weights="IMAGENET1K_V3")
    with pytest.raises(ModelError, match=r"none.pth': no such file"):
        load("resnet18", weights="none.pth")


def test_other_channels_are_refused():
    with pytest.raises(ModelError, match="builds resnet18 for 3 channels, got channels=1"):
        load("torchvision:resnet18", weights=None, channels=1)


def test_real_squeezenet_answers_real_photographs(shared, answers):
    model = load("squeezenet1_1", weights=shared / "weights" / "squeezenet1_1_torchvision_fp16.safetensors")
    folder = shared / "images" / "imagenet200"
    rows = list(csv.DictReader((folder / "labels.csv").read_text("utf-8").splitlines()))[::8]
    given = answers([folder / row["file"] for row in rows], model)
    right = sum(answer == int(row["class_index"]) for answer, row in zip(given, rows, strict=True))
    assert len(rows) == 25
    assert right >= 14
