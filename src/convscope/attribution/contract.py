"""The contract of attribution methods: any target, a batch of images, heatmaps over the input.

A method is a frozen dataclass of its parameters with one function to write, ``compute``. Everything else (checking,
settling the target, guarding the network, timing, provenance) happens once, here.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from convscope.attribution.parameters import check_parameters
from convscope.attribution.spelling import spell
from convscope.errors import ImageError
from convscope.model import Model, cast, made
from convscope.probe import BatchTarget, TargetLike, batch_target, untouched
from convscope.results import Attribution, Provenance, Reduction
from convscope.shapes import Cells, ChannelMaps, Images, Scores

PER_PIXEL = "target per unit of a [0, 1] pixel"
"""The unit of a gradient by the picture; methods that state no other are in units of the target."""


@dataclass(frozen=True, eq=False)
class Raw:
    """What ``compute`` returns.

    Attributes:
        values: (n, k, h, w) at the input's resolution.
        scores: (n,), the target on the images themselves.
        layers: resolved addresses looked at.
        cells: (n, 1, rows, columns) before upsampling, for CAMs.
        facts: see ``Attribution.facts``.
    """

    values: ChannelMaps
    scores: Scores
    layers: tuple[str, ...] = ()
    cells: Cells | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


class AttributionMethod(ABC):
    """Base of all attribution methods. Subclasses are frozen dataclasses and are never subclassed themselves.

    Attributes:
        name: as in ``METHODS``, on the command line and in provenance.
        completes: whether the map promises to add up to a difference of scores.
    """

    name: ClassVar[str]
    completes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the parameters; subclasses that check more call this first.

        Raises:
            MethodError: a parameter is not what its annotation says.
        """
        check_parameters(self.name, self)

    @property
    @abstractmethod
    def reduces(self) -> Reduction:
        """How the map makes one number per pixel by default."""

    @abstractmethod
    def compute(self, model: Model, images: Images, question: BatchTarget, generator: torch.Generator) -> Raw:
        """Compute raw maps. The network is held still by the caller; images are float32 in [0, 1].

        Args:
            model: the network.
            images: (n, c, h, w), values in [0, 1], or a little outside where a wrapper added noise.
            question: the target of each image (or one for all).
            generator: for every random draw. Draws are the same for each image, whatever its place in the batch.
        """

    @property
    def signed(self) -> bool:
        """Whether the map's sign means something: for or against the target."""
        return self.reduces == "sum"

    @final
    def __call__(
        self,
        model: Model,
        images: Images,
        target: TargetLike = "class:top",
        *,
        seed: int = 0,
        dtype: torch.dtype | None = None,
    ) -> Attribution:
        """Explain a target on a batch of images.

        Args:
            model: from ``convscope.load``.
            images: (n, c, h, w), float, values in [0, 1], before normalization. Not changed.
            target: one for all images or one per image; see ``convscope.probe.target``.
            seed: of every random draw.
            dtype: run the network in another precision, such as ``torch.bfloat16``. The first image is also explained
                in the network's own precision, and the difference is stated in ``facts``.

        Raises:
            ImageError: images are not a float (n, c, h, w) batch in [0, 1].
            AddressError: the target or layer names nothing in this network.
            TargetError: the number of targets does not fit the number of images.
            MethodError: the method is not defined for this network or target.
            ModelError: the network does not run on these images.
        """
        _check(images, model)
        runner = model if dtype is None else cast(model, dtype)
        with untouched(runner):
            started = time.perf_counter()
            pictures = images.detach().clone().float()
            question = batch_target(runner, pictures, target)
            raw = self.compute(runner, pictures, question, torch.Generator().manual_seed(seed))
            names = question.names
            how = made(runner, "attribute", started=started, method=spell(self), targets=names, seed=seed)
            result = self._result(pictures, raw, how)
        if runner is model:
            return result
        with untouched(model):
            exact = self.compute(model, pictures[:1], question.part(0), torch.Generator().manual_seed(seed))
            return replace(result, facts={**result.facts, **_precision(result, exact)})

    def _result(self, images: Images, raw: Raw, provenance: Provenance) -> Attribution:
        return Attribution(
            images=images.cpu(),
            values=raw.values.detach().float().cpu(),
            reduction=self.reduces,
            signed=self.signed,
            scores=raw.scores.detach().float().cpu(),
            targets=provenance.targets,
            layers=raw.layers,
            cells=None if raw.cells is None else raw.cells.detach().float().cpu(),
            facts=raw.facts,
            provenance=provenance,
        )


def _check(images: Tensor, model: Model) -> None:
    if images.ndim != 4 or images.shape[1] != model.channels or not images.is_floating_point() or 0 in images.shape:
        raise ImageError(
            f"expected float images of shape (n, {model.channels}, height, width) in [0, 1], "
            f"got {images.dtype} {tuple(images.shape)}."
            + (" Add the batch dimension with images[None]." if images.ndim == 3 else "")
        )
    low, high = torch.aminmax(images.detach())
    if not (low >= -1e-4 and high <= 1 + 1e-4):
        raise ImageError(
            f"expected images in [0, 1], got values from {low.item():.3g} to {high.item():.3g}. "
            "Give pixels before normalization (convscope normalizes), divided by 255 where they are bytes."
        )


def _precision(result: Attribution, exact: Raw) -> dict[str, Any]:
    """Compare the first image's map with the same map in the network's own precision."""
    low, full = result.values[0], exact.values[0].detach().float().cpu()
    scale = full.abs().max().clamp(min=1e-12)
    joined = torch.stack([low.flatten(), full.flatten()])
    return {
        "precision_error": float((low - full).abs().max() / scale),
        "precision_correlation": float(torch.corrcoef(joined)[0, 1])
        if full.std() > 0 and low.std() > 0
        else float("nan"),
        "precision_score_error": float((result.scores[0] - exact.scores[0].float().cpu()).abs()),
    }
