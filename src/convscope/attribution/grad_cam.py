"""Grad-CAM: channels weighed by the mean gradient of the target."""

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
class GradCAM(AttributionMethod):
    """Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391, equations 1 and 2).

    w_c = mean over positions of ∂ target / ∂ A_c; map = max(Σ_c w_c A_c, 0).

    Attributes:
        layer: address of the layer, several to be fused, or None for the last one with positions.
        rectify: keep only positive evidence.
        upsampling: "aligned" to receptive-field centers, or "corners".
    """

    name: ClassVar[str] = "grad_cam"
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
    """Σ_c mean(G_c) A_c."""
    return torch.einsum("nc,nchw->nhw", gradient.mean(dim=(2, 3)), activation)
