"""The zero-trace guard: whatever happens inside the block, the caller's network is as before."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from convscope.errors import ModelError
from convscope.model import Model


@contextmanager
def untouched(model: Model) -> Iterator[None]:
    """Hold a network still for examination, and put everything back afterwards, also after an exception.

    Inside the block every module is in eval mode (so that images of a batch do not mix and running statistics stay),
    no parameter requires a gradient (so that a backward pass costs only what leads to the input), gradients can be
    taken although the caller may be in ``no_grad`` or ``inference_mode``, and random numbers that the network itself
    draws do not move the global generators.

    Raises:
        ModelError: the network was created under ``torch.inference_mode()``, so autograd can never use it.
    """
    modes = [part for part in model.module.modules() if part.training]
    tensors = list(model.tensors())
    trainable = [tensor for tensor in tensors if tensor.requires_grad]
    if any(tensor.is_inference() for tensor in tensors):
        raise ModelError(
            f"the parameters of {model.name} were created under torch.inference_mode(), which rules out gradients. "
            "Create or load the network outside of it."
        )
    devices = [model.device] if model.device.type == "cuda" else []
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=devices))
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
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
