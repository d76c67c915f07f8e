"""Grad-CAM++: positive gradients weighed so that every instance of a class counts."""

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
class GradCAMPlusPlus(AttributionMethod):
    """Grad-CAM++ (Chattopadhay et al. 2018, arXiv:1710.11063, equations 10 and 19).

    With the score passed through exp as in the paper, α = G² / (2 G² + (Σ_ij A) G³), 0 where G is 0;
    w_c = Σ_ij α max(G, 0); map = max(Σ_c w_c A_c, 0).

    Differs from the paper: the common positive factor exp(score) is left out of the weights; it scales a picture's
    whole map and overflows for large scores.

    Attributes:
        layer: address of the layer, several to be fused, or None for the last one with positions.
        rectify: keep only positive evidence.
        upsampling: "aligned" to receptive-field centers, or "corners".
    """

    name: ClassVar[str] = "grad_cam_plus_plus"
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
    """Σ_c (Σ α max(G_c, 0)) A_c."""
    # G² cancels: 1 / (2 + G Σ A) is finite where G is tiny, and 0 / 0 never arises.
    denominator = 2 + gradient * activation.sum(dim=(2, 3), keepdim=True)
    alpha = torch.where((gradient == 0) | (denominator == 0), 0, 1 / torch.where(denominator == 0, 1, denominator))
    weights = (alpha * gradient.clamp(min=0)).sum(dim=(2, 3))
    return torch.einsum("nc,nchw->nhw", weights, activation)
