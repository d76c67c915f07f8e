"""Grad-CAM: channels weighed by the mean gradient of the target."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convscope.attribution.gradient_cam import GradientCAM


@dataclass(frozen=True)
class GradCAM(GradientCAM):
    """Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391, equations 1 and 2).

    w_c = mean over positions of ∂ target / ∂ A_c; map = max(Σ_c w_c A_c, 0).
    """

    name: ClassVar[str] = "grad_cam"

    def combine(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """Σ_c mean(G_c) A_c."""
        return torch.einsum("nc,nchw->nhw", gradient.mean(dim=(2, 3)), activation)
