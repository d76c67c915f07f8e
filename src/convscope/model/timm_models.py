"""timm's networks, their weights, preprocessing and class names."""

import pickle
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

import torch
from torch import nn

from convscope.errors import ModelError, near_misses
from convscope.model.found import Found
from convscope.model.labels import Synonyms, imagenet_classes, imagenet_synonyms, names_in
from convscope.model.spec import Interpolation, Preprocessing
from convscope.model.weights import construction, fill, fit_names, head_size, obtain, read_weights


def timm_names() -> tuple[str, ...]:
    """Names of timm's architectures, sorted. A tag may follow, as in ``resnet50.a1_in1k``."""
    import timm  # noqa: PLC0415 - half a second to import, not needed by all

    return tuple(timm.list_models())


def timm_network(name: str, *, weights: str | Path | None, outputs: int | None, channels: int | None) -> Found:
    """Build a timm network.

    Args:
        name: as in ``timm.create_model``, with or without a tag.
        weights: ``"default"``, a file, or None for random weights (seed 0).
        outputs: number of classes for random weights; None for the architecture's own.
        channels: of the input; None for the architecture's own. timm adapts published weights to other
            numbers.

    Raises:
        ModelError: no such tag, no published weights, or weights that do not fit or cannot be had.
    """
    _check_tag(name)
    base: dict[str, Any] = {} if channels is None else {"in_chans": channels}
    origin = f"timm:{name}"
    if weights is None:
        module = _build(name, random=True, **base, **({} if outputs is None else {"num_classes": outputs}))
        found = Found(module, name, origin, "random, seed 0", ours=True, notes=("random weights (seed 0)",))
    elif weights == "default":
        file, published = _published_file(name)
        module = _published(name, file, base)
        found = Found(module, name, origin, f"timm {published}", ours=True)
    else:
        file = _given_file(weights, name)
        module, notes = _filled(name, file, base)
        assumed = f"preprocessing assumed as for timm {_title(_recipe(module))}: {file.name} carries none"
        found = Found(module, name, origin, str(file), ours=True, notes=(*notes, assumed))
    return with_timm_recipe(found, _recipe(module))


def with_timm_recipe(found: Found, recipe: Mapping[str, Any]) -> Found:
    """Add preprocessing and class names from a ``pretrained_cfg``, as far as they hold for the module.

    Args:
        found: a network with the ``pretrained_cfg``, timm's or the user's.
        recipe: the ``pretrained_cfg``.
    """
    outputs = getattr(found.module, "num_classes", None)
    classes, synonyms = _labels(outputs) if outputs == recipe.get("num_classes") else ((), ())
    preprocessing = preprocessing_of(recipe)
    notes = found.notes
    if recipe.get("crop_mode", "center") != "center":
        notes = (
            *notes,
            f"its own recipe fits pictures by {recipe['crop_mode']!r}; convscope crops the center by default",
        )
    return replace(
        found,
        preprocessing=preprocessing,
        outputs=outputs or None,
        classes=classes,
        synonyms=synonyms,
        notes=notes,
    )


def preprocessing_of(recipe: Mapping[str, Any]) -> Preprocessing:
    """Read timm's ``pretrained_cfg``; what it lacks is timm's own default."""
    known = Preprocessing(interpolation="bicubic")
    size = recipe.get("input_size") or (3, *known.size)
    interpolation = recipe.get("interpolation")
    return Preprocessing(
        size=(int(size[-2]), int(size[-1])),
        mean=tuple(recipe.get("mean") or known.mean),
        std=tuple(recipe.get("std") or known.std),
        interpolation=cast("Interpolation", interpolation)
        if interpolation in get_args(Interpolation)
        else known.interpolation,
        crop=float(recipe.get("crop_pct") or known.crop),
    )


def local_files(name: str) -> Mapping[str, Path]:
    """Where the default weights of a network may lie: for each address the file, whether it is there or not.

    A file in the Hugging Face cache is used; what convscope downloads goes beside torch hub's files, in one
    piece.
    """
    import huggingface_hub as hub  # noqa: PLC0415 - comes with timm
    import timm  # noqa: PLC0415

    recipe = timm.get_pretrained_cfg(name, allow_unregistered=True)
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    if recipe is None:
        return {}
    if repository := recipe.hf_hub_id:
        choices: dict[str, Path] = {}
        repository, _, revision = repository.partition("@")
        for file in _file_names(recipe.hf_hub_filename):
            cached = hub.try_to_load_from_cache(repository, file, revision=revision or None)
            url = hub.hf_hub_url(repository, file, revision=revision or None)
            own = folder / f"{repository.replace('/', '--')}--{file}"
            choices[url] = Path(cached) if isinstance(cached, str) else own
        return choices
    return {str(recipe.url): folder / str(recipe.url).rsplit("/", 1)[-1]} if recipe.url else {}


