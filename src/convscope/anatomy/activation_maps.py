"""What each layer makes of a picture: the maps of its strongest channels, of any layers, in one pass."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from convscope.anatomy.map_layout import MapLayout, map_layout
from convscope.anatomy.receptive_field import receptive_field
from convscope.anatomy.suggest_units import suggest_unit_layers
from convscope.errors import AddressError, ConvscopeError, ImageError, MethodError, TargetError
from convscope.model import Address, Fit, Model, Pictures, Progress, expand, gather, gather_frames, made
from convscope.probe import TargetLike, batch_target, layer_gradients, layout, observe, untouched
from convscope.results import ActivationMaps, LayerMaps, Source
from convscope.shapes import Images

SORTS = ("max", "mean", "contribution")
"""``max``: largest activation anywhere. ``mean``: over positions. ``contribution``: Σ activation · gradient of the
target over positions, in favor of it first."""

GRID, ROW = 64, 8
"""How many channels are shown of one layer, and of each of several."""

TOGETHER = 8
"""Pictures that go through the network together; bounds the memory of a long video."""


@dataclass(frozen=True)
class _Numbers:
    """Of all channels of one layer: means and peaks over positions, and contributions, each (n, c)."""

    means: Tensor
    peaks: Tensor
    contributions: Tensor | None

    def of(self, sort: str) -> Tensor:
        """The numbers that channels are sorted by."""
        if sort == "contribution" and self.contributions is not None:
            return self.contributions
        return self.means if sort == "mean" else self.peaks


def activation_maps(
    model: Model,
    images: Pictures,
    layers: str | Sequence[str] | None = None,
    *,
    channels: Sequence[int] | None = None,
    top: int | None = None,
    sort: str = "max",
    target: TargetLike = "class:top",
    fit: Fit = "crop",
    frames: int | None = None,
    progress: Progress | None = None,
) -> ActivationMaps:
    """Record the maps of the strongest channels of layers, in one forward pass (two for more than eight pictures).

    The contribution of channel k of activation A to a target y is Σ over positions of A_k · ∂y/∂A_k: the first-order
    change of y if the channel were set to zero, with the sign turned (Molchanov et al. 2017, arXiv:1611.06440, eq. 7).

    Args:
        model: from ``convscope.load``. It is left as it was.
        images: files, folders, globs, ``-``, ``sample:cat``, one or many; or a float tensor (n, c, h, w) in [0, 1].
        layers: addresses or globs of layers with positions: convolutional blocks of any kind, channels-last maps, and
            the patch tokens of transformers. ``LAYER:CHANNEL`` names a channel. None: one layer per resolution, as the
            model doctor suggests, which makes the picture's journey through the network.
        channels: to show, in this order, instead of the strongest.
        top: number of channels per layer; 64 of a single layer and 8 of each of several by default.
        sort: which channels come first; see ``SORTS``. Over several pictures by the mean of it.
        target: of the contributions; one for all pictures or one per picture.
        fit: how pictures become inputs.
        frames: read ``images`` as one video (needs the ``video`` extra) or animated picture, and take so many frames,
            evenly spaced.
        progress: told how far it has come.

    Returns:
        The maps. Files that could not be read, and layers of a glob that have no positions, are in ``failures``.

    Raises:
        ImageError: none of the pictures could be used.
        AddressError: no such layer, or no such channel.
        MethodError: a layer has no positions, or runs after the target.
        TargetError: the number of targets does not fit the number of pictures.

    Example:
        >>> from convscope.model import load
        >>> maps = activation_maps(load(), "sample:cat", "blocks.2.0", top=4)
        >>> maps.layers[0].values.shape, maps.layers[0].stride
        (torch.Size([1, 4, 28, 28]), (8.0, 8.0))
    """
    started = time.perf_counter()
    if sort not in SORTS:
        raise MethodError(f"no order {sort!r} for channels. Choose of {', '.join(SORTS)}.")
    if top is not None and top < 1:
        raise MethodError(f"top={top}: expected at least 1 channel.")
    pictures, sources, failures = _gather(model, images, fit, frames, progress)
    with untouched(model):
        asked, places, passed_over = _places(model, layers, (pictures.shape[2], pictures.shape[3]))
        chunks = torch.split(pictures, TOGETHER)
        wanted = _targets(target, len(pictures)) if sort == "contribution" else None
        looks = []
        tell = progress or (lambda *_: None)
        kept: list[dict[Address, Tensor]] = []
        for index, chunk in enumerate(chunks):
            tell("looking", index, len(chunks))
            part = None if wanted is None else wanted[index * TOGETHER : index * TOGETHER + len(chunk)]
            seen, numbers, names, scores = _look(model, chunk, places, part)
            looks.append((numbers, names, scores))
            kept = [seen] if len(chunks) == 1 else []
        count = top if top is not None else GRID if len(places) == 1 else ROW
        numbers = {tap: _joined([look[0][tap] for look in looks]) for tap in places}
        chosen = {
            tap: _chosen(numbers[tap].of(sort).mean(dim=0), asked[tap] or channels, count, layout(model).name(tap))
            for tap in places
        }
        values = _values(model, chunks, places, chosen, kept)
        fields = {tap: _field(model, tap, (pictures.shape[2], pictures.shape[3])) for tap in places}
        found = tuple(
            _layer(model, tap, place, chosen[tap], numbers=numbers[tap], values=values[tap], field=fields[tap])
            for tap, place in places.items()
        )
    targets = tuple(name for look in looks for name in look[1])
    named = channels is not None or all(asked.values())
    return ActivationMaps(
        images=pictures,
        sources=sources,
        layers=found,
        sort="index" if named else sort,
        targets=targets,
        scores=torch.cat([look[2] for look in looks if look[2] is not None]).float().cpu() if targets else None,
        classes=_class_names(model, targets),
        failures=(*failures, *passed_over),
        provenance=made(
            model, "activation_maps", started=started, targets=targets, options={"sort": sort, "top": count, "fit": fit}
        ),
    )


def _gather(
    model: Model, images: Pictures, fit: Fit, frames: int | None, progress: Progress | None
) -> tuple[Images, tuple[Source, ...], tuple[tuple[str, str], ...]]:
    if frames is None:
        return gather(model, images, fit=fit, progress=progress)
    names = [images] if isinstance(images, str | Path) else list(images)
    if len(names) != 1 or isinstance(images, Tensor):
        raise ImageError(
            f"frames={frames} are taken of one video or animated picture, got {len(names)}. Give one file."
        )
    return (*gather_frames(model, str(names[0]), most=frames, fit=fit), ())


def _class_names(model: Model, targets: Sequence[str]) -> dict[str, str]:
    indices = dict.fromkeys(index for target in targets for index in re.findall(r"class:(\d+)", target))
    return {index: model.spec.classes[int(index)] for index in indices if int(index) < len(model.spec.classes)}


def _places(
    model: Model, layers: str | Sequence[str] | None, image_size: tuple[int, int]
) -> tuple[dict[Address, tuple[int, ...]], dict[Address, MapLayout], tuple[tuple[str, str], ...]]:
    """The layer calls asked for, with the channels that their addresses name, and where their maps lie."""
    patterns = suggest_unit_layers(model) if layers is None else (layers,) if isinstance(layers, str) else layers
    if not patterns:
        raise MethodError(f"{model.name} has no layer with maps to suggest. Give layers=..., such as a convolution.")
    asked: dict[Address, tuple[int, ...]] = {}
    places: dict[Address, MapLayout] = {}
    passed_over: list[tuple[str, str]] = []
    for pattern in patterns:
        taps = _taps(model, pattern)
        for tap, channel in taps:
            try:
                places[tap] = map_layout(model, tap, _shape(model, tap), image_size)
            except MethodError as error:
                if len(taps) == 1:
                    raise
                passed_over.append((layout(model).name(tap), str(error)))
                continue
            asked[tap] = (*asked.get(tap, ()), *(() if channel is None else (channel,)))
    if not places:
        raise MethodError(f"none of the layers that {patterns[0]!r} matches has maps. `convscope layers` lists them.")
    return asked, places, tuple(dict.fromkeys(passed_over))


def _taps(model: Model, pattern: str) -> list[tuple[Address, int | None]]:
    known = layout(model)
    found = expand(pattern, model)
    running = [address for address in found if _computes(model, address)] or found
    taps: list[tuple[Address, int | None]] = []
    for address in running if len(found) > 1 else found:
        if address.position is not None:
            raise AddressError(f"a map has all positions, got {str(address)!r}. Give {str(address).split('@')[0]!r}.")
        last = known.tap(address, model)
        calls = range(known.counts[address.layer]) if address.call is None else [last.call]
        taps += [(Address(address.layer, call), address.channel) for call in calls]
    return taps


def _computes(model: Model, address: Address) -> bool:
    """Whether a layer runs and does something; of the layers of a glob only those are worth a look."""
    runs = address.layer in layout(model).counts
    return runs and not isinstance(model.layers.get(address.layer), nn.Identity)


def _shape(model: Model, tap: Address) -> tuple[int, ...]:
    shape = layout(model).shapes.get((tap.layer, tap.call or 0))
    if shape is None:
        raise MethodError(f"layer {layout(model).name(tap)!r} of {model.name} returns no single tensor to draw.")
    return shape


def _targets(target: TargetLike, count: int) -> list[object]:
    items: list[object] = [target] if isinstance(target, str) or not isinstance(target, Sequence) else list(target)
    if len(items) not in (1, count):
        raise TargetError(f"{len(items)} targets for {count} pictures. Give one target, or one per picture.")
    return items * count if len(items) == 1 else items


def _look(
    model: Model, images: Images, places: Mapping[Address, MapLayout], wanted: Sequence[object] | None
) -> tuple[dict[Address, Tensor], dict[Address, _Numbers], tuple[str, ...], Tensor | None]:
    """Run a few pictures: maps (n, c, rows, columns), numbers of all channels, resolved targets and scores."""
    if wanted is None:
        raw = observe(model, images, places)
        gradients: Mapping[Address, Tensor] = {}
        names: tuple[str, ...] = ()
        scores = None
    else:
        question = batch_target(model, images, wanted)  # type: ignore[arg-type]
        found = layer_gradients(model, images, places, question)
        raw, gradients, names, scores = found.values, found.gradients, question.names, found.scores
    maps = {tap: _map(place, raw[tap], tap, model, images) for tap, place in places.items()}
    numbers = {
        tap: _Numbers(
            value.mean(dim=(2, 3)),
            value.amax(dim=(2, 3)),
            (value * places[tap].to_map(gradients[tap]).float().cpu()).sum(dim=(2, 3)) if gradients else None,
        )
        for tap, value in maps.items()
    }
    return maps, numbers, (names * len(images) if len(names) == 1 else names), scores


def _map(place: MapLayout, value: Tensor, tap: Address, model: Model, images: Images) -> Tensor:
    shown = place.to_map(value).float().cpu()
    if tuple(shown.shape[2:]) != place.grid:
        raise MethodError(
            f"layer {layout(model).name(tap)!r} of {model.name} gives a {shown.shape[2]}×{shown.shape[3]} map for "
            f"{images.shape[2]}×{images.shape[3]} pictures, expected {place.grid[0]}×{place.grid[1]}. Use fit='crop'."
        )
    return shown


def _joined(parts: Sequence[_Numbers]) -> _Numbers:
    contributions = [part.contributions for part in parts if part.contributions is not None]
    return _Numbers(
        torch.cat([part.means for part in parts]),
        torch.cat([part.peaks for part in parts]),
        torch.cat(contributions) if contributions else None,
    )


def _chosen(keys: Tensor, asked: Sequence[int] | None, count: int, layer: str) -> tuple[int, ...]:
    if not asked:
        return tuple(keys.argsort(descending=True, stable=True)[:count].tolist())
    wrong = [channel for channel in asked if not 0 <= channel < len(keys)]
    if wrong:
        raise AddressError(f"no channel {wrong[0]} in {layer!r}: it has channels 0 to {len(keys) - 1}.")
    return tuple(dict.fromkeys(asked))


def _values(
    model: Model,
    chunks: Sequence[Tensor],
    places: Mapping[Address, MapLayout],
    chosen: Mapping[Address, tuple[int, ...]],
    kept: Sequence[Mapping[Address, Tensor]],
) -> dict[Address, Tensor]:
    """The maps of the chosen channels: those at hand, or, of many pictures, from a second pass."""
    parts: dict[Address, list[Tensor]] = {tap: [] for tap in places}
    for index, chunk in enumerate(chunks):
        seen = kept[index] if kept else _look(model, chunk, places, None)[0]
        for tap, channels in chosen.items():
            parts[tap].append(seen[tap][:, list(channels)])
    return {tap: torch.cat(values) for tap, values in parts.items()}


def _layer(
    model: Model,
    tap: Address,
    place: MapLayout,
    channels: tuple[int, ...],
    *,
    numbers: _Numbers,
    values: Tensor,
    field: tuple[float, float],
) -> LayerMaps:
    picked = list(channels)
    return LayerMaps(
        layer=layout(model).name(tap),
        channels=channels,
        values=values,
        means=numbers.means[:, picked],
        peaks=numbers.peaks[:, picked],
        contributions=None if numbers.contributions is None else numbers.contributions[:, picked],
        count=numbers.means.shape[1],
        stride=(float(place.stride[0]), float(place.stride[1])),
        start=(float(place.start[0]), float(place.start[1])),
        field=field,
        exact=place.aligned,
        kind=place.kind,
    )


def _field(model: Model, tap: Address, image_size: tuple[int, int]) -> tuple[float, float]:
    try:
        field = receptive_field(model, str(tap), size=image_size)
    except ConvscopeError:
        return 0.0, 0.0  # not traceable, or an identity: said by the drawing
    return float(field.size[0]), float(field.size[1])
