"""Eigen-CAM: the strongest common pattern of a layer, whatever the class."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convscope.attribution.cam import CamOptions, Layers, Upsampling, activation_cam
from convscope.attribution.contract import AttributionMethod, Raw
from convscope.model import Model
from convscope.probe import BatchTarget
from convscope.results import Reduction
from convscope.shapes import Images


@dataclass(frozen=True)
class EigenCAM(AttributionMethod):
    """Eigen-CAM (Muhammad and Yeasin 2020, arXiv:2008.00299, equations 1 to 3).

    map = A V₁, the activations of each position projected on the first right singular vector of the (positions ×
    channels) matrix, not centered. The target does not enter.

    Differs from the paper: a singular vector has no sign of its own; it is turned so that the map correlates
    positively with the mean activation, so the map never comes out inverted.

    Attributes:
        layer: address of the layer, several to be fused, or None for the last one with positions.
        rectify: keep only positive evidence.
        upsampling: "aligned" to receptive-field centers, or "corners".
    """

    name: ClassVar[str] = "eigen_cam"
    layer: Layers = None
    rectify: bool = True
    upsampling: Upsampling = "aligned"

    @property
    def reduces(self) -> Reduction:
        """One channel; signed unless rectified."""
        return "max_abs" if self.rectify else "sum"

    def compute(self, model: Model, images: Images, question: BatchTarget, generator: torch.Generator) -> Raw:
        """Compute raw maps: one forward pass and a small eigenproblem for each image."""
        del generator
        options = CamOptions(self.layer, self.rectify, self.upsampling)
        return activation_cam(model, images, question, options, combine)


def combine(activation: Tensor) -> Tensor:
    """Project on the first right singular vector."""
    # On the CPU, where there is always double precision. (n, positions, channels)
    matrix = activation.flatten(2).transpose(1, 2).cpu().double()
    # The smaller of the two Gram matrices: full SVDs of 56 × 56 maps take gigabytes.
    if matrix.shape[1] <= matrix.shape[2]:
        values, vectors = torch.linalg.eigh(matrix @ matrix.transpose(1, 2))
        projected = vectors[..., -1] * values[..., -1:].clamp(min=0).sqrt()
    else:
        _, vectors = torch.linalg.eigh(matrix.transpose(1, 2) @ matrix)
        projected = (matrix @ vectors[..., -1:]).squeeze(-1)
    mean = matrix.mean(dim=2)
    agreement = ((projected - projected.mean(dim=1, keepdim=True)) * (mean - mean.mean(dim=1, keepdim=True))).sum(dim=1)
    # Where the map is constant but for rounding, the correlation says nothing; then the plain product does.
    level = (projected * mean).sum(dim=1)
    sign = torch.sign(torch.where(agreement.abs() <= 1e-12 * level.abs(), level, agreement))
    cells: Tensor = (projected * sign[:, None]).unflatten(1, activation.shape[2:]).to(activation)
    return cells
