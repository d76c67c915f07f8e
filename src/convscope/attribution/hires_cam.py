"""HiResCAM: activations weighed by the gradient position by position."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convscope.attribution.cam import CamOptions, Layers, Upsampling, gradient_cam
from convscope.attribution.contract import AttributionMethod, Raw
from convscope.model import Model
from convscope.probe import BatchTarget
from convscope.results import Reduction
from convscope.shapes import Images


@dataclass(frozen=True)
class HiResCAM(AttributionMethod):
    """HiResCAM (Draelos and Carin 2020, arXiv:2011.08891, equation 4).

    map = max(Σ_c ∂ target / ∂ A_c ⊙ A_c, 0). Without rectification, and where only linear layers follow, it adds up to
    the score minus the bias.

    Attributes:
        layer: address of the layer, several to be fused, or None for the last one with positions.
        rectify: keep only positive evidence.
        upsampling: "aligned" to receptive-field centers, or "corners".
    """

    name: ClassVar[str] = "hires_cam"
    layer: Layers = None
    rectify: bool = True
    upsampling: Upsampling = "aligned"

    @property
    def reduces(self) -> Reduction:
        """One channel; signed unless rectified."""
        return "max_abs" if self.rectify else "sum"

    def compute(self, model: Model, images: Images, question: BatchTarget, generator: torch.Generator) -> Raw:
        """Compute raw maps: one forward pass and the backward pass of the tail."""
        del generator
        options = CamOptions(self.layer, self.rectify, self.upsampling)
        return gradient_cam(model, images, question, options, combine)


def combine(activation: Tensor, gradient: Tensor) -> Tensor:
    """Σ_c G_c A_c, position by position."""
    return (gradient * activation).sum(dim=1)
