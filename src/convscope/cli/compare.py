"""Whether two results are the same, array by array and bit by bit."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from convscope.results import Explanation


@dataclass(frozen=True)
class Difference:
    """Two arrays that are not the same.

    Attributes:
        what: which array.
        largest: largest absolute difference; infinite where the shapes differ or one has a NaN where the other has not.
        relative: the same by the largest value of the first.
    """

    what: str
    largest: float
    relative: float


def differences(before: "Explanation", after: "Explanation") -> tuple[Difference, ...]:
    """List the arrays in which two explanations by the same methods differ; none if they are the same bit for bit."""
    return tuple(
        difference
        for what, old, new in _pairs(before, after)
        if (difference := _difference(what, old, new)) is not None
    )


def _pairs(before: "Explanation", after: "Explanation") -> "Iterator[tuple[str, Tensor, Tensor]]":
    yield "pictures", before.images, after.images
    yield "answers", _answers(before), _answers(after)
    for old, new in zip(before.attributions, after.attributions, strict=True):
        yield f"{old.method}: map", old.values, new.values
        yield f"{old.method}: score", old.scores, new.scores
        if old.cells is not None and new.cells is not None:
            yield f"{old.method}: cells", old.cells, new.cells


def _answers(explanation: "Explanation") -> "Tensor":
    import torch  # noqa: PLC0415 - seconds to import

    rows = [[(a.index, a.logit, a.probability) for a in answers] for answers in explanation.answers]
    return torch.tensor(rows, dtype=torch.float64)


def _difference(what: str, old: "Tensor", new: "Tensor") -> Difference | None:
    import torch  # noqa: PLC0415 - seconds to import

    if old.shape == new.shape and torch.equal(old.contiguous().view(torch.uint8), new.contiguous().view(torch.uint8)):
        return None
    if old.shape != new.shape or not torch.equal(old.isnan(), new.isnan()):
        return Difference(what, float("inf"), float("inf"))
    largest = float((old.nan_to_num() - new.nan_to_num()).abs().max())
    return Difference(what, largest, largest / max(float(old.nan_to_num().abs().max()), 1e-300))
