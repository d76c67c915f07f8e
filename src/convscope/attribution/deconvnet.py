"""Deconvnet: run a signal back through transposed convolutions, rectifying it on the way."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from convscope.attribution.contract import AttributionMethod, Raw
from convscope.attribution.rectified import rectified_gradient
from convscope.model import Model
from convscope.probe import BatchTarget
from convscope.results import Reduction
from convscope.shapes import Images


@dataclass(frozen=True)
class Deconvnet(AttributionMethod):
    """Deconvolutional network (Zeiler and Fergus 2014, arXiv:1311.2901, section 2.1).

    At every rectifier R_in = max(R_out, 0), ignoring what the forward pass did there; max pooling goes back through the
    forward pass' switches, convolutions through their transposes, batch norm through its scale. Works from any target.

    Attributes:
        reduction: ``"max_abs"`` over channels.
    """

    name: ClassVar[str] = "deconvnet"
    reduction: Reduction = "max_abs"

    @property
    def reduces(self) -> Reduction:
        """How the map makes one number per pixel."""
        return self.reduction

    def compute(self, model: Model, images: Images, question: BatchTarget, generator: torch.Generator) -> Raw:
        """Compute raw maps: one forward and one backward pass."""
        del generator
        return rectified_gradient(model, images, question, "deconvnet")
