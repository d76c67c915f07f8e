"""Which units of a layer are nearly the same."""

import torch
from torch import Tensor

from convscope.results import Twins

MOST = 20
"""Pairs that are named; all are counted."""


def twins_by_weights(weights: Tensor, groups: int, alike: float) -> tuple[tuple[Twins, ...], int]:
    """Compare units by the cosine of their weights, within each group: units of other groups read other inputs.

    Args:
        weights: (units, ...).
        groups: of the convolution.
        alike: smallest cosine of a pair.

    Returns:
        The most similar pairs and the number of all pairs.
    """
    flat = weights.reshape(groups, len(weights) // groups, -1)
    found: list[Twins] = []
    count = 0
    for index, group in enumerate(flat if flat.shape[1] > 1 else flat[:0]):
        pairs, number = twins_by_products(group @ group.T, alike, offset=index * flat.shape[1])
        found, count = sorted([*found, *pairs], key=lambda pair: -pair.cosine)[:MOST], count + number
    return tuple(found), count


def twins_by_products(products: Tensor, alike: float, *, offset: int = 0) -> tuple[tuple[Twins, ...], int]:
    """Compare units by the cosine of what they did, from the inner products of all pairs.

    Args:
        products: (units, units), symmetric.
        alike: smallest cosine of a pair.
        offset: index of the first unit.

    Returns:
        The most similar pairs and the number of all pairs. Units that are always zero have no twins.
    """
    length = products.diagonal().clamp(min=0).sqrt()
    cosine = products / (length[:, None] * length[None])
    first, second = torch.nonzero(torch.triu(cosine >= alike, diagonal=1), as_tuple=True)  # 0/0 is not alike
    values = cosine[first, second].clamp(max=1)
    best = values.argsort(descending=True, stable=True)[:MOST]
    pairs = tuple(Twins(int(first[i]) + offset, int(second[i]) + offset, float(values[i])) for i in best)
    return pairs, len(values)
