"""Class activation maps: what the CAM methods share.

A CAM method is one equation: activations and gradients of a layer in, one weight per channel or position out. The rest
is here: which layer, one backward pass that starts at it, token grids, several layers, and placing the small map where
its units really look.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from convscope.anatomy import MapLayout, map_layout, suggest_cam_layer
from convscope.attribution.contract import Raw
from convscope.errors import MethodError
from convscope.image import place as spread
from convscope.model import Address, Model, parse
from convscope.probe import BatchTarget, layer_gradients, layout, observe
from convscope.shapes import Images

Upsampling = Literal["aligned", "corners"]
"""``aligned``: each unit's value stands at the center of its receptive field. ``corners``: the map is stretched over
the picture from corner to corner, as other tools do; with padded strides this is off by up to half a stride."""

Layers = str | tuple[str, ...] | None
"""One layer, several to be fused, or None for the one that the model doctor suggests; for a hidden unit that comes
before it, None is the unit's own layer."""

Combine = Callable[[Tensor, Tensor], Tensor]
"""Activations (n, c, h, w) and gradients of the target with respect to them -> map (n, h, w)."""


@dataclass(frozen=True)
class CamOptions:
    """What every CAM method can be told.

    Attributes:
        layer: one, several, or None.
        rectify: keep only positive evidence, as most papers do.
        upsampling: see ``Upsampling``.
    """

    layer: Layers
    rectify: bool
    upsampling: Upsampling


def gradient_cam(model: Model, images: Images, question: BatchTarget, options: CamOptions, combine: Combine) -> Raw:
    """Make a CAM out of activations and gradients: one forward pass and the backward pass of what follows the layer.

    The facts of a rectified map state which part of the evidence was positive; where it is 0, the map is blank.

    Raises:
        MethodError: a layer runs after the target of an image, so that it cannot influence it.
    """
    taps = cam_taps(model, options.layer, question)
    _check_order(model, taps, question)
    found = layer_gradients(model, images, taps, question)
    pairs = [(tap, found.values[tap], found.gradients[tap]) for tap in taps]
    return _raw(model, images, options, [(tap, a, g, combine) for tap, a, g in pairs], found.scores)


def activation_cam(
    model: Model,
    images: Images,
    question: BatchTarget,
    options: CamOptions,
    combine: Callable[[Tensor], Tensor],
) -> Raw:
    """Make a CAM out of activations alone: one forward pass. The target is read, and does not shape the map."""
    taps = cam_taps(model, options.layer, question)
    seen = observe(model, images, dict.fromkeys((*taps, *question.taps)))
    entries = [(tap, seen[tap], seen[tap], lambda a, _: combine(a)) for tap in taps]
    return _raw(model, images, options, entries, question.read(seen))


def cam_taps(model: Model, layers: Layers, question: BatchTarget) -> tuple[Address, ...]:
    """Resolve the layers to look at.

    Where none is named: the one that the model doctor suggests, or, for a hidden unit that comes before it, the unit's
    own layer.

    Raises:
        AddressError: no such layer.
        MethodError: a channel or position was given, or nothing.
    """
    if layers is None:
        return (_default_tap(model, question),)
    addresses = [parse(name, model) for name in ((layers,) if isinstance(layers, str) else layers)]
    for address in addresses:
        if address.channel is not None or address.position is not None:
            raise MethodError(
                f"a class activation map weighs all channels of a layer, got {str(address)!r}. Give {address.layer!r}."
            )
    if not addresses:
        raise MethodError("layer=() names no layer. Give one, several, or None for the suggested one.")
    return tuple(layout(model).tap(address, model) for address in addresses)


def _default_tap(model: Model, question: BatchTarget) -> Address:
    order = _order(model)
    suggested = layout(model).tap(parse(suggest_cam_layer(model), model), model)
    found = {min(suggested, max(taps, key=order), key=order) for taps in question.each}
    if len(found) > 1:
        raise MethodError(
            f"no one layer suits all these targets: {', '.join(sorted(map(layout(model).name, found)))}. "
            "Give layer=..., or explain the images one target at a time."
        )
    return found.pop()


def _check_order(model: Model, taps: Sequence[Address], question: BatchTarget) -> None:
    order = _order(model)
    for tap in taps:
        for index, targets in enumerate(question.each):
            deepest = max(targets, key=order)
            if order(deepest) < order(tap):
                layer, unit = (layout(model).name(place) for place in (tap, deepest))
                raise MethodError(
                    f"layer {layer!r} runs after {unit!r}, where the target of image {index} is, and cannot influence "
                    "it. Give an earlier layer, or a later target."
                )


def _order(model: Model) -> Callable[[Address], int]:
    """The place of a tap in the order in which layer calls finish."""
    places = {(call.layer, call.call): index for index, call in enumerate(layout(model).calls)}
    return lambda tap: places[tap.layer, tap.call or 0]


def place(cells: Tensor, where: MapLayout, image_size: tuple[int, int], upsampling: Upsampling) -> Tensor:
    """Spread a map over the picture: (n, 1, rows, columns) to (n, 1, h, w), bilinear.

    Between the outermost centers and the border the value stays that of the nearest unit.

    Raises:
        MethodError: no such upsampling.
    """
    if upsampling == "corners":
        return F.interpolate(cells, size=image_size, mode="bilinear", align_corners=False)
    if upsampling != "aligned":
        raise MethodError(f"upsampling is 'aligned' or 'corners', got {upsampling!r}.")
    return spread(cells, image_size, where.start, where.stride)


def positive_share(weighed: Tensor) -> Tensor:
    """The part of each map's evidence that is positive, (n,), 0 to 1. Where it is 0 the rectified map is blank."""
    total = weighed.abs().sum(dim=(1, 2, 3))
    return torch.where(total > 0, weighed.clamp(min=0).sum(dim=(1, 2, 3)) / total.where(total > 0, 1), 0)


Entry = tuple[Address, Tensor, Tensor, Combine]


def _raw(model: Model, images: Tensor, options: CamOptions, entries: Sequence[Entry], scores: Tensor) -> Raw:
    image_size = (images.shape[2], images.shape[3])
    maps, cells, shares = [], [], []
    facts: dict[str, Any] = {"upsampling": options.upsampling}
    for tap, activation, gradient, combine in entries:
        where = map_layout(model, tap, tuple(activation.shape), image_size)
        weighed = combine(where.to_map(activation).float(), where.to_map(gradient).float())[:, None]
        cell = weighed.clamp(min=0) if options.rectify else weighed
        cells.append(cell)
        shares.append(positive_share(weighed))
        maps.append(place(cell, where, image_size, options.upsampling))
        if options.upsampling == "aligned" and not where.aligned:
            facts["note"] = "receptive fields unknown (the network cannot be traced): an even spread is assumed"
    if options.rectify:
        facts["positive_share"] = tuple(torch.stack(shares).mean(dim=0).tolist())
    names = tuple(layout(model).name(tap) for tap, *_ in entries)
    if len(maps) > 1:
        facts["fusion"] = "mean of the layers' maps, each divided by its largest |value|"
        maps = [
            value / value.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=torch.finfo(value.dtype).tiny)
            for value in maps
        ]
    return Raw(torch.stack(maps).mean(dim=0), scores, layers=names, cells=cells[0], facts=facts)
