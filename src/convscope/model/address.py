"""One string for anything inside a network: the address language.

| spelling | meaning |
| --- | --- |
| `layer3.1.conv2` | a layer |
| `layer3.1.conv2:42` | a channel of it |
| `layer3.1.conv2:42@5,7` | one element: channel, row, column |
| `layer3.1.conv2@5,7` | all channels at one position |
| `layer1.0.relu~1` | the second call of a layer that runs several times |
| `class:281`, `class:tabby cat` | a logit |
| `class:top`, `class:top2` | the network's first, second, … answer to each picture |
| `output` | the network's output as a layer |
| `layer*.0` | every layer that matches |
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from convscope.errors import AddressError, near_misses
from convscope.model.model import Model

OUTPUT = "output"
"""The name of the network itself as a layer: its output, before any final softmax."""

_UNIT = re.compile(r"^(?P<layer>[^:@~]+)(?:~(?P<call>\d+))?(?::(?P<channel>\d+))?(?:@(?P<row>\d+),(?P<column>\d+))?$")
_CLASS = re.compile(r"^class:(?P<name>.+?)(?:@(?P<row>\d+),(?P<column>\d+))?$")
_TOP = re.compile(r"^top(?P<rank>[1-9]\d*)?$")


@dataclass(frozen=True)
class Address:
    """A layer, channel, position or element of a network.

    Attributes:
        layer: dotted module name, or ``output`` for the network's own output.
        call: which of the layer's calls in one forward pass, from 0; None for the last.
        channel: index along dimension 1, or None for all.
        position: (row, column), or None for all. For token maps (n, tokens, channels) see the doctor's grid.
        rank: for ``class:topN`` the rank from 1, resolved for each picture; None otherwise.
    """

    layer: str
    call: int | None = None
    channel: int | None = None
    position: tuple[int, int] | None = None
    rank: int | None = None

    def __str__(self) -> str:
        place = "" if self.position is None else f"@{self.position[0]},{self.position[1]}"
        if self.rank is not None:
            return f"class:top{'' if self.rank == 1 else self.rank}{place}"
        if self.layer == OUTPUT and self.channel is not None:
            return f"class:{self.channel}{place}"
        call = "" if self.call is None else f"~{self.call}"
        channel = "" if self.channel is None else f":{self.channel}"
        return f"{self.layer}{call}{channel}{place}"

    @property
    def tap(self) -> "Address":
        """The layer call alone: what has to be recorded to read this address."""
        return Address(self.layer, self.call)

    @property
    def slug(self) -> str:
        """The address as part of a file name on any system."""
        return re.sub(r"[^\w.\-]+", "_", str(self)).strip("_")


def parse(text: str, model: Model) -> Address:
    """Read one address and check that the layer or class exists in ``model``.

    Channel and position are checked against the activation when it is there, since their range depends on the input.

    Raises:
        AddressError: not an address, no such layer or class, or a class name that fits several classes; the message
            names near misses.
    """
    text = text.strip()
    if match := _CLASS.match(text):
        position = _position(match)
        if top := _TOP.match(match["name"].strip()):
            return Address(OUTPUT, rank=int(top["rank"] or 1), position=position)
        return Address(OUTPUT, channel=find_class(match["name"], model), position=position)
    match = _UNIT.match(text)
    if not match:
        msg = (
            f"not an address: {text!r}. "
            "Expected LAYER, LAYER:CHANNEL, LAYER:CHANNEL@ROW,COLUMN, LAYER@ROW,COLUMN or class:NAME."
        )
        raise AddressError(msg)
    layer = match["layer"]
    if layer != OUTPUT and not model.has_layer(layer):
        raise AddressError(_no_layer(layer, model))
    call, channel = (None if match[key] is None else int(match[key]) for key in ("call", "channel"))
    return Address(layer, call=call, channel=channel, position=_position(match))


def expand(pattern: str, model: Model) -> tuple[Address, ...]:
    """Read an address whose layer may be a glob (``layer*.0``); one address per matching layer, in definition order.

    Raises:
        AddressError: as in ``parse``, or nothing matches.
    """
    if not any(mark in pattern for mark in "*?[") or pattern.startswith("class:"):
        return (parse(pattern, model),)
    match = re.match(r"^(?P<glob>.+?)(?P<rest>(?:~\d+)?(?::\d+)?(?:@\d+,\d+)?)$", pattern.strip())
    names = [name for name in model.layers if match and fnmatchcase(name, match["glob"])]
    if not match or not names:
        raise AddressError(f"no layer of {model.name} matches {pattern!r}. `convscope layers` lists them.")
    return tuple(replace(parse(f"{names[0]}{match['rest']}", model), layer=name) for name in names)


def find_class(name: str, model: Model) -> int:
    """Return the index of a class given by index or by (any of) its names, ignoring case.

    Raises:
        AddressError: no such class, or several classes of that name.
    """
    name = name.strip()
    spec = model.spec
    if name.isdigit():
        index = int(name)
        if spec.classes and index >= len(spec.classes):
            raise AddressError(f"no class {index} in {model.name}: it has classes 0 to {len(spec.classes) - 1}.")
        return index
    if not spec.classes:
        raise AddressError(
            f"{model.name} has no class names, so 'class:{name}' means nothing. "
            "Give an index (class:281), or load it with classes=..."
        )
    known: dict[str, set[int]] = {}
    for index, main in enumerate(spec.classes):
        for synonym in {main, *(spec.synonyms[index] if spec.synonyms else ())}:
            known.setdefault(synonym.lower().replace("_", " "), set()).add(index)
    found = sorted(known.get(name.lower().replace("_", " "), set()))
    if len(found) == 1:
        return found[0]
    if found:
        choices = ", ".join(f"class:{index} ({spec.classes[index]})" for index in found)
        raise AddressError(f"{name!r} names several classes of {model.name}: {choices}. Give the index.")
    raise AddressError(f"no class {name!r} in {model.name}.{_like_class(name, known, spec.classes)}")


def _like_class(name: str, known: Mapping[str, set[int]], classes: tuple[str, ...]) -> str:
    """What a wrong class name may have meant: a part of longer names (``shark``), or a slip."""
    inside = sorted({index for key, indices in known.items() if name.lower() in key for index in indices})
    if inside:
        listed = ", ".join(f"{index} {classes[index]}" for index in inside[:5])
        return f" Classes that contain it: {listed}{', …' if len(inside) > 5 else ''}."
    return near_misses(name, known)


def _position(match: re.Match[str]) -> tuple[int, int] | None:
    return None if match["row"] is None else (int(match["row"]), int(match["column"]))


def _no_layer(layer: str, model: Model) -> str:
    hint = near_misses(layer, model.layers) or " `convscope layers` lists them."
    return f"no layer {layer!r} in {model.name}.{hint}"
