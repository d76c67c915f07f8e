"""Make a ``Model`` of a name, a factory or a module."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from convscope.errors import ModelError
from convscope.model.catalog import check_name, library_of
from convscope.model.embedded import ARCHITECTURE, NAME, PREPROCESSING, embedded
from convscope.model.found import Found
from convscope.model.model import Model, unwrap
from convscope.model.options import (
    Number,
    Numbers,
    Size,
    read_channels,
    read_classes,
    read_crop,
    read_device,
    read_dtype,
    read_interpolation,
    read_size,
    read_statistic,
    spelled,
)
from convscope.model.own import factory_network, first_convolution, own_network
from convscope.model.spec import Interpolation, ModelSpec, Preprocessing
from convscope.model.timm_models import timm_network
from convscope.model.torchvision_models import torchvision_network

BUILDERS = {"torchvision": torchvision_network, "timm": timm_network}
_RANDOM = {"none", "random"}


@dataclass(frozen=True)
class _Said:
    """What the caller said about the input and the answers; None where nothing was said."""

    size: tuple[int, int] | None
    channels: int | None
    mean: Numbers | None
    std: Numbers | None
    interpolation: Interpolation | None
    crop: float | None
    classes: tuple[str, ...] | None


def load(
    source: str | Path | nn.Module | None = None,
    *,
    weights: str | Path | None = "default",
    size: Size | None = None,
    mean: Numbers | None = None,
    std: Numbers | None = None,
    channels: int | str | None = None,
    classes: Sequence[str] | Path | None = None,
    interpolation: str | None = None,
    crop: Number | str | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    name: str | None = None,
) -> Model:
    """Load a network together with its preprocessing and class names.

    Networks that convscope builds come in eval mode, with frozen parameters, without a trace in the global
    random state, and never run code from a weights file. A module of the caller's is not changed in any way.
    Preprocessing and class names are those of the weights; whatever had to be assumed is said in
    ``Model.notes``. Options may be given as text, as on the command line: ``size="224,320"``, ``mean="0.5"``.

    Args:
        source: nothing or ``"efficientnet_lite0"`` for the embedded network (ImageNet, no download); a name
            of torchvision's or timm's (``resnet50``, ``timm:resnet50.a1_in1k``, torchvision first where both
            have it); ``package.module:factory`` or ``file.py:factory``, a function that returns an
            ``nn.Module`` or ``Model``; or an ``nn.Module``.
        weights: ``"default"`` for the published ones (downloaded if they are not here), a torchvision name
            such as ``"IMAGENET1K_V1"``, a ``.pth``, ``.pt`` or ``.safetensors`` file, or None (``"none"``)
            for random weights (seed 0). A file for another number of classes than the architecture's is
            recognized.
        size: (height, width) of the input in pixels, or one number for both.
        mean: per channel or one for all, in units of [0, 1] pixels.
        std: per channel or one for all, in units of [0, 1] pixels.
        channels: number of input channels.
        classes: class names, or a ``.txt`` (one per line) or ``.json`` (list) file of them.
        interpolation: ``nearest``, ``bilinear``, ``bicubic`` or ``lanczos``.
        crop: the part of the resized short side that the center crop keeps, in (0, 1].
        device: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``. By default CUDA where there is any, else the CPU; a
            caller's module stays where it is. Of a module that lies elsewhere a copy is examined.
        dtype: ``float32``, ``bfloat16`` or ``float64``. By default as the network comes.
        name: short name for titles and file names.

    Returns:
        The network. ``load(model.spec.origin, **dict(model.spec.origin_options))`` loads it again, except for
        a module made in Python.

    Raises:
        ModelError: there is no such network, weights do not fit or cannot be had, or an option makes no
            sense; one line says which and what to do.

    Example:
        >>> model = load("torchvision:resnet18", weights=None)
        >>> model.channels, model.spec.preprocessing.size, model.spec.classes[281]
        (3, (224, 224), 'tabby')
    """
    said = _Said(
        size=None if size is None else read_size(size),
        channels=None if channels is None else read_channels(channels),
        mean=mean,
        std=std,
        interpolation=None if interpolation is None else read_interpolation(interpolation),
        crop=None if crop is None else read_crop(crop),
        classes=None if classes is None else read_classes(classes),
    )
    place = None if device is None else read_device(device)
    precision = None if dtype is None else read_dtype(dtype)
    if isinstance(weights, str) and weights.lower() in {"default", *_RANDOM}:
        weights = None if weights.lower() in _RANDOM else "default"
    found = _find(source, weights, said)
    preprocessing, assumed = _preprocessing(found, said)
    names, synonyms, doubts = _classes(found, said)
    module, copied = _placed(found, place, precision)
    options = {
        "weights": _respelled(weights),
        "size": said.size,
        "channels": said.channels,
        "mean": None if mean is None else preprocessing.mean,
        "std": None if std is None else preprocessing.std,
        "interpolation": interpolation,
        "crop": said.crop,
        "classes": said.classes,
        "dtype": precision,
        "name": name,
    }
    spec = ModelSpec(
        name=name or found.name,
        origin=found.origin,
        weights=found.weights,
        preprocessing=preprocessing,
        classes=names,
        synonyms=synonyms,
        origin_options=tuple((k, spelled(v)) for k, v in options.items() if v is not None) if found.origin else (),
    )
    return Model(module, spec, (*found.notes, *assumed, *doubts, *copied))


def _find(source: str | Path | nn.Module | None, weights: str | Path | None, said: _Said) -> Found:
    if isinstance(source, nn.Module):
        if weights != "default":
            raise ModelError("weights are for networks by name. Load them into your module first, by load_state_dict.")
        return own_network(source)
    text = NAME if source is None else str(source).strip()
    if text == NAME and weights == "default":
        return embedded()
    if text == NAME:
        found = timm_network(ARCHITECTURE, weights=weights, outputs=_outputs(said), channels=said.channels)
        return replace(found, name=NAME, origin=NAME, preprocessing=PREPROCESSING)
    prefix, _, name = text.partition(":")
    if name and prefix not in BUILDERS:
        return factory_network(text, weights=weights)
    if name:
        check_name(name, prefix)
    else:
        _check_plain(text)
        prefix, name = library_of(text), text
    return BUILDERS[prefix](name, weights=weights, outputs=_outputs(said), channels=said.channels)


def _outputs(said: _Said) -> int | None:
    return None if said.classes is None else len(said.classes)


def _check_plain(text: str) -> None:
    """Say what is missing where a file was given for a network."""
    suffix = Path(text).suffix
    if suffix == ".py":
        raise ModelError(f"{text!r} is a file; which function in it makes the network? Give {text}:FUNCTION.")
    if suffix in {".pth", ".pt", ".safetensors", ".bin", ".ckpt", ".onnx"}:
        raise ModelError(
            f"{text!r} holds weights, not a network. Name its architecture and give the file as weights, "
            f"for instance resnet18 with weights={text!r}."
        )


def _preprocessing(found: Found, said: _Said) -> tuple[Preprocessing, tuple[str, ...]]:
    """Join what is known, what the caller said, and what has to be assumed, which is noted."""
    notes: list[str] = []
    channels = _channels(found, said, notes)
    known = found.preprocessing
    mean = _statistic("mean", said.mean, known, channels, notes)
    std = _statistic("std", said.std, known, channels, notes)
    if known is None:
        if said.size is None:
            notes.append("input size assumed to be 224×224: none was given")
        known = Preprocessing()
    return Preprocessing(
        size=said.size or known.size,
        mean=mean,
        std=std,
        interpolation=said.interpolation or known.interpolation,
        crop=known.crop if said.crop is None else said.crop,
    ), tuple(notes)


def _channels(found: Found, said: _Said, notes: list[str]) -> int:
    """How many channels the input has: as said, as the first convolution takes, or as the weights say."""
    convolution = first_convolution(unwrap(found.module)[0])
    seen = getattr(convolution, "in_channels", None) or None
    if said.channels and seen and said.channels != seen:
        notes.append(f"channels={said.channels} as given, although the first convolution takes {seen}")
    if channels := said.channels or seen:
        return int(channels)
    if found.preprocessing is not None:
        return found.preprocessing.channels
    given = {name: value for name, value in (("mean", said.mean), ("std", said.std)) if value is not None}
    if not given:
        raise ModelError(f"{found.name} has no convolution to read the number of input channels off. Give channels=.")
    return max(len(read_statistic(name, value, None)) for name, value in given.items())


def _statistic(
    name: str, said: Numbers | None, known: Preprocessing | None, channels: int, notes: list[str]
) -> tuple[float, ...]:
    if said is not None:
        return read_statistic(name, said, channels)
    recorded: tuple[float, ...] = () if known is None else getattr(known, name)
    if recorded and len(recorded) == channels:
        return recorded
    if recorded and channels == 1:
        average = sum(recorded) / len(recorded)
        notes.append(f"{name} assumed to be {average:.4g}, the average over the weights' own {len(recorded)} channels")
        return (average,)
    neutral = 0.0 if name == "mean" else 1.0
    notes.append(f"{name} assumed to be {neutral:g}: none was given, so inputs are not {_EFFECT[name]}")
    return (neutral,) * channels


_EFFECT = {"mean": "shifted from [0, 1]", "std": "scaled from [0, 1]"}


def _classes(found: Found, said: _Said) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...], tuple[str, ...]]:
    if said.classes is None:
        return found.classes, found.synonyms, ()
    if found.outputs is not None and len(said.classes) != found.outputs:
        raise ModelError(
            f"{len(said.classes)} class names for the {found.outputs} outputs of {found.name}. Expected one for each."
        )
    linear = [m for m in unwrap(found.module)[0].modules() if isinstance(m, nn.Linear)]
    last = linear[-1].out_features if linear else None
    if found.outputs is None and last not in {None, len(said.classes)}:
        return (
            said.classes,
            (),
            (f"{len(said.classes)} class names, but the last linear layer has {last} outputs",),
        )
    return said.classes, (), ()


def _placed(found: Found, device: torch.device | None, dtype: torch.dtype | None) -> tuple[nn.Module, tuple[str, ...]]:
    """Put the network where it should run: convscope's own is moved, a caller's is copied if need be."""
    if device is not None and device.type == "mps" and dtype is torch.float64:
        raise ModelError("device 'mps' has no float64. Use dtype='float32' or device='cpu'.")
    if found.ours:
        if device is None:
            device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return found.module.to(device=device, dtype=dtype).eval().requires_grad_(requires_grad=False), ()
    tensors = [*found.module.parameters(), *found.module.buffers()]
    strays = [
        t
        for t in tensors
        if (device is not None and t.device != torch.empty(0, device=device).device)
        or (dtype is not None and t.is_floating_point() and t.dtype != dtype)
    ]
    if not strays:
        return found.module, ()
    try:
        copy = deepcopy(found.module).to(device=device, dtype=dtype)
    except (RuntimeError, TypeError) as error:
        raise ModelError(
            f"{found.name} cannot be copied to {device or 'its device'} as {dtype or 'its dtype'} "
            f"({' '.join(str(error).split())[:120]}). Move it yourself and load it without device and dtype."
        ) from error
    where = " as ".join(str(v).removeprefix("torch.") for v in (device, dtype) if v is not None)
    return copy, (f"a copy on {where} is examined; the module that was given is unchanged",)


def _respelled(weights: str | Path | None) -> str | None:
    """The ``weights`` option for next time: nothing for the default, files by their absolute path."""
    if weights is None:
        return "none"
    if weights == "default":
        return None
    file = Path(weights).expanduser()
    return str(file.resolve()) if isinstance(weights, Path) or file.suffix or file.exists() else str(weights)
