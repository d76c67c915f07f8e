"""Grad-CAM++: positive gradients weighed so that every instance of a class counts."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convscope.attribution.gradient_cam import GradientCAM


@dataclass(frozen=True)
class GradCAMPlusPlus(GradientCAM):
    """Grad-CAM++ (Chattopadhay et al. 2018, arXiv:1710.11063, equations 10 and 19).

    With the score passed through exp as in the paper, α = G² / (2 G² + (Σ_ij A) G³), 0 where G is 0;
    w_c = Σ_ij α max(G, 0); map = max(Σ_c w_c A_c, 0).

    Differs from the paper: the common positive factor exp(score) is left out of the weights; it scales a picture's
    whole map and overflows for large scores.
    """

    name: ClassVar[str] = "grad_cam_plus_plus"

    def combine(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """Σ_c (Σ α max(G_c, 0)) A_c."""
        # G² cancels: 1 / (2 + G Σ A) is finite where G is tiny, and 0 / 0 never arises.
        denominator = 2 + gradient * activation.sum(dim=(2, 3), keepdim=True)
        alpha = torch.where((gradient == 0) | (denominator == 0), 0, 1 / torch.where(denominator == 0, 1, denominator))
        weights = (alpha * gradient.clamp(min=0)).sum(dim=(2, 3))
        return torch.einsum("nc,nchw->nhw", weights, activation)
