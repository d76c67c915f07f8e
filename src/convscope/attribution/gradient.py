"""Saliency: how much each pixel, changed a little, would change the target."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from convscope.attribution.contract import PER_PIXEL, AttributionMethod, Raw
from convscope.model import Model
from convscope.probe import BatchTarget, input_gradient
from convscope.results import Reduction
from convscope.shapes import Images


@dataclass(frozen=True)
class Gradient(AttributionMethod):
    """Saliency map (Simonyan, Vedaldi and Zisserman 2013, arXiv:1312.6034, section 3).

    values = ∂ target / ∂ x, per unit of a [0, 1] pixel, (n, c, h, w).

    Attributes:
        reduction: ``"max_abs"`` is the paper's max over channels of |gradient|; ``"sum"`` keeps the sign.
    """

    name: ClassVar[str] = "gradient"
    reduction: Reduction = "max_abs"

    @property
    def reduces(self) -> Reduction:
        """How the map makes one number per pixel."""
        return self.reduction

    def compute(self, model: Model, images: Images, question: BatchTarget, generator: torch.Generator) -> Raw:
        """Compute raw maps: one forward and one backward pass."""
        del generator
        gradient, scores = input_gradient(model, images, question)
        return Raw(gradient, scores, facts={"unit": PER_PIXEL})
