"""Contestants take turns, so that a machine that slows down slows all of them down."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Race:
    """Seconds per contestant: the median over rounds, and the median over rounds of the ratio to the first."""

    seconds: Mapping[Any, float]
    ratios: Mapping[Any, float]


def race(contestants: Mapping[Any, Callable[[], object]], *, rounds: int = 7, warm_up: int = 2) -> Race:
    """Run every contestant once per round, the first being the limit that the others are measured against."""
    for _ in range(warm_up):
        for run in contestants.values():
            run()
    times: dict[Any, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            started = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - started)
    first = next(iter(contestants))
    return Race(
        seconds={name: statistics.median(values) for name, values in times.items()},
        ratios={
            name: statistics.median(value / limit for value, limit in zip(values, times[first], strict=True))
            for name, values in times.items()
        },
    )
