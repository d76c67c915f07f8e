"""Many forward and backward passes in chunks that fit: what path and sampling methods share."""

import math
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from convscope.model import Model
from convscope.probe import layout
from convscope.shapes import Images

BUDGET = 1 << 30
"""Bytes of activations that one chunk may keep for its backward pass, by default."""

LARGEST = 16
"""Pictures per chunk beyond which nothing gets faster: on a CPU the caches run over, on a GPU it is full enough."""


def chunk_size(model: Model, images: Images, batch: int | None) -> int:
    """Pictures per pass: what the caller says, or as many as fit the budget.

    A backward pass keeps about every layer's output once, so their sizes for one picture, scaled to this one's area,
    are what a picture costs.
    """
    if batch is not None:
        return batch
    height, width = model.spec.preprocessing.size
    area = images.shape[2] * images.shape[3] / (height * width)
    elements = sum(math.prod(call.shape) for call in layout(model).calls if call.shape)
    return int(min(LARGEST, max(1, BUDGET // max(1.0, elements * area * 4))))


def chunks(total: int, size: int) -> Iterator[range]:
    """Split ``range(total)`` into near-equal consecutive ranges of at most ``size``."""
    count = math.ceil(total / size)
    edges = [total * index // count for index in range(count + 1)]
    return (range(first, last) for first, last in pairwise(edges))


def on_path(start: Tensor, end: Tensor, positions: Tensor) -> Tensor:
    """Points start + t · (end − start) for each t: (c, h, w) twice and (m,) to (m, c, h, w)."""
    return torch.lerp(start[None], end[None], positions.to(start).view(-1, 1, 1, 1))
