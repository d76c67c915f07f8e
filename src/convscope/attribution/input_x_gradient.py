"""Input times gradient: what each pixel, as it is, contributes to a linearized target."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from convscope.attribution.contract import AttributionMethod, Raw
from convscope.model import Model
from convscope.probe import BatchTarget, input_gradient
from convscope.results import Reduction
from convscope.shapes import Images


@dataclass(frozen=True)
class InputXGradient(AttributionMethod):
    """Gradient · input (Shrikumar et al. 2016, arXiv:1605.01713).

    values = x ⊙ ∂ target / ∂ x with x in [0, 1], so black pixels get nothing; (n, c, h, w).

    Differs from the paper: the input is the picture in [0, 1], not the normalized tensor, so that "zero" means black
    and not the mean color of a data set.

    Attributes:
        reduction: ``"sum"`` over channels, signed.
    """

    name: ClassVar[str] = "input_x_gradient"
    reduction: Reduction = "sum"

    @property
    def reduces(self) -> Reduction:
        """How the map makes one number per pixel."""
        return self.reduction

    def compute(self, model: Model, images: Images, question: BatchTarget, generator: torch.Generator) -> Raw:
        """Compute raw maps: one forward and one backward pass."""
        del generator
        gradient, scores = input_gradient(model, images, question)
        return Raw(images.to(gradient) * gradient, scores)
