"""What the filters of a layer look like: the three ways of the classic AlexNet study, and two more.

| view | one tile for | for |
| --- | --- | --- |
| `color` | each filter, as an RGB picture | layers that read the picture |
| `single` | each filter and input channel, labelled `filter,channel` | a few filters |
| `collated` | each filter and input channel, all in one image | whole deep layers |
| `spectrum` | each filter: amplitude of its Fourier transform | frequencies and orientations |
| `pairs` | each depthwise filter, under the pointwise weights that use it | separable convolutions |
"""

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from convscope.anatomy.filter_order import order, pad_to, spectrum
from convscope.anatomy.kernels import Kernels, read_kernels
from convscope.anatomy.picture_space import in_picture_space, reads_picture
from convscope.anatomy.pointwise import following_pointwise
from convscope.errors import MethodError
from convscope.model import Model, made
from convscope.results import Filters

VIEWS = ("color", "single", "collated", "spectrum", "pairs")

MOST_TILES = 512
"""How many labelled tiles a picture holds if nothing else is asked for."""

MOST_WEIGHTS = 16_000_000
"""How many weights a collated picture holds, at one pixel each."""


def filters(
    model: Model,
    layer: str,
    *,
    view: str | None = None,
    sort: str = "index",
    only: Sequence[int] | None = None,
    channels: Sequence[int] | None = None,
) -> Filters:
    """Look at the filters of a layer (Krizhevsky et al. 2012, figure 3; Zeiler & Fergus 2014).

    Where the layer reads the picture, weights are given per unit of a [0, 1] pixel: a filter ``w`` works on
    (x − mean) / std, so on the picture itself it is w / std.

    Args:
        model: from ``convscope.load``. It is left as it was.
        layer: address of a convolution (any groups, any kernel, transposed too) or a linear layer. A linear layer that
            reads a flattened map has kernels as large as that map.
        view: see the module's table; None is ``"color"`` where the layer reads an RGB or gray picture, else
            ``"collated"``.
        sort: ``"index"``, ``"norm"``, ``"hue"``, ``"orientation"`` or ``"similarity"``; see ``anatomy.filter_order``.
        only: indices of the filters to show; all, or as many as fit, by default.
        channels: for single and collated: indices of the channels to show, within the filter's group.

    Raises:
        AddressError: no such layer.
        MethodError: the layer has no filters, the view or order is not defined for them, or an index is out of range.

    Example:
        >>> from convscope.model import load
        >>> found = filters(load("torchvision:alexnet", weights=None), "features.3", sort="norm")
        >>> found.view, found.values.shape
        ('collated', torch.Size([192, 64, 5, 5]))
    """
    started = time.perf_counter()
    if view is not None and view not in VIEWS:
        raise MethodError(f"no view {view!r} of filters. Choose of {', '.join(VIEWS)}.")
    kernels = read_kernels(model, layer)
    on_picture = reads_picture(model, kernels)
    view = view or ("color" if on_picture and model.channels in (1, 3) else "collated")
    _check(model, kernels, view, on_picture=on_picture)
    mixer = following_pointwise(model, kernels) if view == "pairs" else None
    weights = in_picture_space(model, kernels) if on_picture else kernels.weights
    picked = _picked(channels, weights.shape[1], "channel", kernels) if view in {"single", "collated"} else ()
    if channels is not None and not picked:
        raise MethodError(f"channels=... chooses among the tiles of view='single' or 'collated', not of {view!r}.")
    kept = set(_picked(only, len(weights), "filter", kernels))
    ranking, keys = order(weights, sort)
    candidates = [index for index in ranking if index in kept] if sort != "index" or only is None else list(only)
    shown, picked, left_out = _room(candidates, picked, view, weights, free=only is None)
    values, unit = _values(weights[list(shown)], view, picked, on_picture=on_picture)
    return Filters(
        layer=kernels.layer,
        kind=kernels.kind,
        view=view,
        values=values,
        unit=unit,
        shown=shown,
        channels=picked,
        shape=(weights.shape[0], weights.shape[1], weights.shape[2], weights.shape[3]),
        groups=kernels.groups,
        sort=sort,
        keys=None if keys is None else keys[list(shown)],
        mixer="" if mixer is None else mixer.layer,
        mixing=None if mixer is None else mixer.weights.flatten(1)[:, list(shown)],
        notes=(*kernels.notes, *left_out),
        provenance=made(model, "filters", started=started, options={"view": view, "sort": sort}),
    )


def _check(model: Model, kernels: Kernels, view: str, *, on_picture: bool) -> None:
    inputs, rows, columns = kernels.weights.shape[1:]
    if view == "color" and not (on_picture and model.channels in (1, 3)):
        why = (
            f"the picture of {model.name} has {model.channels} channels"
            if on_picture
            else f"layer {kernels.layer!r} of {model.name} does not read the picture (filters of {inputs} channels)"
        )
        raise MethodError(f"{why}, so its filters have no colors. Use view='collated' or 'single'.")
    if view == "spectrum" and max(rows, columns) == 1:
        raise MethodError(f"the filters of {kernels.layer!r} are 1×1: their spectrum is flat. Use view='collated'.")


def _picked(asked: Sequence[int] | None, count: int, what: str, kernels: Kernels) -> tuple[int, ...]:
    if asked is None:
        return tuple(range(count))
    wrong = [index for index in asked if not 0 <= index < count]
    if wrong:
        group = " in its group" if what == "channel" and kernels.groups > 1 else ""
        raise MethodError(f"no {what} {wrong[0]} in {kernels.layer!r}: it has {what}s 0 to {count - 1}{group}.")
    if not asked:
        raise MethodError(f"no {what} chosen. Give indices from 0 to {count - 1}, or nothing for all.")
    return tuple(dict.fromkeys(asked))


def _room(
    candidates: list[int], picked: tuple[int, ...], view: str, weights: Tensor, *, free: bool
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[str, ...]]:
    """Keep as many filters (and for single tiles channels) as one picture holds, unless they were asked for."""
    size = weights.shape[2] * weights.shape[3]
    if view == "single":
        tiles = picked[:MOST_TILES] if free else picked
        most = max(1, MOST_TILES // len(tiles))
    else:
        tiles, most = picked, MOST_WEIGHTS // (len(picked) * size) if view == "collated" else MOST_TILES
    kept = candidates[: max(1, most)] if free else candidates
    notes = []
    if len(kept) < len(candidates):
        notes.append(f"{len(kept)} of {len(candidates)} filters shown")
    if len(tiles) < len(picked):
        notes.append(f"{len(tiles)} of {len(picked)} channels shown")
    return tuple(kept), tiles, tuple(notes)


def _values(weights: Tensor, view: str, picked: tuple[int, ...], *, on_picture: bool) -> tuple[Tensor, str]:
    per = "weight per unit of a [0, 1] pixel" if on_picture else "weight"
    if view == "spectrum":
        size = pad_to(weights.shape[2], weights.shape[3])
        return spectrum(weights, size), f"amplitude of the Fourier transform, in sums of {per}"
    chosen = weights[:, list(picked)] if view in {"single", "collated"} else weights
    return torch.clone(chosen), per
