"""What the answers lose when single units are set to zero: only what follows the layer is computed again."""

from collections.abc import Sequence

import torch
from torch import Tensor

from convscope.anatomy.units import Units
from convscope.errors import MethodError
from convscope.model import Model, Progress
from convscope.probe import graph, resume_at, untouched
from convscope.results import Ablation
from convscope.shapes import Images

_BUDGET = 1 << 27
"""Bytes of variants of a layer's value that go through the rest of the network together."""


def ablate_units(
    model: Model, layers: Sequence[Units], images: Images, count: int, *, progress: Progress | None = None
) -> tuple[Ablation, ...]:
    """Set units to zero, one at a time, and see what becomes of the answer to each picture.

    Args:
        model: the network.
        layers: whose units.
        images: (n, c, h, w) in [0, 1].
        count: number of units per layer, spread evenly over its indices; all where it has fewer.
        progress: told how far it has come.

    Returns:
        One result per layer.

    Raises:
        MethodError: the network's graph is missing, or holds for one batch size only.
    """
    missing = next((units.layer for units in layers if units.value is None), None)
    if missing is not None or not graph(model).dynamic:
        raise MethodError(
            f"units of {model.name} cannot be ablated: torch.export gives no graph for any batch size. "
            "Leave ablate out."
        )
    chosen = [_spread(len(units.kernels.weights), count) for units in layers]
    change = [torch.zeros(len(units), dtype=torch.float64) for units in chosen]
    flips = [torch.zeros(len(units), dtype=torch.float64) for units in chosen]
    for number in range(len(images)):
        image = images[number : number + 1]
        values, logits = _clean(model, layers, image)
        answer = int(logits.argmax())
        for index, units in enumerate(layers):
            if progress:
                progress("ablation", number * len(layers) + index, len(images) * len(layers))
            variants = _answers(model, image, units, values[index], chosen[index])
            change[index] += (variants[:, answer] - logits[answer]).abs()
            flips[index] += variants.argmax(dim=1) != answer
    pictures = len(images)
    return tuple(
        Ablation(tuple(units), (moved / pictures).float(), (flipped / pictures).float(), pictures)
        for units, moved, flipped in zip(chosen, change, flips, strict=True)
    )


def _spread(units: int, count: int) -> list[int]:
    return list(range(units)) if units <= count else [i * units // count for i in range(count)]


def _clean(model: Model, layers: Sequence[Units], image: Images) -> tuple[list[Tensor], Tensor]:
    """The values of all layers and the logits (classes,) for one picture."""
    traced = graph(model)
    goals = [units.value for units in layers if units.value is not None]
    with untouched(model), torch.no_grad():
        values = traced.evaluate(model, [*goals, traced.output], {traced.input: model.normalize(image)})
    return [values[name] for name in goals], _flat(values[traced.output])[0]


def _answers(model: Model, image: Images, units: Units, value: Tensor, chosen: Sequence[int]) -> Tensor:
    """Logits with each of the chosen units set to zero: (units, classes), float64 on the CPU."""
    together = max(1, _BUDGET // (value.numel() * value.element_size()))
    answers = []
    for first in range(0, len(chosen), together):
        part = chosen[first : first + together]
        variants = value.repeat(len(part), *[1] * (value.ndim - 1))
        for row, unit in enumerate(part):
            variants[row].select(units.dim - 1, unit).zero_()
        answers.append(_flat(resume_at(model, image, units.value or "", variants)))
    return torch.cat(answers)


def _flat(logits: Tensor) -> Tensor:
    logits = logits.double().cpu()
    return logits.flatten(2).mean(dim=2) if logits.ndim > 2 else logits
