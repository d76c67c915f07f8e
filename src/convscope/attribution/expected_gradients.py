"""Expected Gradients: Integrated Gradients averaged over many baselines."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from convscope.attribution.baseline import baseline_images
from convscope.attribution.contract import AttributionMethod, Raw
from convscope.attribution.integrated_gradients import completeness
from convscope.attribution.path import chunk_size, chunks
from convscope.errors import MethodError
from convscope.model import Model
from convscope.probe import BatchTarget, input_gradient, score
from convscope.results import Reduction
from convscope.shapes import Images


@dataclass(frozen=True)
class ExpectedGradients(AttributionMethod):
    """Expected Gradients (Erion et al. 2021, arXiv:1906.10670, equation 3).

    values = E over baselines x′ and α ~ U(0, 1) of (x − x′) ⊙ ∂F(x′ + α (x − x′)) / ∂x, summing on average to
    F(x) − E F(x′). No single baseline decides which colors count as nothing.

    Differs from the paper: baselines are taken in turn and α is stratified (one draw from each of ``samples`` equal
    intervals, shuffled), which has the same expectation and less variance.

    Attributes:
        samples: gradient evaluations for each image.
        baselines: names as for Integrated Gradients, or a tensor (b, c, h, w) of pictures in [0, 1].
        reduction: ``"sum"`` over channels, signed.
        batch: pictures per pass; by default what fits 1 GiB of activations.
    """

    name: ClassVar[str] = "expected_gradients"
    completes: ClassVar[bool] = True
    samples: int = 100
    baselines: tuple[str, ...] | Tensor = ("black", "white", "mean", "blur", "noise")
    reduction: Reduction = "sum"
    batch: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples < 1 or len(self.baselines) == 0 or (self.batch is not None and self.batch < 1):
            raise MethodError(
                "expected_gradients needs at least 1 sample, 1 baseline and a batch of at least 1, "
                f"got samples={self.samples}, {len(self.baselines)} baselines, batch={self.batch}."
            )

    @property
    def reduces(self) -> Reduction:
        """How the map makes one number per pixel."""
        return self.reduction

    def compute(self, model: Model, images: Images, question: BatchTarget, generator: torch.Generator) -> Raw:
        """Compute raw maps: ``samples`` forward and backward passes for each image."""
        scores = score(model, images, question)
        starts = torch.stack(
            [baseline_images(model, images, kind, generator) for kind in self.baselines]
        )  # (b, n, c, h, w)
        size = chunk_size(model, images, self.batch)
        values = torch.zeros_like(images)
        used = torch.arange(self.samples) % len(starts)
        order = torch.randperm(self.samples, generator=generator)
        positions = ((order + torch.rand(self.samples, generator=generator)) / self.samples).to(images)
        for index, end in enumerate(images):
            part = question.part(index)
            for chunk in chunks(self.samples, size):
                rows = slice(chunk.start, chunk.stop)
                way = end - starts[used[rows], index]
                points = end - (1 - positions[rows].view(-1, 1, 1, 1)) * way
                gradient, _ = input_gradient(model, points, part)
                values[index] += (gradient.float().to(way) * way).sum(dim=0)
        weights = torch.bincount(used, minlength=len(starts)).to(scores.dtype) / self.samples
        each = torch.stack([score(model, start, question) for start in starts])
        mean_start = (weights.to(each)[:, None] * each).sum(dim=0)
        return Raw(values / self.samples, scores, facts=completeness(values / self.samples, scores, mean_start))
