"""Reading activations: any set of layers in one forward pass."""

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor

from convscope.errors import ModelError
from convscope.model import OUTPUT, Address, Model, expand
from convscope.probe.forward import forward
from convscope.probe.layout import Layout, layer_call, layout, whole
from convscope.probe.untouched import untouched
from convscope.shapes import Images


def record(model: Model, images: Images, layers: Iterable[str]) -> dict[str, Tensor]:
    """Record the outputs of layers for a batch of images, in one forward pass that ends at the deepest of them.

    Args:
        model: the network.
        images: (n, c, h, w) in [0, 1].
        layers: addresses of layers; globs are expanded; ``output`` is the logits. A layer that runs several times
            gives one entry per call (``relu~0``, ``relu~1``), or the one asked for.

    Returns:
        Activations by address, in the order asked, detached copies that no later in-place operation can change; on
        the network's device and in its dtype.

    Raises:
        AddressError: no such layer or call, it does not run, or part of a layer was asked for.
        ModelError: the network cannot be run on these images, or a layer returns no tensor.
    """
    with untouched(model), torch.no_grad():
        known = layout(model)
        taps: dict[Address, None] = {}
        for pattern in layers:
            taps |= dict.fromkeys(_taps(pattern, model, known))
        seen = observe(model, images, taps)
        return {known.name(tap): seen[tap] for tap in taps}


def observe(model: Model, images: Images, taps: Iterable[Address]) -> dict[Address, Tensor]:
    """Record explicit taps (see ``Layout.tap``). Inside an ``untouched`` block; no gradients are kept."""
    seen: dict[Address, Tensor] = {}

    def visit(tap: Address, output: Tensor) -> None:
        seen[tap] = output.detach().clone()

    with torch.no_grad():
        forward(model, images, taps, visit)
    return seen


def replaced(model: Model, images: Images, replacements: Mapping[str, Tensor]) -> Tensor:
    """Run the network with the outputs of some layers replaced, and return its logits.

    Everything up to a replaced layer is still computed; ``probe.graph`` resumes from the middle instead.

    Args:
        model: the network.
        images: (n, c, h, w) in [0, 1], or (1, c, h, w) to share one picture between all replacements.
        replacements: by address of a layer; each (n, ...) as the layer's own output, or (1, ...).

    Raises:
        AddressError: no such layer or call.
        ModelError: a replacement does not have its layer's shape, or the numbers of images do not fit.
    """
    batch = max([len(images), *(len(value) for value in replacements.values())])
    if len(images) not in (1, batch):
        raise ModelError(f"{len(images)} images for {batch} replacements. Give one image, or one per replacement.")
    with untouched(model), torch.no_grad():
        known = layout(model)
        values = {layer_call(name, model): value for name, value in replacements.items()}
        output = known.tap(Address(OUTPUT), model)
        if output in values:
            raise ModelError(f"replacing the output of {model.name} leaves nothing to run. Replace a layer before it.")
        logits: list[Tensor] = []

        def visit(tap: Address, current: Tensor) -> Tensor | None:
            if tap == output:
                logits.append(current.detach().clone())
                return None
            value = values[tap].to(current)
            if value.shape[1:] != current.shape[1:] or len(value) not in (1, batch):
                expected = ", ".join(map(str, (batch, *current.shape[1:])))
                raise ModelError(
                    f"replacement for {known.name(tap)} has shape {tuple(value.shape)}; expected ({expected})."
                )
            return value.expand_as(current).clone()

        shared = images.expand(batch, -1, -1, -1)
        forward(model, shared, [*values, output], visit)
    return logits[0]


def _taps(pattern: str, model: Model, known: Layout) -> Iterator[Address]:
    """The layer calls that an address or a glob asks for; of the layers that a glob matches, those that run."""
    found = [whole(address) for address in expand(pattern, model)]
    running = [address for address in found if address.layer in known.counts]
    for address in running if len(found) > 1 and running else found:
        last = known.tap(address, model)  # refuses what does not run
        calls = range(known.counts[address.layer]) if address.call is None else [last.call]
        yield from (Address(address.layer, call) for call in calls)
