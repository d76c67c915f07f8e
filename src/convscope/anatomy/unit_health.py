"""Unit health: dead, always-on, saturated and duplicate units, odd weights, sparsity, selectivity, what matters."""

import time
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from convscope.anatomy.likeness import twins_by_weights
from convscope.anatomy.unit_ablation import ablate_units
from convscope.anatomy.unit_tally import UnitTally
from convscope.anatomy.units import Units, find_units
from convscope.errors import ImageError, MethodError, ModelError
from convscope.image import find
from convscope.model import Model, Pictures, Progress, gather, made
from convscope.probe import graph, observe, untouched
from convscope.results import Ablation, Health, LayerHealth
from convscope.shapes import Images, Scores

OUTLYING = 3.5
"""Robust z-score above which a norm is an outlier (Iglewicz and Hoaglin 1993)."""

_FEWEST = 8
"""Units in a layer below which no norm is called an outlier."""

_BUDGET = 1 << 28
"""Bytes of activations that are held at once."""

_TOGETHER = 16

Labels = Sequence[str | None]


def unit_health(
    model: Model,
    pictures: Pictures | None = None,
    *,
    layers: str = "*",
    labels: Labels | None = None,
    ablate: int = 0,
    ablate_on: int = 8,
    alike: float = 0.95,
    progress: Progress | None = None,
) -> Health:
    """Examine the units of a network: what their weights are like, and what they do on pictures.

    Class selectivity after Morcos et al. 2018 (arXiv:1803.06959); outliers after Iglewicz and Hoaglin 1993. Pictures
    are read a few at a time and only sums are kept. ``UnitActivity``, ``LayerHealth`` and ``Ablation`` define every
    number.

    Args:
        model: from ``convscope.load``.
        pictures: files, folders, globs, ``sample:cat``, one or many; or a tensor (n, c, h, w) in [0, 1]. Without them
            only the weights are examined: no unit is called dead that was never asked.
        layers: address or glob of layers with weights, or of a block that holds some.
        labels: the class of each picture, in the order of the files found (``convscope.image.find``), None where it is
            not known. Needed for selectivity.
        ablate: number of units per layer to set to zero, one at a time, spread evenly over its indices; 0 for none.
        ablate_on: number of pictures to do that on, the first ones.
        alike: cosine from which two units count as twins.
        progress: told how far it has come.

    Raises:
        AddressError: no layer with weights fits.
        ImageError: none of the pictures can be used, or there are not as many labels.
        MethodError: an argument is out of range, or ablation was asked for without pictures.
        ModelError: the network does not run on pictures of its size.
    """
    _check(alike, ablate, ablate_on, pictures)
    started = time.perf_counter()
    found = find_units(model, layers)
    traced = all(units.value is not None for units in found)
    names, failures = _names(pictures)
    if labels is not None and len(labels) != len(names):
        raise ImageError(f"{len(labels)} labels for {len(names)} pictures. Give one label per picture, in their order.")
    classes = tuple(sorted({label for label in labels or () if label is not None}))
    tallies = [UnitTally(units, len(classes)) for units in found] if len(names) else []
    kept: list[Tensor] = []
    seen = 0
    for images, rows in _batches(model, names, _batch_size(model, found), failures):
        if progress:
            progress("activations", rows[0], len(names))
        known = [] if labels is None else [labels[row] for row in rows]
        _add(model, found, tallies, images, [None if label is None else classes.index(label) for label in known])
        kept.extend(images[: max(0, ablate_on - seen)] if ablate else ())
        seen += len(images)
    if len(names) and not seen:
        raise ImageError("\n".join(reason for _, reason in failures))
    ablations: Sequence[Ablation | None] = [None] * len(found)
    if ablate:
        ablations = ablate_units(model, found, torch.stack(kept), ablate, progress=progress)
    results = []
    for index, units in enumerate(found):
        if progress:
            progress("weights", index, len(found))
        results.append(_layer(units, tallies[index] if tallies else None, ablations[index], alike))
    options = {"layers": layers, "alike": alike, "ablate": ablate, "ablate_on": ablate_on if ablate else 0}
    return Health(
        layers=tuple(results),
        pictures=seen,
        classes=classes,
        alike=alike,
        failures=tuple(failures),
        notes=_notes(seen, traced=traced),
        provenance=made(model, "unit_health", started=started, options=options),
    )


def norm_scores(norms: Scores) -> Scores:
    """Robust z-scores: 0.6745 (x − median) / MAD, with the mean absolute deviation where the MAD is 0."""
    away = norms - norms.median()
    middle, average = away.abs().median(), away.abs().mean()
    if middle > 0:
        return 0.6745 * away / middle
    return away / (1.253314 * average) if average > 0 else torch.zeros_like(norms)


