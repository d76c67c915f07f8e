"""XGrad-CAM: channels weighed by their gradients at active positions."""

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
class XGradCAM(AttributionMethod):
    """XGrad-CAM (Fu et al. 2020, arXiv:2008.02312, equation 8).

    w_c = Σ_ij G_c A_c / Σ_ij A_c; map = max(Σ_c w_c A_c, 0). Channels whose activations add up to zero get no weight.

    Attributes:
        layer: address of the layer, several to be fused, or None for the last one with positions.
        rectify: keep only positive evidence.
        upsampling: "aligned" to receptive-field centers, or "corners".
    """

    name: ClassVar[str] = "xgrad_cam"
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
    """Σ_c (Σ G_c A_c / Σ A_c) A_c."""
    total = activation.sum(dim=(2, 3))
    weights = torch.where(total == 0, 0, (gradient * activation).sum(dim=(2, 3)) / torch.where(total == 0, 1, total))
    return torch.einsum("nc,nchw->nhw", weights, activation)
