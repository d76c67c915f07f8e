"""Modules and factories of the user's own."""

import sys
import textwrap

import pytest
import timm
import torch
from torch import nn

from convscope.errors import ModelError
from convscope.model import load


def small(channels: int = 3) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )


@pytest.fixture
def factory_file(tmp_path):
    (tmp_path / "layers_beside.py").write_text("import torch\ndef conv(): return torch.nn.Conv2d(1, 2, 3)\n")
    file = tmp_path / "nets.py"
    file.write_text(
        textwrap.dedent("""
        import torch
        from layers_beside import conv

        def make():
            torch.manual_seed(0)
            return torch.nn.Sequential(conv(), torch.nn.BatchNorm2d(2))

        def ready():
            import convscope.model
            return convscope.model.load(make(), size=20, mean=0.1, std=0.3, classes=["a", "b"], name="ready")

        def broken():
            return {}["key"]

        def text():
            return "a network"

        LIMIT = 3
        """)
    )
    return file


def test_everything_given_leaves_nothing_to_note():
    module = small()
    model = load(module, size=(64, 96), mean=(0.1, 0.2, 0.3), std=0.25, classes=["a", "b", "c"], name="mine")
    assert model.module is module
    assert model.notes == ()
    assert model.spec.preprocessing.size == (64, 96)
    assert model.spec.preprocessing.mean == (0.1, 0.2, 0.3)
    assert model.spec.preprocessing.std == (0.25, 0.25, 0.25)
    assert (model.name, model.spec.classes) == ("mine", ("a", "b", "c"))
    assert (model.spec.origin, model.spec.origin_options) == ("", ())
    images = torch.rand(2, 3, 8, 8)
    assert torch.allclose(model.denormalize(model.normalize(images)), images, atol=1e-6)


def test_what_is_assumed_is_said_exactly():
    model = load(small(channels=1))
    assert model.spec.preprocessing.mean == (0.0,)
    assert model.spec.preprocessing.std == (1.0,)
    assert model.spec.preprocessing.size == (224, 224)
    assert model.notes == (
        "mean assumed to be 0: none was given, so inputs are not shifted from [0, 1]",
        "std assumed to be 1: none was given, so inputs are not scaled from [0, 1]",
        "input size assumed to be 224×224: none was given",
    )
    assert model.spec.classes == ()
    images = torch.rand(2, 1, 8, 8)
    assert torch.equal(model.normalize(images), images)


def test_the_module_is_not_touched():
    module = small()
    module[0].weight.requires_grad_(requires_grad=False)
    module[1].eval()
    handle = module[0].register_forward_hook(lambda *_: None)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    flags = [m.training for m in module.modules()]
    grads = [p.requires_grad for p in module.parameters()]
    rng = torch.get_rng_state()
    load(module, size=32, mean=0.5, std=0.5)
    load(module, size=32, mean=0.5, std=0.5, dtype="float64", device="cpu")
    assert [m.training for m in module.modules()] == flags == [True, True, False, True, True, True]
    assert [p.requires_grad for p in module.parameters()] == grads
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert list(module[0]._forward_hooks) == [handle.id]
    assert torch.equal(torch.get_rng_state(), rng)


def test_another_dtype_is_a_copy_and_said():
    module = small()
    model = load(module, size=32, mean=0.5, std=0.5, dtype="float64")
    assert module[0].weight.dtype == torch.float32
    assert model.dtype == torch.float64
    assert model.notes == ("a copy on float64 is examined; the module that was given is unchanged",)
    assert load(module, size=32, mean=0.5, std=0.5, dtype="float32", device="cpu").module is module


def test_timms_recipe_in_the_module_is_believed_and_said():
    module = timm.create_model("test_resnet")
    model = load(module)
    assert model.module is module
    assert model.spec.preprocessing.size == (160, 160)
    assert model.spec.preprocessing.mean == module.pretrained_cfg["mean"]
    assert model.spec.classes[281] == "tabby"
    assert model.notes == ("preprocessing and class names taken from the module's pretrained_cfg",)
    retrained = load(timm.create_model("test_resnet", num_classes=5))
    assert retrained.spec.classes == ()
    assert retrained.notes == ("preprocessing taken from the module's pretrained_cfg",)
    with pytest.raises(ModelError, match="2 class names for the 5 outputs of ResNet"):
        load(timm.create_model("test_resnet", num_classes=5), classes=["a", "b"])


