"""Networks that several tests look at, and pictures prepared by torchvision's own transforms."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as transforms

import convscope.model
from convscope.model import Model

SHARED = Path(__file__).resolve().parents[3] / "shared"


@pytest.fixture(scope="session")
def embedded() -> Model:
    return convscope.model.load()


@pytest.fixture(scope="session")
def resnet18() -> Model:
    return convscope.model.load("resnet18", weights=None)


@pytest.fixture
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip("needs the reference data beside the repository (shared/)")
    return SHARED


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """Nothing can be reached, nothing is cached; returns where torch hub looks for files."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))

    def refuse(request, timeout):
        raise OSError("no route to host")

    monkeypatch.setattr("convscope.model.weights.urlopen", refuse)
    return tmp_path / "torch" / "hub" / "checkpoints"


def prepare(file: Path, model: Model) -> torch.Tensor:
    """One picture as the network's [0, 1] input, by torchvision's transforms instead of convscope's."""
    recipe = model.spec.preprocessing
    side = recipe.size[0]
    with Image.open(file) as picture:
        resized = transforms.resize(
            picture.convert("RGB"),
            round(side / recipe.crop),
            transforms.InterpolationMode(recipe.interpolation),
        )
    return transforms.to_tensor(transforms.center_crop(resized, side))


@pytest.fixture(scope="session")
def answers() -> Callable[[list[Path], Model], list[int]]:
    """The network's most probable class for each picture."""

    @torch.no_grad()
    def ask(files: list[Path], model: Model) -> list[int]:
        images = torch.stack([prepare(file, model) for file in files])
        return model.module(model.normalize(images)).argmax(1).tolist()

    return ask
