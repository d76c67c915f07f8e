"""Which layers take no part in a forward pass: auxiliary heads, and what was forgotten."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from convscope.model import Model
from convscope.probe import layout, untouched


class _Handed(TorchFunctionMode):
    """Note which tensors are handed to any function of torch.

    Some layers use the parameters of others without calling them, as attention does with its projections, so that it is
    not enough to see which layers are called.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401 - torch's protocol
        self.ids.update(id(leaf) for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor))
        return func(*args, **(kwargs or {}))


def idle_layers(model: Model) -> tuple[str, ...]:
    """Name the outermost layers whose parameters are used by nothing in a forward pass; kept with the model."""
    if "idle" not in model.memo:
        model.memo["idle"] = tuple(_outermost(model))
    names: tuple[str, ...] = model.memo["idle"]
    return names


def _outermost(model: Model) -> Iterator[str]:
    gray = torch.full((1, model.channels, *model.spec.preprocessing.size), 0.5)
    with untouched(model), torch.no_grad():
        inputs = model.normalize(gray)
        with _Handed() as handed:
            model.module(inputs)
    called, found = layout(model).counts, ""
    for name, part in model.layers.items():
        if found and name.startswith(found):
            continue
        parameters = list(part.parameters())
        inside = (layer for layer in called if layer == name or layer.startswith(f"{name}."))
        if parameters and not any(inside) and not any(id(parameter) in handed.ids for parameter in parameters):
            found = f"{name}."
            yield name
