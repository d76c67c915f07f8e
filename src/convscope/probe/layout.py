"""What runs when: every layer call of one forward pass, learned once per network."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from convscope.errors import AddressError, ModelError
from convscope.model import OUTPUT, Address, Model, parse
from convscope.probe.tap import COMPLAINTS, FINAL_FUNCTIONS, complaint, hooked, main_tensor, module_at
from convscope.probe.untouched import untouched


@dataclass(frozen=True)
class LayerCall:
    """One call of one layer.

    Attributes:
        layer: dotted name.
        call: from 0.
        shape: of its output for one image, batch dimension included; None where it is not a single tensor.
    """

    layer: str
    call: int
    shape: tuple[int, ...] | None


@dataclass(frozen=True)
class Layout:
    """The layer calls of one forward pass.

    Attributes:
        calls: in the order in which they finish; the network itself (``output``) is the last.
        head: what follows the logits: ``"softmax"``, ``"log_softmax"``, ``"sigmoid"`` or ``"logits"`` for nothing.
        bypass: index of that function's call among all of its kind, or None.
    """

    calls: tuple[LayerCall, ...]
    head: str
    bypass: int | None

    @cached_property
    def counts(self) -> dict[str, int]:
        """How often each layer runs."""
        counts: dict[str, int] = {}
        for call in self.calls:
            counts[call.layer] = counts.get(call.layer, 0) + 1
        return counts

    @cached_property
    def shapes(self) -> dict[tuple[str, int], tuple[int, ...] | None]:
        """Output shape by layer and call."""
        return {(call.layer, call.call): call.shape for call in self.calls}

    def tap(self, address: Address, model: Model) -> Address:
        """Make the call of a layer explicit: the given one, or the last.

        Raises:
            AddressError: the layer does not run, or not that often.
        """
        count = self.counts.get(address.layer, 0)
        if count == 0 and isinstance(module_at(model, address.layer), torch.jit.ScriptModule):
            raise AddressError(
                f"layer {address.layer!r} of {model.name} is TorchScript, which hides what runs in it. "
                "Choose a layer outside it, or give the network as it was before torch.jit.script or trace."
            )
        if count == 0:
            raise AddressError(
                f"layer {address.layer!r} of {model.name} does not run in a forward pass, so there is nothing to see."
            )
        call = count - 1 if address.call is None else address.call
        if call >= count:
            known = f"runs {count} times: calls ~0 to ~{count - 1}" if count > 1 else "runs once: its call is ~0"
            raise AddressError(f"layer {address.layer!r} of {model.name} {known}, got ~{call}.")
        return Address(address.layer, call)

    def name(self, tap: Address) -> str:
        """Spell a tap: with its call only where the layer runs more than once."""
        return str(tap if self.counts[tap.layer] > 1 else Address(tap.layer))


def whole(address: Address) -> Address:
    """Refuse the address of a part of a layer.

    Raises:
        AddressError: it names a channel, a class or a position.
    """
    if address != address.tap:
        raise AddressError(f"expected a whole layer, got {str(address)!r}. Give {str(address.tap)!r}.")
    return address


def layer_call(text: str, model: Model) -> Address:
    """Read the address of a whole layer, and make its call explicit.

    Raises:
        AddressError: no such layer or call, or a part of a layer.
    """
    return layout(model).tap(whole(parse(text, model)), model)


class _FinalFunctions(TorchFunctionMode):
    """Note every call that turns logits into probabilities, what it returned, and how often that was written to."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, Tensor, int]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401 - torch's protocol
        result = func(*args, **(kwargs or {}))
        if func in FINAL_FUNCTIONS:
            self.calls.append((FINAL_FUNCTIONS[func], result, result._version))  # noqa: SLF001 - its only spelling
        return result


def layout(model: Model) -> Layout:
    """Run the network once on a gray picture and note which layers run, in which order, with which shapes.

    The result is kept with the model. Call it inside or outside an ``untouched`` block.

    Raises:
        ModelError: the network does not run on a picture of its own input size.
    """
    if "layout" not in model.memo:
        with untouched(model):
            model.memo["layout"] = _observe(model)
    known: Layout = model.memo["layout"]
    return known


def _observe(model: Model) -> Layout:
    calls: list[LayerCall] = []
    counts: dict[str, int] = {}

    def on_output(layer: str, output: Any) -> None:  # noqa: ANN401 - a module may return anything
        index = counts.get(layer, 0)
        counts[layer] = index + 1
        calls.append(LayerCall(layer, index, tuple(output.shape) if isinstance(output, Tensor) else None))

    open_layers = {name: part for name, part in model.layers.items() if not isinstance(part, torch.jit.ScriptModule)}
    height, width = model.spec.preprocessing.size
    gray = torch.full((1, model.channels, height, width), 0.5)
    with torch.no_grad(), _FinalFunctions() as finals:
        inputs = model.normalize(gray)
        try:
            with hooked({**open_layers, OUTPUT: module_at(model, OUTPUT)}, on_output):
                output = main_tensor(model.module(inputs), OUTPUT, model)
        except COMPLAINTS as error:
            raise ModelError(
                f"{model.name} does not run on a {model.channels}×{height}×{width} picture: {complaint(error)}. "
                "Give load(size=..., channels=...) what the network takes."
            ) from error
    ends = [i for i, (_, *result) in enumerate(finals.calls) if _is_unchanged(output, *result)]
    return Layout(tuple(calls), head=finals.calls[ends[-1]][0] if ends else "logits", bypass=ends[-1] if ends else None)


def _is_unchanged(output: Tensor, result: Tensor, version: int) -> bool:
    """Whether a network's output is this result, perhaps in another shape (``sigmoid(x).squeeze(1)``)."""
    same = output.untyped_storage().data_ptr() == result.untyped_storage().data_ptr()
    return same and output.numel() == result.numel() and result._version == version  # noqa: SLF001 - its only spelling
