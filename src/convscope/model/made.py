"""How a result was made: the provenance that every action writes the same way."""

import platform
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

import torch

from convscope.model.model import Model
from convscope.results import Provenance


def made(
    model: Model,
    action: str,
    *,
    started: float,
    method: str = "",
    targets: tuple[str, ...] = (),
    seed: int = 0,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> Provenance:
    """State how a result of this network was made, now.

    Args:
        model: that was looked into.
        action: the function, such as ``"filters"``.
        started: what ``time.perf_counter()`` said when the work began.
        method: in its one-line spelling, where there is a choice of methods.
        targets: one per image, resolved.
        seed: of every random draw.
        options: what the action was given.
    """
    return Provenance(
        action=action,
        method=method,
        model=model.name,
        origin=model.spec.origin,
        weights_digest=model.digest,
        targets=targets,
        seed=seed,
        device=str(model.device),
        dtype=str(model.dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        versions=_versions(),
        seconds=time.perf_counter() - started,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        options={**options, "weights": model.spec.weights},
    )


@cache
def _versions() -> Mapping[str, str]:
    """Looked up once: reading a package's metadata takes longer than some layers."""
    return {
        "convscope": version("convscope"),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }
