"""A frozen network together with what is needed to feed it and to read its answers."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from convscope.errors import ModelError
from convscope.model.spec import ModelSpec
from convscope.shapes import Images


class Model:
    """One network with its own preprocessing, class names and device.

    The module stays the caller's: convscope never changes it outside a ``with`` block and puts everything back.
    Everything outside this class sees float (n, c, h, w) images in [0, 1].

    Attributes:
        module: the network as a plain ``nn.Module`` (``DataParallel`` and ``torch.compile`` wrappers taken off).
        spec: name, origin, preprocessing and class names.
        notes: what a reader should know, such as which wrapper was taken off.
        memo: what the probe has learned about the network (layer calls, graph), kept so that it is learned once.
    """

    def __init__(self, module: nn.Module, spec: ModelSpec, notes: tuple[str, ...] = ()) -> None:
        self.module, unwrapped = unwrap(module)
        self.spec = spec
        self.notes = (*notes, *unwrapped)
        self.memo: dict[str, Any] = {}

    def __repr__(self) -> str:
        height, width = self.spec.preprocessing.size
        return f"Model({self.name}, {self.channels}×{height}×{width}, {self.device}, {self.spec.weights})"

    @property
    def name(self) -> str:
        """Short name of the network."""
        return self.spec.name

    @property
    def channels(self) -> int:
        """Number of input channels."""
        return self.spec.preprocessing.channels

    @property
    def device(self) -> torch.device:
        """Where the first parameter or buffer lives."""
        return self._anchor.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the first floating-point parameter or buffer."""
        return self._anchor.dtype

    @property
    def _anchor(self) -> Tensor:
        floating = (tensor for tensor in self.tensors() if tensor.is_floating_point())
        return next(floating, torch.empty(0))

    def tensors(self) -> Iterator[Tensor]:
        """All parameters and buffers, one module after the other, in one walk over the network."""
        for part in self.module.modules():
            for tensor in (*part._parameters.values(), *part._buffers.values()):  # noqa: SLF001 - half the time of the iterators
                if tensor is not None:
                    yield tensor

    @property
    def layers(self) -> Mapping[str, nn.Module]:
        """Every named module below the root, in definition order."""
        return {name: module for name, module in self.module.named_modules() if name}

    def has_layer(self, name: str) -> bool:
        """Whether a module of that dotted name exists; a walk along the name, not over the network."""
        try:
            return bool(name) and isinstance(self.module.get_submodule(name), nn.Module)
        except AttributeError:
            return False

    @property
    def digest(self) -> str:
        """SHA-256 over the names and values of all parameters and buffers, as they are now: its first 16 hex digits."""
        # Hashing half a gigabyte takes a while; torch counts the writes to each tensor, so unchanged weights are known.
        state = tuple((tensor.data_ptr(), tensor._version) for tensor in self.tensors())  # noqa: SLF001 - its only spelling
        if self.memo.get("digest", (None, ""))[0] != state:
            self.memo["digest"] = (state, digest(self.module))
        known: str = self.memo["digest"][1]
        return known

    def normalize(self, images: Images) -> Tensor:
        """Turn [0, 1] images into what the network expects: (x − mean) / std, in the network's dtype and device."""
        images = images.to(self.device, self.dtype)
        mean, std = self._statistics(images)
        return (images - mean) / std

    def denormalize(self, inputs: Tensor) -> Images:
        """Undo ``normalize`` exactly: x · std + mean."""
        mean, std = self._statistics(inputs)
        return inputs * std + mean

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        if like.ndim != 4 or like.shape[1] != self.channels:
            raise ModelError(
                f"{self.name} takes images of shape (n, {self.channels}, height, width), got {tuple(like.shape)}."
                + (" Add the batch dimension with images[None]." if like.ndim == 3 else "")
            )
        preprocessing = self.spec.preprocessing
        mean, std = (
            torch.tensor(v, dtype=like.dtype, device=like.device).view(1, -1, 1, 1)
            for v in (preprocessing.mean, preprocessing.std)
        )
        return mean, std


def digest(module: nn.Module) -> str:
    """SHA-256 over the names, shapes and values of all parameters and buffers: its first 16 hex digits."""
    state = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        if not isinstance(tensor, Tensor):
            continue
        values = tensor.detach().cpu().contiguous()
        state.update(f"{name}{tuple(values.shape)}{values.dtype}".encode())
        state.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return state.hexdigest()[:16]


def unwrap(module: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """Take off wrappers that replicate, compile or hide the network; scripted networks cannot be looked into."""
    notes: list[str] = []
    while True:
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            notes.append(f"{type(module).__name__} taken off: one replica is examined")
            module = module.module
        elif isinstance(inner := getattr(module, "_orig_mod", None), nn.Module):
            notes.append("torch.compile taken off: the original network is examined")
            module = inner
        elif isinstance(module, torch.jit.ScriptModule):
            raise ModelError(
                "a TorchScript network hides its layers. Give the original nn.Module, before torch.jit.script or trace."
            )
        else:
            return module, tuple(notes)
