"""Finer-CAM: what sets a class apart from the classes it is most easily taken for."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch

from convscope.attribution.contract import AttributionMethod, Raw
from convscope.attribution.grad_cam import GradCAM
from convscope.errors import MethodError
from convscope.model import OUTPUT, Address, Model
from convscope.probe import BatchTarget, layout, observe, target
from convscope.results import Reduction
from convscope.shapes import Images


@dataclass(frozen=True)
class FinerCAM(AttributionMethod):
    """Class contrast after Finer-CAM (Zhang et al. 2025, arXiv:2501.11309, equation 5) around any method.

    The target becomes y_c − strength · mean of y_d over the ``references`` classes d whose logits are nearest to y_c,
    so that what the classes share cancels.

    Differs from the paper: one map of the mean margin instead of the mean of one rectified map per reference class.

    Attributes:
        method: what explains the margin.
        references: number of classes to compare with.
        strength: 0 is the plain method, 1 the full margin; the paper takes 0.6.
    """

    name: ClassVar[str] = "finer_cam"
    method: AttributionMethod = field(default_factory=GradCAM)
    references: int = 3
    strength: float = 0.6

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.references < 1 or self.strength < 0:
            raise MethodError(
                "finer_cam compares with at least 1 class and a strength of at least 0, "
                f"got references={self.references}, strength={self.strength}."
            )

    @property
    def reduces(self) -> Reduction:
        """As the method that explains the margin."""
        return self.method.reduces

    def compute(self, model: Model, images: Images, question: BatchTarget, generator: torch.Generator) -> Raw:
        """Compute raw maps: one forward pass and one run of the method.

        Raises:
            MethodError: the target is not a class, or the network has too few classes.
        """
        output = layout(model).tap(Address(OUTPUT), model)
        seen = observe(model, images, dict.fromkeys((*question.taps, output)))
        logits, scores = seen[output], question.read(seen)
        if logits.ndim != 2 or logits.shape[1] <= self.references:
            raise MethodError(
                f"finer_cam needs more than {self.references} classes, {model.name} has output "
                f"{tuple(logits.shape[1:])}."
            )
        margins, names = [], []
        for index, name in enumerate(_per_image(question, len(images))):
            chosen = _class_of(name)
            order = (logits[index] - logits[index, chosen]).abs().argsort(stable=True)
            others = [int(i) for i in order if int(i) != chosen][: self.references]
            rest = target(" + ".join(f"class:{i}" for i in others), model)
            margins.append(target(name, model) - self.strength / len(others) * rest)
            names.append(", ".join(model.spec.classes[i] if model.spec.classes else f"class {i}" for i in others))
        raw = self.method.compute(model, images, BatchTarget(model, margins), generator)
        return Raw(raw.values, scores, raw.layers, raw.cells, {**raw.facts, "compared_with": tuple(names)})


def _per_image(question: BatchTarget, count: int) -> tuple[str, ...]:
    return question.names if len(question.names) == count else question.names * count


def _class_of(name: str) -> int:
    number = name.removeprefix("class:")
    if not name.startswith("class:") or not number.isdigit():
        raise MethodError(f"finer_cam contrasts a class with others, got target {name!r}. Use a class target.")
    return int(number)
