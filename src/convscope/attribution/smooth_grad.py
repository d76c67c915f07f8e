"""SmoothGrad: the average map over noisy copies of the picture."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch

from convscope.attribution.contract import AttributionMethod, Raw
from convscope.attribution.gradient import Gradient
from convscope.attribution.noisy_copies import check_noise, noisy_maps
from convscope.model import Model
from convscope.probe import BatchTarget, score
from convscope.results import Reduction
from convscope.shapes import Images


@dataclass(frozen=True)
class SmoothGrad(AttributionMethod):
    """SmoothGrad (Smilkov et al. 2017, arXiv:1706.03825, equation in section 3) around any method.

    values = mean over ``samples`` of M(x + N(0, σ²)), where σ is ``sigma`` times the picture's own range (max − min),
    as in the paper. Maps are averaged before channels are reduced, so opposite signs cancel.

    Attributes:
        method: what is averaged.
        samples: noisy copies; the paper finds 50 enough.
        sigma: noise level as a part of the picture's range; the paper takes 0.1 to 0.2.
        batch: pictures per pass; by default what fits 1 GiB of activations.
    """

    name: ClassVar[str] = "smooth_grad"
    method: AttributionMethod = field(default_factory=Gradient)
    samples: int = 50
    sigma: float = 0.15
    batch: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_noise(self.name, self.samples, self.sigma, self.batch)

    @property
    def reduces(self) -> Reduction:
        """As the method that is averaged."""
        return self.method.reduces

    def compute(self, model: Model, images: Images, question: BatchTarget, generator: torch.Generator) -> Raw:
        """Compute raw maps: ``samples`` runs of the method for each image, and one forward pass."""
        scores = score(model, images, question)
        totals: dict[int, torch.Tensor] = {}
        copies = noisy_maps(
            self.method,
            model,
            images,
            question,
            generator,
            samples=self.samples,
            sigma=self.sigma,
            batch=self.batch,
        )
        for copy in copies:
            totals[copy.image] = totals.get(copy.image, 0) + copy.values.sum(dim=0)
        average = torch.stack(list(totals.values())) / self.samples
        return Raw(average, scores, layers=copy.raw.layers, facts=copy.facts)
