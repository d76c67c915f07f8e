"""The trust card: numbers that travel with each map."""

from collections.abc import Sequence

import torch

from convscope.attribution import AttributionMethod
from convscope.audit.randomization import randomized_values
from convscope.audit.rank_correlation import rank_correlation
from convscope.image import edges, gaussian_blur
from convscope.model import Model
from convscope.probe import Target
from convscope.results import Attribution, Trust, reduce_channels

COARSE = 0.01
"""Blur before maps are compared with edges, as a part of the shorter side: about 2 pixels of 224. Maps that trace edges
do so within a pixel or two, which a comparison pixel by pixel would miss."""


def trust(
    method: AttributionMethod,
    model: Model,
    result: Attribution,
    *,
    targets: Sequence[str | Target] | None = None,
    randomize: bool = True,
) -> tuple[Trust, ...]:
    """Measure how far to believe each map of a result.

    Args:
        method: that made the result.
        model: that it was made on.
        result: the maps.
        targets: one per image, where their names do not say all (directions); by default those of the result.
        randomize: whether to run the method once more on the network with a random last layer, which takes as long as
            the first run.
    """
    size = result.maps.abs()
    sigma = COARSE * min(size.shape[1:])
    traced, sketched = (gaussian_blur(maps[:, None], sigma)[:, 0] for maps in (size, edges(result.images)))
    like_edges = rank_correlation(traced, sketched)
    same = None
    if randomize:
        other = reduce_channels(randomized_values(method, model, result, targets=targets), result.reduction).abs()
        same = rank_correlation(size, other)
    completeness = result.facts.get("completeness_error")
    return tuple(
        Trust(
            completeness_error=float(completeness[index]) if isinstance(completeness, Sequence) else None,
            edge_similarity=float(like_edges[index]),
            randomization_similarity=None if same is None else float(same[index]),
            notes=_notes(result, index),
        )
        for index in range(len(size))
    )


def _notes(result: Attribution, index: int) -> tuple[str, ...]:
    values = result.values[index]
    if not torch.isfinite(values).all():
        return ("the map has values that are not finite",)
    if not values.any():
        return ("the map is zero everywhere: nothing to see, and nothing was brightened up",)
    return ()
