"""Weights files: fetched, read without running code, and fitted to a network."""

import argparse
import contextlib
import hashlib
import logging
import os
import re
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from convscope.errors import ModelError

StateDict = Mapping[str, Tensor]

_NESTS = (
    "state_dict",
    "model_state_dict",
    "model",
    "module",
    "net",
    "network",
    "weights",
    "params",
    "state_dict_ema",
    "model_ema",
    "ema",
)
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
_LOG = logging.getLogger("convscope")


def read_weights(path: Path) -> tuple[StateDict, tuple[str, ...]]:
    """Read the tensors of a ``.safetensors`` file or of what ``torch.save`` wrote; never unpickles code.

    Args:
        path: the file. A checkpoint that nests its state dict (``{"state_dict": ..., "epoch": ...}``) is
            opened.

    Returns:
        The tensors by name, and notes on what was done to get them.

    Raises:
        ModelError: no such file, not a weights file, damaged, or holding pickled Python objects.
    """
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise ModelError(f"weights {str(path)!r}: {what}. Expected a .pth, .pt or .safetensors file.")
    loaded = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    state, nests = _unnest(loaded, path)
    notes = [f"weights taken from {'/'.join(nests)!r} inside {path.name}"] if nests else []
    stored = {tensor.dtype for tensor in state.values() if tensor.is_floating_point()} - {torch.float32}
    if stored:
        kinds = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in stored))
        notes.append(f"{path.name} stores its weights as {kinds}")
    return state, tuple(notes)


def fit_names(state: StateDict, module: nn.Module) -> tuple[StateDict, tuple[str, ...]]:
    """Take off the prefixes that training wrappers put before names: ``module.``, ``model.`` ..."""
    expected = module.state_dict().keys()
    found: StateDict = state
    taken = ""
    while not expected & found.keys():
        prefix = next((p for p in _PREFIXES if any(name.startswith(p) for name in found)), None)
        if prefix is None:
            return state, ()
        found = {name[len(prefix) :]: value for name, value in found.items() if name.startswith(prefix)}
        taken += prefix
    if not taken:
        return state, ()
    outside = len(state) - len(found)
    ignored = f"; {outside} tensors outside of it ignored" if outside else ""
    return found, (f"prefix {taken!r} taken off the names of the weights{ignored}",)


def head_size(state: StateDict, module: nn.Module, outputs: int) -> int | None:
    """Tell how many classes the weights are for, if that is all in which they differ from ``module``.

    Args:
        state: named as ``module``'s.
        module: built for ``outputs`` classes.
        outputs: its number of classes.

    Returns:
        The other number of classes; None if the shapes agree, or differ in anything else.
    """
    pairs = _wrong_shapes(state, module).values()
    sizes = {got[0] for got, expected in pairs if got and expected and expected[0] == outputs}
    heads = all(got[1:] == expected[1:] and expected[:1] == (outputs,) for got, expected in pairs)
    return sizes.pop() if heads and len(sizes) == 1 else None


def fill(module: nn.Module, state: StateDict, *, file: str, name: str) -> None:
    """Put ``state`` into ``module`` (which must be convscope's own), all of it or nothing.

    Raises:
        ModelError: tensors are missing, unexpected, of another shape or quantized; the message names the
            first few.
    """
    wrong = {
        key: f"{key} is {got} in the file, {expected} in the network"
        for key, (got, expected) in _wrong_shapes(state, module).items()
    }
    own = module.state_dict()
    quantized = [key for key in state.keys() & own.keys() if _rounded(state[key]) and own[key].is_floating_point()]
    if wrong:
        missing, unexpected = _absent(own, state), _absent(state, own)
        raise ModelError(_mismatch(file, name, missing, unexpected, list(wrong.values())))
    if quantized:
        raise ModelError(
            f"{file} holds integers where {name} has real numbers ({_few(quantized)}): "
            "quantized weights. Give the weights in floating point."
        )
    versioned = _with_versions(state, module)
    missing, unexpected = module.load_state_dict(versioned, strict=False)
    # The count of training batches has no effect on inference, and exporters leave it out.
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise ModelError(_mismatch(file, name, missing, unexpected, []))


