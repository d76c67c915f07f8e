"""CAMs made of activations and gradients: one equation each."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from convscope.attribution.cam import CamOptions, Layers, Upsampling, gradient_cam
from convscope.attribution.contract import AttributionMethod, Raw
from convscope.model import Model
from convscope.probe import BatchTarget
from convscope.results import Reduction
from convscope.shapes import Images


@dataclass(frozen=True)
class GradientCAM(AttributionMethod):
    """Abstract: a class activation map that combines a layer's activations with the target's gradients.

    A method of this kind is its equation, ``combine``, and these parameters.

    Attributes:
        layer: address of the layer, several to be fused, or None for the last one with positions.
        rectify: keep only positive evidence.
        upsampling: "aligned" to receptive-field centers, or "corners".
    """

    layer: Layers = None
    rectify: bool = True
    upsampling: Upsampling = "aligned"

    @abstractmethod
    def combine(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """Make the map: activations and gradients (n, c, h, w) to (n, h, w), before rectification."""

    @property
    def reduces(self) -> Reduction:
        """One channel; signed unless rectified."""
        return "max_abs" if self.rectify else "sum"

    def compute(self, model: Model, images: Images, question: BatchTarget, generator: torch.Generator) -> Raw:
        """Compute raw maps: one forward pass and the backward pass of the tail."""
        del generator
        return gradient_cam(
            model, images, question, CamOptions(self.layer, self.rectify, self.upsampling), self.combine
        )
