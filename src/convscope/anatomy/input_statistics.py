"""Whether the network is fed what it was trained on: batch norm remembers.

The first batch norm behind a convolution keeps the mean and variance that its input had in training. Real photographs,
preprocessed as the network's recipe says, must come out about the same. A forgotten mean and std, a std for another
scheme, or pixels in 0..255 show as a spread several times too wide or too narrow.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from convscope.image import SAMPLES, read, to_input
from convscope.model import Model
from convscope.probe import Graph, Step, untouched

_PHOTOGRAPHS = ("cat", "coffee", "astronaut", "rocket")
_TOLERANCE = 1.7
"""Largest factor by which the spread may differ. The embedded network measures 0.83 with its own recipe, 0.42
without mean and std, 1.85 with those of torchvision, 106 with pixels in 0..255."""
_SHIFT = 0.8
"""Largest shift. The embedded network measures 0.31 with its own recipe, 1.0 without the mean."""


@dataclass(frozen=True)
class Mismatch:
    """How far the network's first feature maps are from what they were in training.

    Attributes:
        layer: the first batch norm.
        spread: standard deviation on photographs by that of training, median over channels; about 1 where all is well.
        shift: |mean on photographs − mean in training| in standard deviations of training, median over channels.
    """

    layer: str
    spread: float
    shift: float


def compare_input(model: Model, traced: Graph) -> Mismatch | None:
    """Compare photographs with the memory of the first batch norm; None where they agree or nothing can be said.

    Nothing can be said of networks whose first convolution is not followed by a trained batch norm, or that take
    something other than gray or color pictures.
    """
    norm = _first_norm(traced)
    if norm is None or model.channels not in {1, 3}:
        return None
    inputs = norm.inputs
    buffers = dict(model.module.named_buffers())
    paths = [traced.state.get(name, "") for name in inputs[-2:]]
    if not all(path in buffers for path in paths):
        return None
    mean, variance = (buffers[path].detach().double().cpu() for path in paths)
    if not _trained(mean, variance):
        return None
    with untouched(model), torch.no_grad():
        pictures = model.normalize(_photographs(model, traced))
        maps = traced.evaluate(model, [inputs[0]], {traced.input: pictures})[inputs[0]].double().cpu()
    seen = maps.transpose(0, 1).flatten(1)
    alive = variance > 1e-4 * variance.median()
    spread = float((seen.var(dim=1)[alive] / variance[alive]).sqrt().median())
    shift = float(((seen.mean(dim=1) - mean)[alive].abs() / variance[alive].sqrt()).median())
    found = Mismatch(paths[0].rpartition(".")[0], spread, shift)
    return None if 1 / _TOLERANCE < spread < _TOLERANCE and shift < _SHIFT else found


def _first_norm(traced: Graph) -> Step | None:
    """The batch norm that reads the first convolution, if that convolution sees the input itself."""
    convolution = next((step for step in traced.steps if step.op == "conv2d"), None)
    if convolution is None:
        return None
    readers = [traced.by_name[name] for name in traced.users.get(convolution.name, [])]
    return next((step for step in readers if step.op == "batch_norm" and len(step.inputs) >= 3), None)


def _trained(mean: Tensor, variance: Tensor) -> bool:
    known = bool(torch.isfinite(mean).all()) and bool(torch.isfinite(variance).all())
    return known and bool(mean.any()) and bool(variance.median() > 0)


def _photographs(model: Model, traced: Graph) -> Tensor:
    how = model.spec.preprocessing
    names = _PHOTOGRAPHS if traced.dynamic else _PHOTOGRAPHS[: traced.batch]
    pictures = [
        to_input(
            read(f"sample:{name}", channels=model.channels), how.size, interpolation=how.interpolation, crop=how.crop
        )[0]
        for name in names
        if name in SAMPLES
    ]
    return torch.stack(pictures)
