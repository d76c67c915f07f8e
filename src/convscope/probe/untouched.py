"""The zero-trace guard: whatever happens inside the block, the caller's network is as before."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from convscope.errors import ModelError
from convscope.model import Model


@contextmanager
def untouched(model: Model) -> Iterator[None]:
    """Hold a network still for examination, and put everything back afterwards, also after an exception.

    Inside the block every module is in eval mode (so that images of a batch do not mix and running statistics stay),
    no parameter requires a gradient (so that a backward pass costs only what leads to the input), gradients can be
    taken although the caller may be in ``no_grad`` or ``inference_mode``, the network computes in its own precision
    although the caller may be in ``autocast``, and random numbers that the network itself draws do not move the global
    generators. Buffers that the network changes in eval mode too (counters, own statistics) are put back.

    Raises:
        ModelError: the network was created under ``torch.inference_mode()``, so autograd can never use it.
    """
    parts = list(model.module.modules())  # walked once: it takes a while in deep networks
    modes = [part for part in parts if part.training]
    parameters = [tensor for part in parts for tensor in part._parameters.values() if tensor is not None]  # noqa: SLF001 - faster
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    buffers = [
        _Buffer(part, name, tensor)
        for part in parts
        for name, tensor in part._buffers.items()  # noqa: SLF001 - where they are kept, so that they can be put back
        if tensor is not None
    ]
    if any(tensor.is_inference() for tensor in (*parameters, *(buffer.tensor for buffer in buffers))):
        raise ModelError(
            f"the weights of {model.name} were created under torch.inference_mode(), which rules out gradients. "
            "Create, load or convert the network outside of it."
        )
    devices = [model.device] if model.device.type == "cuda" else []
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=devices))
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.autocast(model.device.type, enabled=False))
        try:
            for part in modes:
                part.training = False
            for parameter in trainable:
                parameter.requires_grad_(False)
            yield
        finally:
            for part in modes:
                part.training = True
            for parameter in trainable:
                parameter.requires_grad_(True)
            for buffer in buffers:
                buffer.restore()


class _Buffer:
    """One buffer as it was. Torch counts the writes to each tensor, so an unchanged one is known."""

    def __init__(self, owner: nn.Module, name: str, tensor: Tensor) -> None:
        self.owner, self.name, self.tensor = owner, name, tensor
        self.values = tensor.detach().clone()
        self.version = 0 if tensor.is_inference() else tensor._version  # noqa: SLF001 - its only spelling

    def restore(self) -> None:
        kept = self.owner._buffers  # noqa: SLF001 - setattr would run the module's own code
        if kept.get(self.name) is not self.tensor:
            kept[self.name] = self.tensor
        if self.tensor._version != self.version:  # noqa: SLF001 - its only spelling
            with torch.no_grad():
                self.tensor.copy_(self.values)
