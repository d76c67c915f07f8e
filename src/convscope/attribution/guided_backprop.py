"""Guided backpropagation: a gradient that passes only positive signals back through active rectifiers."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from convscope.attribution.contract import AttributionMethod, Raw
from convscope.attribution.rectified import rectified_gradient
from convscope.model import Model
from convscope.probe import BatchTarget
from convscope.results import Reduction
from convscope.shapes import Images


@dataclass(frozen=True)
class GuidedBackprop(AttributionMethod):
    """Guided backpropagation (Springenberg et al. 2014, arXiv:1412.6806, figure 1).

    At every rectifier R_in = 1[x > 0] · max(R_out, 0), whatever its spelling; the result says how many calls were
    covered. Works from any target, hidden units included.

    Attributes:
        reduction: ``"max_abs"`` over channels.
    """

    name: ClassVar[str] = "guided_backprop"
    reduction: Reduction = "max_abs"

    @property
    def reduces(self) -> Reduction:
        """How the map makes one number per pixel."""
        return self.reduction

    def compute(self, model: Model, images: Images, question: BatchTarget, generator: torch.Generator) -> Raw:
        """Compute raw maps: one forward and one backward pass."""
        del generator
        return rectified_gradient(model, images, question, "guided")
