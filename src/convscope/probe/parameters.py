"""Other parameters for the length of a block."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn

from convscope.model import Model


@contextmanager
def parameters_as(model: Model, values: Mapping[str, Tensor]) -> Iterator[None]:
    """Run the network with some parameters exchanged, then put the caller's own objects back.

    Nothing is copied or written: the module's entry points at another tensor inside the block.

    Args:
        model: inside an ``untouched`` block.
        values: by dotted path of the parameter, of its shape.
    """
    own: dict[str, nn.Parameter | None] = {}
    try:
        for path, value in values.items():
            holder, name = _holder(model, path)
            own[path] = holder._parameters[name]  # noqa: SLF001 - setattr would register a new parameter
            holder._parameters[name] = nn.Parameter(value, requires_grad=False)  # noqa: SLF001
        yield
    finally:
        for path, parameter in own.items():
            holder, name = _holder(model, path)
            holder._parameters[name] = parameter  # noqa: SLF001


def _holder(model: Model, path: str) -> tuple[nn.Module, str]:
    layer, _, name = path.rpartition(".")
    return model.module.get_submodule(layer), name
