"""What units do on pictures, kept as running sums: memory does not grow with the number of pictures."""

from collections.abc import Sequence

import torch
from torch import Tensor

from convscope.anatomy.likeness import twins_by_products
from convscope.anatomy.units import Units
from convscope.results import UnitActivity

SATURATED = 0.9
"""Share of a unit's values at an end of its activation function from which it counts as saturated."""

FLAT = 1e-4
"""Where there is no rectifier: a unit whose range is below this part of the layer's median range is dead."""

_ROUNDING = 1e-6
"""Part of a unit's energy below which its variance is rounding."""


class UnitTally:
    """Running sums over the values of one layer's units."""

    def __init__(self, units: Units, classes: int) -> None:
        count = len(units.kernels.weights)
        self._units = units
        self._values = 0
        self._minimum = torch.full((count,), torch.inf)
        self._maximum = torch.full((count,), -torch.inf)
        self._sum, self._on, self._at_end = (torch.zeros(count, dtype=torch.float64) for _ in range(3))
        self._products = torch.zeros(count, count, dtype=torch.float64)
        self._class_sums = torch.zeros(classes, count, dtype=torch.float64)
        self._class_sizes = torch.zeros(classes, dtype=torch.float64)

    def add(self, values: Tensor, labels: Sequence[int | None]) -> None:
        """Add the values of a batch of pictures.

        Args:
            values: (n, ...), the layer's values with units along its own dimension.
            labels: index of each picture's class, None where it is not known; or nothing at all.
        """
        maps = values.float().cpu().movedim(self._units.dim, 1).unsqueeze(2).flatten(2)
        flat = maps.transpose(0, 1).flatten(1)
        self._values += flat.shape[1]
        low, high = flat.aminmax(dim=1)
        self._minimum, self._maximum = torch.minimum(self._minimum, low), torch.maximum(self._maximum, high)
        self._sum += flat.sum(dim=1, dtype=torch.float64)
        self._on += (flat > 0).sum(dim=1)
        first, last, near = self._units.ends
        if first is not None:
            self._at_end += (flat <= first + near).sum(dim=1)
        if last is not None:
            self._at_end += (flat >= last - near).sum(dim=1)
        self._products += flat @ flat.T
        for label, means in zip(labels, maps.mean(dim=2, dtype=torch.float64), strict=bool(labels)):
            if label is not None:
                self._class_sums[label] += means
                self._class_sizes[label] += 1

    def activity(self, alike: float) -> UnitActivity:
        """Sum up.

        Args:
            alike: cosine from which two units count as twins.
        """
        on, at_end = self._on / self._values, self._at_end / self._values
        has_ends = self._units.ends[:2] != (None, None)
        selectivity, preferred = self._selectivity()
        twins, pairs = twins_by_products(self._covariance(), alike)
        return UnitActivity(
            minimum=self._minimum,
            maximum=self._maximum,
            mean=(self._sum / self._values).float(),
            on=on.float(),
            at_end=at_end.float() if has_ends else None,
            selectivity=selectivity,
            preferred=preferred,
            dead=_indices(self._dead()),
            always_on=_indices(self._on == self._values) if self._units.rectified else (),
            saturated=_indices(at_end >= SATURATED) if has_ends else (),
            twins=twins,
            twin_pairs=pairs,
        )

    def _covariance(self) -> Tensor:
        """Inner products around the mean: units that are on everywhere would look alike by their means alone."""
        centered = self._products - torch.outer(self._sum, self._sum) / self._values
        varies = centered.diagonal() > _ROUNDING * self._products.diagonal()
        return centered * torch.outer(varies, varies)

    def _dead(self) -> Tensor:
        if self._units.rectified:
            return self._maximum <= 0
        spread = self._maximum - self._minimum
        return spread <= FLAT * spread.median()

    def _selectivity(self) -> tuple[Tensor | None, tuple[int, ...]]:
        present = self._class_sizes > 0
        if int(present.sum()) < 2 or not self._units.non_negative:
            return None, ()
        means = self._class_sums[present] / self._class_sizes[present, None]
        best, which = means.max(dim=0)
        rest = (means.sum(dim=0) - best) / (len(means) - 1)
        total = best + rest
        index = torch.nonzero(present)[:, 0]
        selectivity = torch.where(total > 0, (best - rest) / total.clamp(min=1e-300), 0.0)
        return selectivity.float(), tuple(index[which].tolist())


def _indices(mask: Tensor) -> tuple[int, ...]:
    return tuple(torch.nonzero(mask)[:, 0].tolist())