def _file_names(named: str | None) -> tuple[str, ...]:
    if named is None:
        return ("model.safetensors", "pytorch_model.bin")
    safe = str(Path(named).with_suffix(".safetensors"))
    return tuple(dict.fromkeys((safe, named)))


def _published_file(name: str) -> tuple[Path, str]:
    import timm  # noqa: PLC0415

    choices = local_files(name)
    if not choices:
        tags = timm.list_pretrained(f"{name.partition('.')[0]}.*")
        hint = f" There are: {', '.join(tags[:5])}." if tags else ""
        raise ModelError(f"timm has no weights for {name}.{hint} Give weights=FILE or weights=None (random).")
    recipe = timm.get_pretrained_cfg(name)
    title = name if recipe is None else _title({"architecture": recipe.architecture, "tag": recipe.tag})
    return obtain(choices, weights=title, model=f"timm:{name}"), title


def _published(name: str, file: Path, base: Mapping[str, Any]) -> nn.Module:
    overlay = {"file": str(file), "custom_load": file.suffix == ".npz"}
    from safetensors import SafetensorError  # noqa: PLC0415 - only when such weights are read

    try:
        # timm's own loader, for it knows how to bring each file into the shape of today's code.
        return _build(name, random=True, pretrained=True, pretrained_cfg_overlay=overlay, **base)
    except (
        RuntimeError,
        KeyError,
        ValueError,
        OSError,
        EOFError,
        pickle.UnpicklingError,
        SafetensorError,
    ) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"weights {file} do not load into timm:{name} ({reason}). Is the file damaged? Delete it and try again."
        ) from error


def _filled(name: str, file: Path, base: Mapping[str, Any]) -> tuple[nn.Module, tuple[str, ...]]:
    state, read = read_weights(file)
    module = _build(name, random=False, **base)
    state, renamed = fit_names(state, module)
    notes = (*read, *renamed)
    own = int(getattr(module, "num_classes", 0))
    count = head_size(state, module, own)
    if count is not None:
        module = _build(name, random=False, num_classes=count, **base)
        notes = (*notes, f"{count} outputs, read off the last layer in {file.name}")
    fill(module, state, file=str(file), name=f"timm:{name}")
    if count is None and own == 1000:
        notes = (*notes, "class names assumed to be ImageNet's: the network has 1000 outputs")
    return module, notes


def _build(name: str, *, random: bool, **options: object) -> nn.Module:
    import timm  # noqa: PLC0415

    settings: dict[str, Any] = {"pretrained": False, **options}
    with construction(random=random):
        module: nn.Module = timm.create_model(name, **settings)
    return module


def _labels(outputs: int | None) -> tuple[tuple[str, ...], Synonyms]:
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset  # noqa: PLC0415

    if outputs == 1000:
        return imagenet_classes(), imagenet_synonyms()
    subset = infer_imagenet_subset({"num_classes": outputs})
    if subset is None:
        return (), ()
    synonyms = tuple(names_in(lemmas) for lemmas in ImageNetInfo(subset).label_descriptions())
    return tuple(names[0] for names in synonyms), synonyms


def _check_tag(name: str) -> None:
    import timm  # noqa: PLC0415

    architecture, _, tag = name.partition(".")
    known = [full.partition(".")[2] for full in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in known:
        raise ModelError(
            f"timm's {architecture} has no weights tagged {tag!r}."
            f"{near_misses(tag, known)} Known: {', '.join(known[:8])}."
        )


def _given_file(weights: str | Path, name: str) -> Path:
    file = Path(weights).expanduser().resolve()
    if isinstance(weights, Path) or file.suffix or file.exists():
        return file
    raise ModelError(
        f"no weights {str(weights)!r} for timm:{name}. Expected default, none, or a .pth, .pt or "
        f".safetensors file; a tag belongs to the name (timm:{name.partition('.')[0]}.{weights})."
    )


def _recipe(module: nn.Module) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", module.pretrained_cfg)


def _title(recipe: Mapping[str, Any]) -> str:
    return f"{recipe['architecture']}.{recipe['tag']}" if recipe.get("tag") else str(recipe["architecture"])
