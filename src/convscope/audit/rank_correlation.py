"""Spearman's rank correlation of maps."""

import torch
from torch import Tensor

from convscope.shapes import Maps, Scores


def rank_correlation(first: Maps, second: Maps) -> Scores:
    """Correlate two batches of maps by rank: (n, h, w) twice to (n,), each in [−1, 1].

    Ties take their mean rank, since rectified maps are flat over large areas. A constant map has no ranks: 0.
    """
    a, b = (_centered_ranks(maps.flatten(1)) for maps in (first, second))
    scale = a.norm(dim=1) * b.norm(dim=1)
    return torch.where(scale == 0, 0, (a * b).sum(dim=1) / torch.where(scale == 0, 1, scale))


def _centered_ranks(values: Tensor) -> Tensor:
    return torch.stack([_mean_ranks(row) for row in values.double()])


def _mean_ranks(row: Tensor) -> Tensor:
    _, place, counts = torch.unique(row, sorted=True, return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    middle = last - (counts - 1) / 2
    ranks: Tensor = middle[place] - (len(row) + 1) / 2
    return ranks
