"""Guided Grad-CAM: guided backpropagation where Grad-CAM sees the class."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from convscope.attribution.cam import Layers, Upsampling
from convscope.attribution.contract import AttributionMethod, Raw
from convscope.attribution.grad_cam import GradCAM
from convscope.attribution.guided_backprop import GuidedBackprop
from convscope.model import Model
from convscope.probe import BatchTarget
from convscope.results import Reduction
from convscope.shapes import Images


@dataclass(frozen=True)
class GuidedGradCAM(AttributionMethod):
    """Guided Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391, section 3.2).

    values = guided backpropagation ⊙ upsampled Grad-CAM, (n, c, h, w).

    Attributes:
        layer: of Grad-CAM.
        upsampling: of Grad-CAM.
        reduction: ``"max_abs"`` over channels.
    """

    name: ClassVar[str] = "guided_grad_cam"
    layer: Layers = None
    upsampling: Upsampling = "aligned"
    reduction: Reduction = "max_abs"

    @property
    def reduces(self) -> Reduction:
        """How the map makes one number per pixel."""
        return self.reduction

    def compute(self, model: Model, images: Images, question: BatchTarget, generator: torch.Generator) -> Raw:
        """Compute raw maps: two forward passes, one whole and one partial backward pass."""
        coarse = GradCAM(layer=self.layer, upsampling=self.upsampling).compute(model, images, question, generator)
        fine = GuidedBackprop().compute(model, images, question, generator)
        notes = [str(raw.facts["note"]) for raw in (coarse, fine) if "note" in raw.facts]
        return Raw(
            fine.values * coarse.values.to(fine.values),
            fine.scores,
            layers=coarse.layers,
            cells=coarse.cells,
            facts={
                **coarse.facts,
                **fine.facts,
                "unit": "guided gradient × Grad-CAM",
                **({"note": "; ".join(notes)} if notes else {}),
            },
        )
