"""HiResCAM: activations weighed by the gradient position by position."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from convscope.attribution.gradient_cam import GradientCAM


@dataclass(frozen=True)
class HiResCAM(GradientCAM):
    """HiResCAM (Draelos and Carin 2020, arXiv:2011.08891, equation 4).

    map = max(Σ_c ∂ target / ∂ A_c ⊙ A_c, 0). Without rectification, and where only linear layers follow, it adds up to
    the score minus the bias.
    """

    name: ClassVar[str] = "hires_cam"

    def combine(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """Σ_c G_c A_c, position by position."""
        return (gradient * activation).sum(dim=1)
