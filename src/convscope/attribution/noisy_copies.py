"""Maps of noisy copies of each image, one at a time: what SmoothGrad and VarGrad share."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from convscope.attribution.contract import AttributionMethod, Raw
from convscope.attribution.path import chunk_size, chunks
from convscope.errors import MethodError
from convscope.model import Model
from convscope.probe import BatchTarget
from convscope.shapes import Images


class Copies(NamedTuple):
    """Maps of some noisy copies of one image."""

    image: int
    values: Tensor
    raw: Raw

    @property
    def facts(self) -> dict[str, Any]:
        """What holds for every copy alike; numbers of single copies say nothing about the average."""
        return {name: value for name, value in self.raw.facts.items() if isinstance(value, str)}


def check_noise(name: str, samples: int, sigma: float, batch: int | None) -> None:
    """Refuse a number of copies or a noise level that means nothing.

    Raises:
        MethodError: fewer than one copy, negative noise, or an empty batch.
    """
    if samples < 1 or sigma < 0 or (batch is not None and batch < 1):
        raise MethodError(
            f"{name} needs at least 1 sample, sigma of at least 0 and a batch of at least 1, "
            f"got samples={samples}, sigma={sigma}, batch={batch}."
        )


def noisy_maps(
    method: AttributionMethod,
    model: Model,
    images: Images,
    question: BatchTarget,
    generator: torch.Generator,
    *,
    samples: int,
    sigma: float,
    batch: int | None,
) -> Iterator[Copies]:
    """Explain ``samples`` copies of each image with Gaussian noise of ``sigma`` times the image's own range.

    Every image gets the same draws, one copy after the other, so that the answer depends neither on the other images of
    the batch nor on the chunks.
    """
    size = chunk_size(model, images, batch)
    noise_seed, inner_seed = torch.randint(2**62, (2,), generator=generator).tolist()
    for index, image in enumerate(images):
        spread = sigma * float(image.max() - image.min())
        part = question.part(index)
        draws = torch.Generator().manual_seed(noise_seed)
        for chunk in chunks(samples, size):
            noise = torch.stack([torch.randn(image.shape, generator=draws) for _ in chunk]).to(image)
            raw = method.compute(model, image + spread * noise, part, torch.Generator().manual_seed(inner_seed))
            yield Copies(index, raw.values.float(), raw)
