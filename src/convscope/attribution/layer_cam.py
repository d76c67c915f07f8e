"""LayerCAM: activations weighed by their positive gradients, sharp also in early layers."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from convscope.attribution.gradient_cam import GradientCAM


@dataclass(frozen=True)
class LayerCAM(GradientCAM):
    """LayerCAM (Jiang et al. 2021, IEEE TIP 30, doi:10.1109/TIP.2021.3089943, equations 6 and 7).

    map = max(Σ_c max(∂ target / ∂ A_c, 0) ⊙ A_c, 0), position by position.
    """

    name: ClassVar[str] = "layer_cam"

    def combine(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """Σ_c max(G_c, 0) A_c, position by position."""
        return (gradient.clamp(min=0) * activation).sum(dim=1)
