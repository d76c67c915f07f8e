"""torchvision's classification networks, their weights, preprocessing and class names."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from convscope.errors import ModelError, near_misses
from convscope.model.found import Found
from convscope.model.labels import imagenet_classes, imagenet_synonyms
from convscope.model.spec import Interpolation, Preprocessing
from convscope.model.weights import (
    StateDict,
    construction,
    fill,
    fit_names,
    head_size,
    obtain,
    read_weights,
)

# Both renormalize their input themselves when they carry torchvision's weights, and have training-only heads.
_TRAINING_HEADS: Mapping[str, tuple[str, ...]] = {
    "googlenet": ("aux1", "aux2"),
    "inception_v3": ("AuxLogits",),
}


@dataclass(frozen=True)
class Published:
    """One set of weights that torchvision publishes.

    Attributes:
        title: such as ``"ResNet18_Weights.IMAGENET1K_V1"``.
        url: where they can be had.
        preprocessing: their recipe.
        classes: their class names.
    """

    title: str
    url: str
    preprocessing: Preprocessing
    classes: tuple[str, ...]

    @property
    def file(self) -> Path:
        """Where torch hub keeps them, whether they are there or not."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.url.rsplit("/", 1)[-1]


def torchvision_names() -> tuple[str, ...]:
    """Names of torchvision's classification networks, sorted."""
    from torchvision import models  # noqa: PLC0415 - a second to import, not needed by all

    return tuple(models.list_models(module=models))


def other_torchvision_task(name: str) -> str | None:
    """What torchvision's network ``name`` does if it does not classify pictures, such as ``"detection"``."""
    from torchvision import models  # noqa: PLC0415

    if name not in models.list_models() or name in torchvision_names():
        return None
    package: str = models.get_model_builder(name).__module__
    return package.split(".")[2].replace("_", " ")


def torchvision_network(name: str, *, weights: str | Path | None, outputs: int | None, channels: int | None) -> Found:
    """Build a torchvision classification network.

    Args:
        name: as in ``torchvision.models``.
        weights: ``"default"``, a name such as ``"IMAGENET1K_V1"``, a file, or None for random weights (seed
            0).
        outputs: number of classes for random weights; None for the architecture's own.
        channels: of the input; torchvision has only 3.

    Raises:
        ModelError: no such weights, weights that do not fit or cannot be had, or channels other than 3.
    """
    if channels not in {None, 3}:
        raise ModelError(
            f"torchvision builds {name} for 3 channels, got channels={channels}. "
            "Use timm's (timm:NAME) or a factory of your own."
        )
    known = published(name)
    if weights is None:
        count = outputs or 1000
        with construction(random=True):
            module = _build(name, count, heads=False, pretrained=False)
        found = Found(module, name, f"torchvision:{name}", "random, seed 0", ours=True, outputs=count)
        return _with_recipe(found, known["DEFAULT"], ("random weights (seed 0)",))
    chosen = known.get("DEFAULT" if weights == "default" else str(weights))
    if chosen is not None:
        file = obtain({chosen.url: chosen.file}, weights=chosen.title, model=f"torchvision:{name}")
        text = f"torchvision {chosen.title}"
    else:
        file = _given_file(weights, name, known)
        text = str(file)
    module, count, notes = _filled(name, file)
    if chosen is None:
        chosen = known["DEFAULT"]
        notes = (*notes, f"preprocessing assumed as for {chosen.title}: {file.name} carries none")
        if count == 1000:
            notes = (*notes, "class names assumed to be ImageNet's: the network has 1000 outputs")
    found = Found(module, name, f"torchvision:{name}", text, ours=True, outputs=count)
    return _with_recipe(found, chosen, notes)


def published(name: str) -> Mapping[str, Published]:
    """Look up the weights that torchvision publishes for a network, by name, ``DEFAULT`` among them."""
    from torchvision import models  # noqa: PLC0415

    members = models.get_model_weights(name).__members__
    return {key: _published(member) for key, member in members.items()}


def _published(member: object) -> Published:
    value: Any = member
    recipe = value.transforms()
    side, resized = recipe.crop_size[0], recipe.resize_size[0]
    preprocessing = Preprocessing(
        size=(side, side),
        mean=tuple(recipe.mean),
        std=tuple(recipe.std),
        interpolation=cast("Interpolation", recipe.interpolation.value),
        crop=side / resized,
    )
    title = f"{type(member).__name__}.{value.name}"
    names = value.meta["categories"]  # None for vgg16's feature-only weights
    return Published(title, value.url, preprocessing, () if names is None else tuple(names))


def _filled(name: str, file: Path) -> tuple[nn.Module, int, tuple[str, ...]]:
    state, read = read_weights(file)
    state = _modern_names(state, name)
    heads = any(key.startswith(_TRAINING_HEADS[name]) for key in state) if name in _TRAINING_HEADS else False
    with construction(random=False):
        module = _build(name, 1000, heads=heads, pretrained=True)
    state, renamed = fit_names(state, module)
    notes = (*read, *renamed)
    count = head_size(state, module, 1000)
    if count is not None:
        notes = (*notes, f"{count} outputs, read off the last layer in {file.name}")
        with construction(random=False):
            module = _build(name, count, heads=heads, pretrained=True)
    fill(module, state, file=str(file), name=f"torchvision:{name}")
    if heads:
        setattr(module, "aux_logits", False)  # noqa: B010 - mypy takes any attribute of a module for a tensor
        for head in _TRAINING_HEADS[name]:
            setattr(module, head, None)
        notes = (*notes, f"training-only {' and '.join(_TRAINING_HEADS[name])} taken off")
    return module, 1000 if count is None else count, notes


def _build(name: str, outputs: int, *, heads: bool, pretrained: bool) -> nn.Module:
    from torchvision import models  # noqa: PLC0415

    special: dict[str, bool] = {}
    if name in _TRAINING_HEADS:
        special = {"aux_logits": heads, "init_weights": not pretrained, "transform_input": pretrained}
    module: nn.Module = models.get_model(name, weights=None, num_classes=outputs, **special)
    return module


def _with_recipe(found: Found, weights: Published, notes: tuple[str, ...]) -> Found:
    named = len(weights.classes) == found.outputs
    return replace(
        found,
        preprocessing=weights.preprocessing,
        classes=weights.classes if named else (),
        synonyms=imagenet_synonyms() if named and weights.classes == imagenet_classes() else (),
        notes=notes,
    )


def _modern_names(state: StateDict, name: str) -> StateDict:
    """DenseNet's published files are older than its code: ``norm.1`` there is ``norm1`` here."""
    if not name.startswith("densenet"):
        return state
    return {re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", key): v for key, v in state.items()}


def _given_file(weights: str | Path, name: str, known: Iterable[str]) -> Path:
    file = Path(weights).expanduser().resolve()
    if isinstance(weights, Path) or file.suffix or file.exists():
        return file
    raise ModelError(
        f"no weights {str(weights)!r} for torchvision:{name}.{near_misses(str(weights), known)} "
        f"Expected default, none, {', '.join(known)}, or a .pth, .pt or .safetensors file."
    )
