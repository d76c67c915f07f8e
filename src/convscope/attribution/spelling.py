"""One line for a method and all its parameters: in titles, in provenance, on the command line.

``smooth_grad(integrated_gradients(steps=20), samples=10)``: names of ``METHODS``, keyword arguments, literals.
``convscope.attribution.parsing`` reads it back.
"""

import hashlib
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Named(Protocol):
    """A dataclass of parameters with the name that ``METHODS`` knows it by."""

    @property
    def name(self) -> str:
        """As in ``METHODS``."""
        ...

    @property
    def compute(self) -> Callable[..., object]:
        """What makes it a method."""
        ...


def spell(method: Named) -> str:
    """Write a method with every parameter that differs from its default; an inner method comes first, unnamed."""
    parts = []
    for parameter in fields(method):  # type: ignore[arg-type]
        value = getattr(method, parameter.name)
        default = parameter.default_factory() if parameter.default_factory is not MISSING else parameter.default
        if isinstance(value, Tensor):
            digest = hashlib.sha256(value.detach().cpu().contiguous().numpy().tobytes()).hexdigest()[:12]
            parts.append(f"{parameter.name}='tensor {tuple(value.shape)} {digest}'")
        elif value != default:
            parts.append(spell(value) if isinstance(value, Named) else f"{parameter.name}={value!r}")
    return f"{method.name}({', '.join(parts)})" if parts else method.name
