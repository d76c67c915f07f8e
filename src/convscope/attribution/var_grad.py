"""VarGrad: how much the map varies over noisy copies of the picture."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch

from convscope.attribution.contract import AttributionMethod, Raw
from convscope.attribution.gradient import Gradient
from convscope.attribution.noisy_copies import check_noise, noisy_maps
from convscope.errors import MethodError
from convscope.model import Model
from convscope.probe import BatchTarget, score
from convscope.results import Reduction
from convscope.shapes import Images


@dataclass(frozen=True)
class VarGrad(AttributionMethod):
    """VarGrad (Adebayo et al. 2018, arXiv:1810.03292, section 2; Seo et al. 2018, arXiv:1806.03000) around any method.

    values = unbiased variance over ``samples`` of M(x + N(0, σ²)); never negative, in squared units of the method.

    Attributes:
        method: whose variance is taken.
        samples: noisy copies, at least 2.
        sigma: noise level as a part of the picture's range.
        batch: pictures per pass; by default what fits 1 GiB of activations.
    """

    name: ClassVar[str] = "var_grad"
    method: AttributionMethod = field(default_factory=Gradient)
    samples: int = 50
    sigma: float = 0.15
    batch: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_noise(self.name, self.samples, self.sigma, self.batch)
        if self.samples < 2:
            raise MethodError(f"var_grad needs at least 2 samples for a variance, got {self.samples}.")

    @property
    def reduces(self) -> Reduction:
        """Variances are added up over channels."""
        return "abs_sum"

    def compute(self, model: Model, images: Images, question: BatchTarget, generator: torch.Generator) -> Raw:
        """Compute raw maps: ``samples`` runs of the method for each image, and one forward pass."""
        scores = score(model, images, question)
        counts: dict[int, int] = {}
        means: dict[int, torch.Tensor] = {}
        squares: dict[int, torch.Tensor] = {}
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
            # Chunks are merged by Chan's update: sums of squares would cancel where the mean is large.
            index, values = copy.image, copy.values
            chunk, mean = len(values), values.mean(dim=0)
            square = (values - mean).square().sum(dim=0)
            count = counts.get(index, 0)
            delta = mean - means.get(index, torch.zeros_like(mean))
            means[index] = means.get(index, 0) + delta * chunk / (count + chunk)
            squares[index] = squares.get(index, 0) + square + delta.square() * count * chunk / (count + chunk)
            counts[index] = count + chunk
        variance = torch.stack(list(squares.values())) / (self.samples - 1)
        facts = {**copy.facts, "unit": f"({copy.facts.get('unit', 'target')})²"}
        return Raw(variance, scores, layers=copy.raw.layers, facts=facts)
