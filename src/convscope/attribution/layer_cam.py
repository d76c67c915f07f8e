"""LayerCAM: activations weighed by their positive gradients, sharp also in early layers."""

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
class LayerCAM(AttributionMethod):
    """LayerCAM (Jiang et al. 2021, IEEE TIP 30, doi:10.1109/TIP.2021.3089943, equations 6 and 7).

    map = max(Σ_c max(∂ target / ∂ A_c, 0) ⊙ A_c, 0), position by position.

    Attributes:
        layer: address of the layer, several to be fused, or None for the last one with positions.
        rectify: keep only positive evidence.
        upsampling: "aligned" to receptive-field centers, or "corners".
    """

    name: ClassVar[str] = "layer_cam"
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
    """Σ_c max(G_c, 0) A_c, position by position."""
    return (gradient.clamp(min=0) * activation).sum(dim=1)