def fetch(url: str, path: Path, *, timeout: float = 20.0) -> None:
    """Download ``url`` to ``path``; the file appears only when it is whole.

    Where the name carries the first digits of the SHA-256, as torch hub's do (``resnet18-f37072fd.pth``),
    they are checked.

    Args:
        url: where from.
        path: where to.
        timeout: seconds without a sign of life after which to give up.

    Raises:
        OSError: no connection, refused, not found, cut off, or the digest differs.
    """
    _LOG.info("downloading %s to %s", url, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            found = _copy(url, file, timeout)
        promised = re.search(r"-([0-9a-f]{8,})\.", path.name)
        if promised and not found.startswith(promised[1]):
            raise OSError(f"its SHA-256 is {found[:16]}…, expected {promised[1]}…")
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def obtain(choices: Mapping[str, Path], *, weights: str, model: str) -> Path:
    """Return the first of the files that is here, else download the first that can be had.

    Args:
        choices: for each address the file it would become.
        weights: their name, for messages.
        model: the network's name, for messages.

    Raises:
        ModelError: none is here and none could be downloaded.
    """
    for path in choices.values():
        if path.is_file():
            return path
    for url, path in choices.items():
        try:
            fetch(url, path)
        except (OSError, HTTPException) as error:
            failed, reason = (url, path), error
            if not _is_absent(error):
                break
        else:
            return path
    url, path = failed
    raise ModelError(
        f"weights {weights} of {model} are not on this machine and cannot be downloaded from {url} "
        f"({' '.join(str(reason).split()) or type(reason).__name__}). "
        f"Put the file at {path}, give weights=FILE or weights=None (random), "
        "or use the embedded network 'efficientnet_lite0', which needs no download."
    ) from reason


def _is_absent(error: Exception) -> bool:
    """Whether a server was reached that has no such file; another address may be tried then."""
    if not isinstance(error, HTTPError):
        return False
    error.close()
    return error.code == 404


class _WithoutInitialization(TorchFunctionMode):
    """Skips the random fill of new parameters: two seconds for vgg16, for nothing: weights follow."""

    _FILLS = frozenset({"uniform_", "normal_", "trunc_normal_"})

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        if getattr(func, "__name__", "") in self._FILLS:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def construction(*, random: bool, seed: int = 0) -> Iterator[None]:
    """Build a network without a trace in the global random state.

    Args:
        random: whether the random weights will be used; if not they are left unset, which is faster.
        seed: of the random weights.
    """
    with torch.random.fork_rng(devices=[]), torch.device("cpu"), contextlib.ExitStack() as stack:
        torch.manual_seed(seed)
        if not random:
            stack.enter_context(_WithoutInitialization())
        yield


def _copy(url: str, file: IO[bytes], timeout: float) -> str:
    digest, size = hashlib.sha256(), 0
    request = Request(url, headers={"User-Agent": "convscope"})  # noqa: S310 - from the libraries' own tables
    with urlopen(request, timeout=timeout) as answer:  # noqa: S310 - as above
        promised = answer.headers.get("Content-Length")
        while block := answer.read(1 << 20):
            digest.update(block)
            size += len(block)
            file.write(block)
    if promised is not None and size != int(promised):
        raise OSError(f"cut off after {size} of {promised} bytes")
    return digest.hexdigest()


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    from safetensors import SafetensorError  # noqa: PLC0415 - only for such files
    from safetensors.torch import load_file  # noqa: PLC0415

    try:
        loaded: Mapping[str, Any] = load_file(path, device="cpu")
    except (SafetensorError, OSError) as error:
        raise ModelError(f"weights {str(path)!r}: not a safetensors file, or damaged ({error}).") from error
    return loaded


def _read_torch(path: Path) -> object:
    harmless: list[Any] = [
        argparse.Namespace,
        np.float64(0).__reduce__()[0],
        np.dtype,
        type(np.dtype("float64")),
    ]
    try:
        with torch.serialization.safe_globals(harmless):
            loaded: object = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # an unpickler that is fed a strange file can raise anything
        text = str(error)
        if foreign := re.search(r"GLOBAL ([\w.]+)", text):
            raise ModelError(
                f"weights {str(path)!r} hold a pickled Python object ({foreign[1]}), and convscope never "
                "runs code from a file. Save the weights alone: torch.save(model.state_dict(), FILE)."
            ) from error
        if "TorchScript" in text:
            raise ModelError(
                f"weights {str(path)!r} are a TorchScript archive, which hides its layers. "
                "Save the weights alone: torch.save(model.state_dict(), FILE)."
            ) from error
        unpickler = re.search(r"WeightsUnpickler error:\s*(.+)", text)
        told = unpickler[1] if unpickler else text.strip().split("\n")[0]
        reason = f"{type(error).__name__}: {told}"[:120]
        raise ModelError(f"weights {str(path)!r}: not a PyTorch weights file, or damaged ({reason}).") from error
    return loaded


def _unnest(loaded: object, path: Path) -> tuple[StateDict, tuple[str, ...]]:
    if isinstance(loaded, Mapping):
        for key in _NESTS:
            if isinstance(loaded.get(key), Mapping):
                state, inner = _unnest(loaded[key], path)
                return state, (key, *inner)
        if loaded and all(isinstance(value, Tensor) for value in loaded.values()):
            return loaded, ()
        if tensors := {k: v for k, v in loaded.items() if isinstance(k, str) and isinstance(v, Tensor)}:
            return tensors, ()
        raise ModelError(
            f"weights {str(path)!r} hold no tensors by name, only {_few([str(key) for key in loaded])}. "
            "Expected a state dict."
        )
    raise ModelError(f"weights {str(path)!r} hold a {type(loaded).__name__}, expected a state dict (names to tensors).")


def _wrong_shapes(state: StateDict, module: nn.Module) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    own = module.state_dict()
    return {
        name: (tuple(state[name].shape), tuple(value.shape))
        for name, value in own.items()
        if name in state and state[name].shape != value.shape
    }


def _with_versions(state: StateDict, module: nn.Module) -> StateDict:
    """Give a plain dict the layer versions that ``torch.save`` keeps, or layers take it for one of 2017."""
    if getattr(state, "_metadata", None) is not None:
        return state
    copy = OrderedDict(state)
    # PyTorch has no public name for it.
    setattr(copy, "_metadata", getattr(module.state_dict(), "_metadata", None))  # noqa: B010 - OrderedDict lacks it for mypy
    return copy


def _rounded(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or tensor.is_quantized


def _absent(names: Mapping[str, Any], among: Mapping[str, Any]) -> list[str]:
    return [name for name in names if name not in among and not name.endswith("num_batches_tracked")]


def _mismatch(file: str, name: str, missing: list[str], unexpected: list[str], wrong: list[str]) -> str:
    parts = [
        f"{len(items)} {what} ({_few(items, '; ' if items is wrong else ', ')})"
        for items, what in ((missing, "missing"), (unexpected, "unexpected"), (wrong, "of another shape"))
        if items
    ]
    return f"weights {file} do not fit {name}: {', '.join(parts)}. Is it the right architecture?"


def _few(items: list[str], separator: str = ", ", count: int = 3) -> str:
    return separator.join(items[:count]) + (f"{separator}…" if len(items) > count else "")