def test_wrappers_are_seen_through():
    module = timm.create_model("test_resnet")
    model = load(nn.DataParallel(module))
    assert model.module is module
    assert model.spec.preprocessing.size == (160, 160)
    assert model.name == "ResNet"


def test_channels_are_read_off_the_first_convolution():
    assert load(small(channels=7), size=8).channels == 7
    odd = load(small(channels=7), size=8, channels=2, mean=0, std=1)
    assert odd.notes == ("channels=2 as given, although the first convolution takes 7",)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    with pytest.raises(ModelError, match="Sequential has no convolution to read the number of input channels off"):
        load(linear, size=4)
    assert load(linear, size=4, channels=3).channels == 3
    assert load(linear, size=4, std=(1.0, 1.0, 1.0)).spec.preprocessing.mean == (0.0, 0.0, 0.0)


def test_class_names_that_cannot_be_right_are_doubted_aloud():
    model = load(small(), size=8, mean=0, std=1, classes=["a", "b"])
    assert model.notes == ("2 class names, but the last linear layer has 3 outputs",)


def test_weights_for_a_module_are_refused():
    with pytest.raises(ModelError, match="load_state_dict"):
        load(small(), weights="net.pth")


def test_file_factory(factory_file, monkeypatch):
    monkeypatch.chdir(factory_file.parent)
    model = load("nets.py:make", size=30, mean="0.5", std="0.25")
    assert model.spec.origin == f"{factory_file}:make"
    assert (model.name, model.channels) == ("make", 1)
    monkeypatch.chdir("/")
    again = load(model.spec.origin, **dict(model.spec.origin_options))
    assert again.digest == model.digest
    assert again.spec == model.spec


def test_factory_that_returns_a_model(factory_file):
    model = load(f"{factory_file}:ready")
    assert (model.name, model.spec.preprocessing.size, model.spec.classes) == ("ready", (20, 20), ("a", "b"))
    assert model.spec.preprocessing.mean == (0.1,)
    assert model.spec.origin == f"{factory_file}:ready"
    assert load(f"{factory_file}:ready", size=40).spec.preprocessing.size == (40, 40)


def test_factory_with_weights_from_a_file(factory_file, tmp_path):
    made = load(f"{factory_file}:make", size=8).module
    state = {key: value + 1 for key, value in made.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "own.pth")
    model = load(f"{factory_file}:make", weights=tmp_path / "own.pth", size=8)
    assert torch.equal(model.module[0].weight, state["0.weight"])
    assert load(model.spec.origin, **dict(model.spec.origin_options)).digest == model.digest
    with pytest.raises(ModelError, match="decides on its own weights"):
        load(f"{factory_file}:make", weights=None)


def test_module_factory(factory_file, monkeypatch):
    monkeypatch.chdir(factory_file.parent)
    assert load("nets:make", size=8).spec.origin == "nets:make"


def test_the_import_path_is_as_before(factory_file):
    before = list(sys.path)
    load(f"{factory_file}:make", size=8)
    with pytest.raises(ModelError):
        load(f"{factory_file}:broken")
    assert sys.path == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("maek", r"nets.py has no factory 'maek'. Did you mean 'make'"),
        ("zzzzzz", r"nets.py has no factory 'zzzzzz'. It has: conv, make, ready, broken, text"),
        ("broken", r"the factory .*nets.py:broken failed with KeyError: 'key'"),
        ("text", r"the factory .*nets.py:text returned a str, expected an nn.Module or a Model"),
        ("LIMIT", r"nets.py:LIMIT is a int, expected a function"),
    ],
)
def test_factories_that_give_no_network(factory_file, name, message):
    with pytest.raises(ModelError, match=message) as caught:
        load(f"{factory_file}:{name}")
    assert "\n" not in str(caught.value)
    if name == "broken":
        assert isinstance(caught.value.__cause__, KeyError)


def test_files_and_modules_that_cannot_be_imported(tmp_path):
    with pytest.raises(ModelError, match=r"no file '.*none.py' to find a factory in"):
        load(str(tmp_path / "none.py") + ":make")
    (tmp_path / "wrong.py").write_text("import not_there_at_all\n")
    with pytest.raises(ModelError, match=r"importing '.*wrong.py' failed with ModuleNotFoundError: .*not_there_at_all"):
        load(f"{tmp_path / 'wrong.py'}:make")
    with pytest.raises(ModelError, match="no module 'not_there' to find a factory in"):
        load("not_there.nets:make")
    with pytest.raises(ModelError, match=r"which function in it makes the network\? Give nets.py:FUNCTION"):
        load("nets.py")
