"""The same network in another precision, as a copy."""

import copy

import torch

from convscope.errors import ModelError
from convscope.model.model import Model


def cast(model: Model, dtype: torch.dtype) -> Model:
    """Return the network in another floating-point precision; the original is not touched. Kept with the model.

    The copy stores its weights in channels-last order, in which low precision is fast on CPUs and GPUs.

    Raises:
        ModelError: not a floating-point type, or the module cannot be copied.
    """
    if dtype == model.dtype:
        return model
    if not dtype.is_floating_point:
        raise ModelError(
            f"a network runs in a floating-point type, got {dtype}. "
            "Choose torch.float32, torch.bfloat16 or torch.float64."
        )
    key = f"cast {dtype} {model.digest}"
    if key not in model.memo:
        try:
            module = copy.deepcopy(model.module)
        except (TypeError, RuntimeError) as error:
            raise ModelError(
                f"{model.name} cannot be copied to run in {dtype}: {error}. Load it in that type instead."
            ) from error
        module = module.to(dtype=dtype)
        if dtype == torch.bfloat16 and any(p.ndim == 4 for p in module.parameters()):
            module = module.to(memory_format=torch.channels_last)
        model.memo[key] = Model(module, model.spec, (*model.notes, f"copy in {dtype}"))
    copied: Model = model.memo[key]
    return copied
