"""What the numbers of a `Trust` mean, in plain words, and from where on they are doubtful."""

import math
from dataclasses import dataclass

from convscope.plot.words import correlation, percent
from convscope.results import Trust

# The thresholds, all in one place.
#
# Completeness: Sundararajan et al. 2017 (arXiv:1703.01365, section 5) ask for enough steps that the attributions
# add up to within 5 %.
MAX_COMPLETENESS_ERROR = 0.05
# Edges: a rank correlation of 0.5 means that an edge detector, which knows nothing of the network, already
# predicts a quarter (ρ²) of the map's order.
MAX_EDGE_SIMILARITY = 0.5
# Randomization: Adebayo et al. 2018 (arXiv:1810.03292) find that maps which do explain the answer lose their rank
# correlation when the weights are randomized, and that guided backpropagation keeps it. The same 0.5 as for
# edges: a map that a network with a random last layer predicts to a quarter is not about this answer alone.
MAX_RANDOMIZATION_SIMILARITY = 0.5


@dataclass(frozen=True)
class Verdict:
    """One check of one map.

    Attributes:
        good: whether the number is on the good side of its threshold.
        words: the finding, short enough for the line under a map.
        value: the number as text.
        meaning: what was measured, and the threshold, in a sentence or two.
    """

    good: bool
    words: str
    value: str
    meaning: str

    @property
    def mark(self) -> str:
        """A sign that does not depend on color."""
        return "✓" if self.good else "?"


def verdicts(trust: Trust) -> tuple[Verdict, ...]:
    """Judge each number that a trust has."""
    checks = [_edges(trust.edge_similarity)]
    if trust.completeness_error is not None:
        checks.insert(0, _completeness(trust.completeness_error))
    if trust.randomization_similarity is not None:
        checks.append(_randomization(trust.randomization_similarity))
    return tuple(checks)


def _completeness(error: float) -> Verdict:
    good = error <= MAX_COMPLETENESS_ERROR
    return Verdict(
        good,
        _finding(error, good, "adds up", "does not add up"),
        f"error {percent(error)}",
        "This method promises that its map sums to the score minus the baseline's score. The error is the part of "
        f"that difference that is missing or too much; up to {percent(MAX_COMPLETENESS_ERROR)} counts as good "
        "(Sundararajan et al. 2017).",
    )


def _edges(similarity: float) -> Verdict:
    good = similarity <= MAX_EDGE_SIMILARITY
    return Verdict(
        good,
        _finding(similarity, good, "more than edges", "looks like edges"),
        f"ρ {correlation(similarity)}",
        "Rank correlation of the map's strength with an edge detector that knows nothing of the network. Above "
        f"{correlation(MAX_EDGE_SIMILARITY)} the map may show the picture's outlines more than the network's reasons.",
    )


def _randomization(similarity: float) -> Verdict:
    good = similarity <= MAX_RANDOMIZATION_SIMILARITY
    return Verdict(
        good,
        _finding(similarity, good, "changes with the answer", "hardly changes"),
        correlation(1 - similarity),
        "The map was made again with random weights in the layer that decides. The change is 1 minus the rank "
        "correlation of the two maps' strengths: 0 is the same map, 1 an unrelated one. Below "
        f"{correlation(1 - MAX_RANDOMIZATION_SIMILARITY)} the map would look much the same for an untrained "
        "answer (Adebayo et al. 2018).",
    )


def _finding(value: float, good: bool, praise: str, doubt: str) -> str:
    if not math.isfinite(value):
        return "cannot be judged"
    return praise if good else doubt
