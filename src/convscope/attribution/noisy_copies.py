"""Maps of noisy copies of each image, one at a time: what SmoothGrad and VarGrad share."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from convscope.attribution.method import AttributionMethod, Raw
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


def check_noise(name: str, samples: int, sigma: float, batch: int | None) -> None:
    """Refuse a number of copies or a noise level that means nothing.

    Raises:
        MethodError: fewer than one copy, negative noise, or an empty batch.
    """
    if samples < 1 or sigma < 0 or (batch is not None and batch < 1):
        raise MethodError(
            f"{name} needs at least 1 sample, sigma of at least 0 and a batch of at least 1, got samples={samples}, sigma={sigma}, batch={batch}."
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
    """Explain ``samples`` copies of each image with Gaussian noise of ``sigma`` times the image's own range."""
    size = chunk_size(model, images, batch)
    for index, image in enumerate(images):
        spread = sigma * float(image.max() - image.min())
        part = question.part(index)
        for chunk in chunks(samples, size):
            noise = torch.randn((len(chunk), *image.shape), generator=generator).to(image)
            raw = method.compute(model, image + spread * noise, part, generator)
            yield Copies(index, raw.values.float(), raw)
