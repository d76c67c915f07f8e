"""What is explained: a function from a forward pass to one number per image.

A class and a hidden neuron are the same kind of thing. Every method takes any target:

| spelling | number |
| --- | --- |
| `class:281`, `class:tabby cat` | the class logit |
| `class:top` (default) | the logit of the network's own answer, for each image its own |
| `class:281 - class:285` | the margin between two classes |
| `layer4:42` | the mean of a channel over its positions |
| `layer4:42@3,3` | one element |
| `layer4@3,3` | the mean of all channels at one position |
| `layer4` | the mean of the layer |
| `direction(layer4, vector)` in Python | the projection of the layer's mean activation on a vector |

In Python targets add, subtract and scale: ``target("class:281") - 0.5 * target("class:285")``.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convscope.errors import TargetError
from convscope.model import OUTPUT, Address, Model, parse
from convscope.probe.layout import layout
from convscope.probe.record import record
from convscope.shapes import Images, Scores

Values = Mapping[Address, Tensor]
"""Activations of one forward pass by tap."""

Reader = Callable[[Values], Scores]


@dataclass(frozen=True)
class Target:
    """A number per image, read off the activations of one forward pass.

    Attributes:
        name: the spelling, fully resolved.
        taps: what has to be recorded, with explicit calls.
        read: activations by tap -> (n,).
    """

    name: str
    taps: tuple[Address, ...]
    read: Reader

    def __add__(self, other: "Target") -> "Target":
        return _combine(self, other, 1.0, "+")

    def __sub__(self, other: "Target") -> "Target":
        return _combine(self, other, -1.0, "-")

    def __mul__(self, factor: float) -> "Target":
        return Target(f"{factor:g}*({self.name})", self.taps, lambda values: factor * self.read(values))

    __rmul__ = __mul__

    def __neg__(self) -> "Target":
        return -1.0 * self


_RANK = re.compile(r"class:\s*top(?P<rank>[1-9]\d*)?(?:@(?P<row>\d+),(?P<column>\d+))?(?=\s+[+-]\s|\s*$)")

TargetLike = str | Target | Sequence[str | Target]
"""One target for all images, or one per image."""


def target(text: str, model: Model) -> Target:
    """Read a target off its spelling (see the module's table).

    Raises:
        AddressError: the address names nothing in this network.
        TargetError: ``class:top`` (its class is known only once the picture is; methods resolve it), or not a target.
    """
    first, *rest = re.split(r"\s+([+-])\s+", text.strip())
    total = _single(first, model)
    for sign, term in zip(rest[::2], rest[1::2], strict=True):
        total = total + _single(term, model) if sign == "+" else total - _single(term, model)
    return total


def direction(model: Model, layer: str, vector: Tensor) -> Target:
    """Target the projection of a layer's spatial mean on a direction in its channel space.

    Args:
        model: the network.
        layer: address of a layer with ``c`` channels.
        vector: (c,), used as given (not normalized).

    Raises:
        AddressError: no such layer.
        TargetError: the vector's length is not the number of channels.
    """
    tap = layout(model).tap(parse(layer, model), model)

    def read(values: Values) -> Tensor:
        activation = _with_channels(values[tap])
        if vector.ndim != 1 or len(vector) != activation.shape[1]:
            raise TargetError(
                f"{layer} has {activation.shape[1]} channels, the direction has shape {tuple(vector.shape)}."
            )
        return (_spatial_mean(activation) * vector.to(activation)).sum(dim=1)

    return Target(f"direction({layer})", (tap,), read)


class BatchTarget:
    """The targets of a batch of images: what methods read.

    ``read`` works on batches that hold the images in order; where the number of images is a multiple of the number of
    targets (samples of a path, noisy copies) the targets repeat in blocks: all copies of the first image first.

    ``class:topN`` is settled at the first read, from the logits of that very pass, and stays settled: a method that
    runs the network once on the images pays nothing for it. Methods that read other pictures first call ``settle``.

    Attributes:
        taps: what has to be recorded, with explicit calls.
        each: the same for every target alone, in order.
    """

    def __init__(self, model: Model, items: Sequence[str | Target]) -> None:
        self._model = model
        self._items = items
        self._parsed: dict[str, Target] = {}
        ranked = any(isinstance(item, str) and _RANK.search(item) for item in items)
        self._targets = None if ranked else tuple(self._target(item) for item in items)
        provisional = self._targets or [
            self._target(_RANK.sub("class:0", i) if isinstance(i, str) else i) for i in items
        ]
        output = (layout(model).tap(Address(OUTPUT), model),) if ranked else ()
        self.each = tuple(item.taps for item in provisional)
        self.taps = tuple(dict.fromkeys((*(tap for taps in self.each for tap in taps), *output)))

    @property
    def names(self) -> tuple[str, ...]:
        """The resolved spelling for each image; known once settled."""
        if self._targets is None:
            raise TargetError("'class:top' is settled by the first pass; it has not run yet.")
        return tuple(item.name for item in self._targets)

    @property
    def settled(self) -> bool:
        """Whether every image has its own resolved target."""
        return self._targets is not None

    def settle(self, images: Images) -> None:
        """Settle ``class:topN`` by the network's answers to these images, where that has not happened yet."""
        if self._targets is None:
            self._settle(record(self._model, images, [OUTPUT])[OUTPUT])

    def part(self, index: int) -> "BatchTarget":
        """The target of one image alone, settled; where there is one target for all, that one."""
        if self._targets is None:
            raise TargetError("'class:top' is settled by the first pass; it has not run yet.")
        return BatchTarget(self._model, [self._targets[index if len(self._targets) > 1 else 0]])

    def read(self, values: Values) -> Scores:
        """Read one number per image off the recorded activations: (n,)."""
        if self._targets is None:
            output = layout(self._model).tap(Address(OUTPUT), self._model)
            self._settle(values[output].detach())
        targets = self._targets or ()
        if all(item is targets[0] for item in targets):  # names do not tell directions apart
            return targets[0].read(values)
        copies, rest = divmod(len(next(iter(values.values()))), len(targets))
        if rest:
            raise TargetError(f"{len(targets)} targets for {len(next(iter(values.values())))} images.")
        blocks = [
            {tap: value[i * copies : (i + 1) * copies] for tap, value in values.items()} for i in range(len(targets))
        ]
        return torch.cat([item.read(block) for item, block in zip(targets, blocks, strict=True)])

    def _settle(self, logits: Tensor) -> None:
        if len(logits) != len(self._items):
            raise TargetError(f"'class:top' of {len(self._items)} images cannot be settled by {len(logits)} others.")
        self._targets = tuple(
            self._target(_fill_in_ranks(item, logits[i]) if isinstance(item, str) else item)
            for i, item in enumerate(self._items)
        )

    def _target(self, item: str | Target) -> Target:
        if isinstance(item, Target):
            return item
        if item not in self._parsed:
            self._parsed[item] = target(item, self._model)
        return self._parsed[item]


def batch_target(model: Model, images: Images, wanted: TargetLike) -> BatchTarget:
    """Give every image its target: one for all, or one per image.

    Raises:
        AddressError: an address names nothing in this network.
        TargetError: the number of targets is neither 1 nor the number of images.
    """
    items = [wanted] if isinstance(wanted, str | Target) else list(wanted)
    if len(items) not in (1, len(images)):
        raise TargetError(f"{len(items)} targets for {len(images)} images. Give one target, or one per image.")
    return BatchTarget(model, items * len(images) if len(items) == 1 else items)


def _single(text: str, model: Model) -> Target:
    address = parse(text, model)
    if address.rank is not None:
        raise TargetError(f"{text!r} depends on the picture. Give a class, or use it as the target of a method.")
    tap = layout(model).tap(address, model)
    return Target(str(address), (tap,), lambda values: _read(values[tap], address, model))


def _read(activation: Tensor, address: Address, model: Model) -> Tensor:
    value = _with_channels(activation)
    if address.channel is not None:
        channels = value.shape[1]
        if address.channel >= channels:
            raise TargetError(f"{address}: {model.name} has {channels} channels there, 0 to {channels - 1}.")
        value = value[:, address.channel : address.channel + 1]
    return _at(value, address).flatten(1).mean(dim=1)


def _at(activation: Tensor, address: Address) -> Tensor:
    """Take the address' position of (n, channels, rows, columns)."""
    if address.position is None:
        return activation
    row, column = address.position
    rows, columns = activation.shape[2:] if activation.ndim == 4 else (0, 0)
    if row >= rows or column >= columns:
        where = f"{rows}×{columns} positions" if activation.ndim == 4 else "no positions"
        raise TargetError(f"{address}: {address.layer} has {where}, got row {row}, column {column} (counted from 0).")
    return activation[:, :, row, column]


def _with_channels(activation: Tensor) -> Tensor:
    """A network with a single logit may return one number per image, (n,); it is channel 0."""
    return activation[:, None] if activation.ndim == 1 else activation


def _spatial_mean(activation: Tensor) -> Tensor:
    return activation.flatten(2).mean(dim=2) if activation.ndim > 2 else activation


def _combine(left: Target, right: Target, factor: float, sign: str) -> Target:
    compound = factor < 0 and re.search(r"\s[+-]\s", right.name)
    return Target(
        f"{left.name} {sign} ({right.name})" if compound else f"{left.name} {sign} {right.name}",
        tuple(dict.fromkeys((*left.taps, *right.taps))),
        lambda values: left.read(values) + factor * right.read(values),
    )


def _fill_in_ranks(text: str, logits: Tensor) -> str:
    """Put the classes that one picture's logits (classes, *positions) rank highest in place of ``class:topN``."""
    batch = _with_channels(logits[None])

    def fill(match: re.Match[str]) -> str:
        rank = int(match["rank"] or 1)
        position = None if match["row"] is None else (int(match["row"]), int(match["column"]))
        scores = _spatial_mean(_at(batch, Address(OUTPUT, rank=rank, position=position)))[0]
        if rank > len(scores):
            raise TargetError(f"class:top{rank} asked of a network with {len(scores)} classes.")
        best = int(scores.argsort(descending=True, stable=True)[rank - 1])
        return str(Address(OUTPUT, channel=best, position=position))

    return _RANK.sub(fill, text)
