"""What runs when: every layer call of one forward pass, learned once per network."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from convscope.errors import AddressError, ModelError
from convscope.model import OUTPUT, Address, Model
from convscope.probe.tap import FINAL_FUNCTIONS, hooked, main_tensor, module_at
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
        if count == 0:
            raise AddressError(
                f"layer {address.layer!r} of {model.name} does not run in a forward pass, so there is nothing to see."
            )
        call = count - 1 if address.call is None else address.call
        if call >= count:
            raise AddressError(
                f"layer {address.layer!r} of {model.name} runs {count} times: calls ~0 to ~{count - 1}, got ~{call}."
            )
        return Address(address.layer, call)

    def name(self, tap: Address) -> str:
        """Spell a tap: with its call only where the layer runs more than once."""
        return str(tap if self.counts[tap.layer] > 1 else Address(tap.layer))


class _FinalFunctions(TorchFunctionMode):
    """Note every call that turns logits into probabilities, and what it returned."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, Tensor]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401 - torch's protocol
        result = func(*args, **(kwargs or {}))
        if func in FINAL_FUNCTIONS:
            self.calls.append((FINAL_FUNCTIONS[func], result))
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

    height, width = model.spec.preprocessing.size
    gray = torch.full((1, model.channels, height, width), 0.5)
    with torch.no_grad(), _FinalFunctions() as finals:
        inputs = model.normalize(gray)
        try:
            with hooked({**dict(model.layers), OUTPUT: module_at(model, OUTPUT)}, on_output):
                output = main_tensor(model.module(inputs), OUTPUT, model)
        except RuntimeError as error:
            first = str(error).strip().splitlines()[0]
            raise ModelError(
                f"{model.name} does not run on a {model.channels}×{height}×{width} picture: {first}. "
                "Give load(size=..., channels=...) what the network takes."
            ) from error
    last = next((i for i, (_, result) in enumerate(finals.calls) if result is output), None)
    return Layout(tuple(calls), head="logits" if last is None else finals.calls[last][0], bypass=last)
