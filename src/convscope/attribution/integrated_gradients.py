"""Integrated Gradients: the average gradient on the way from a baseline to the picture, times the way."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from convscope.attribution.baseline import Baseline, baseline_images
from convscope.attribution.contract import AttributionMethod, Raw
from convscope.attribution.path import chunk_size, chunks, on_path
from convscope.errors import MethodError
from convscope.model import Model
from convscope.probe import BatchTarget, input_gradient, score
from convscope.results import Reduction
from convscope.shapes import Images


@dataclass(frozen=True)
class IntegratedGradients(AttributionMethod):
    """Integrated Gradients (Sundararajan, Taly and Yan 2017, arXiv:1703.01365, equations 1 and 3).

    values = (x − x′) ⊙ ∫₀¹ ∂F(x′ + α (x − x′)) / ∂x dα, summing to F(x) − F(x′) (completeness).
    The integral is taken by the midpoint rule, which never evaluates the end points. Its error falls with the square of
    ``steps`` where the network is smooth, and with ``steps`` where rectifiers switch on the way. The facts state the
    baseline's score and the relative completeness error for each image.

    Attributes:
        steps: points on the path; the paper takes 20 to 300.
        baseline: ``"black"`` (the paper's), ``"white"``, ``"mean"``, ``"blur"``, ``"noise"``, ``"image:PATH"``, or a
            tensor in [0, 1]. Pixels that equal the baseline get nothing, so black objects vanish against black.
        reduction: ``"sum"`` over channels, signed.
        batch: pictures per pass; by default what fits 1 GiB of activations. The answer does not depend on it.
    """

    name: ClassVar[str] = "integrated_gradients"
    completes: ClassVar[bool] = True
    steps: int = 50
    baseline: Baseline = "black"
    reduction: Reduction = "sum"
    batch: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1 or (self.batch is not None and self.batch < 1):
            raise MethodError(
                "integrated_gradients needs at least 1 step and a batch of at least 1, "
                f"got steps={self.steps}, batch={self.batch}."
            )

    @property
    def reduces(self) -> Reduction:
        """How the map makes one number per pixel."""
        return self.reduction

    def compute(self, model: Model, images: Images, question: BatchTarget, generator: torch.Generator) -> Raw:
        """Compute raw maps: ``steps`` forward and backward passes for each image, and two forward passes."""
        scores = score(model, images, question)
        starts = baseline_images(model, images, self.baseline, generator)
        size = chunk_size(model, images, self.batch)
        positions = (torch.arange(self.steps) + 0.5) / self.steps
        values = torch.zeros_like(images)
        for index, (start, end) in enumerate(zip(starts, images, strict=True)):
            part = question.part(index)
            for chunk in chunks(self.steps, size):
                gradient, _ = input_gradient(model, on_path(start, end, positions[chunk.start : chunk.stop]), part)
                values[index] += gradient.float().sum(dim=0).to(values.device)
        values = values / self.steps * (images - starts)
        start_scores = score(model, starts, question)
        return Raw(values, scores, facts=completeness(values, scores, start_scores))


def completeness(
    values: torch.Tensor, scores: torch.Tensor, start_scores: torch.Tensor
) -> dict[str, tuple[float, ...]]:
    """State how far the sum of a map is from the difference of scores it promises, relative to that difference."""
    promised = (scores - start_scores).cpu().double()
    error = (values.cpu().double().flatten(1).sum(dim=1) - promised).abs() / promised.abs().clamp(min=1e-12)
    return {"baseline_score": tuple(start_scores.tolist()), "completeness_error": tuple(error.tolist())}
