"""XGrad-CAM: channels weighed by their gradients at active positions."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convscope.attribution.gradient_cam import GradientCAM


@dataclass(frozen=True)
class XGradCAM(GradientCAM):
    """XGrad-CAM (Fu et al. 2020, arXiv:2008.02312, equation 8).

    w_c = Σ_ij G_c A_c / Σ_ij A_c; map = max(Σ_c w_c A_c, 0). Channels whose activations add up to zero get no weight.
    """

    name: ClassVar[str] = "xgrad_cam"

    def combine(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """Σ_c (Σ G_c A_c / Σ A_c) A_c."""
        total = activation.sum(dim=(2, 3))
        weights = torch.where(
            total == 0, 0, (gradient * activation).sum(dim=(2, 3)) / torch.where(total == 0, 1, total)
        )
        return torch.einsum("nc,nchw->nhw", weights, activation)