def _check(alike: float, ablate: int, ablate_on: int, pictures: Pictures | None) -> None:
    if not 0 < alike <= 1:
        raise MethodError(f"alike={alike}: a cosine from which units count as twins lies in (0, 1]. 0.95 is usual.")
    if ablate < 0 or ablate_on < 1:
        raise MethodError(f"ablate={ablate}, ablate_on={ablate_on}: give a number of units ≥ 0 and of pictures ≥ 1.")
    if ablate and pictures is None:
        raise MethodError("ablation shows what answers lose, so it needs pictures. Give some, such as sample:cat.")


def _names(pictures: Pictures | None) -> tuple[Sequence[str] | Tensor, list[tuple[str, str]]]:
    """What there is to look at, and what could not be found."""
    if pictures is None:
        return (), []
    if isinstance(pictures, Tensor):
        if not len(pictures):
            raise ImageError("no pictures: the tensor is empty. Give (n, c, h, w) with n of at least 1.")
        return pictures.detach().float().cpu(), []
    patterns = [str(pictures)] if isinstance(pictures, str | Path) else [str(item) for item in pictures]
    names, missed = find(patterns)
    if not names:
        reasons = "\n".join(reason for _, reason in missed)
        raise ImageError(reasons or "no picture given. Give files, a folder, or sample:cat.")
    return names, list(missed)


def _batches(
    model: Model, names: Sequence[str] | Tensor, size: int, failures: list[tuple[str, str]]
) -> Iterator[tuple[Images, list[int]]]:
    """Pictures a few at a time, each batch with the places of its pictures in the list."""
    for first in range(0, len(names), size):
        rows = list(range(first, min(first + size, len(names))))
        if isinstance(names, Tensor):
            yield names[first : first + size], rows
            continue
        images = []
        for row in list(rows):
            try:
                images.append(gather(model, names[row])[0])
            except ImageError as error:
                failures.append((names[row], str(error)))
                rows.remove(row)
        if images:
            yield torch.cat(images), rows


def _batch_size(model: Model, found: Sequence[Units]) -> int:
    try:
        traced = graph(model)
    except ModelError:
        return _TOGETHER
    if not traced.dynamic:
        return traced.batch
    bytes_each = 4 * sum(prod(units.shape) for units in found)
    return max(1, min(_TOGETHER, _BUDGET // max(1, bytes_each)))


def _add(
    model: Model, found: Sequence[Units], tallies: Sequence[UnitTally], images: Images, labels: list[int | None]
) -> None:
    with untouched(model), torch.no_grad():
        if found[0].value is None:
            seen = observe(model, images, [units.tap for units in found])
            values = [seen[units.tap] for units in found]
        else:
            values = _evaluate(model, [units.value for units in found if units.value is not None], images)
    for tally, value in zip(tallies, values, strict=True):
        tally.add(value, labels)


def _evaluate(model: Model, goals: list[str], images: Images) -> list[Tensor]:
    traced, count = graph(model), len(images)
    if not traced.dynamic and count < traced.batch:  # the last pictures, where the graph holds for full batches only
        images = torch.cat([images, images[:1].expand(traced.batch - count, -1, -1, -1)])
    values = traced.evaluate(model, goals, {traced.input: model.normalize(images)})
    return [values[name][:count] for name in goals]


def _layer(units: Units, tally: UnitTally | None, ablation: Ablation | None, alike: float) -> LayerHealth:
    weights = units.kernels.weights
    norms = weights.flatten(1).norm(dim=1) * (1 if units.gain is None else units.gain.abs())
    scores = norm_scores(norms)
    outlying = torch.nonzero(scores.abs() > OUTLYING)[:, 0].tolist() if len(norms) >= _FEWEST else []
    pairs, count = twins_by_weights(weights, units.kernels.groups, alike)
    return LayerHealth(
        layer=units.layer,
        kind=units.kernels.kind,
        activation=units.activation,
        rectified=units.rectified,
        measured=units.measured,
        units=len(weights),
        norms=norms,
        norm_scores=scores,
        norm_outliers=tuple(outlying),
        weight_twins=pairs,
        weight_twin_pairs=count,
        activity=None if tally is None else tally.activity(alike),
        ablation=ablation,
    )


def _notes(pictures: int, *, traced: bool) -> tuple[str, ...]:
    notes = []
    if not pictures:
        notes.append("no pictures were given: only the weights were examined")
    elif pictures < 100:
        notes.append("a unit that was off on these pictures may be on for others: give a hundred or more")
    if not traced:
        notes.append("the network cannot be traced: units were looked at before their activation functions")
    return tuple(notes)
