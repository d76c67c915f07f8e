"""The one place that runs a network: forward hooks that live for a single pass.

A tap sits behind one call of one layer. A visitor sees the layer's output there and may return another tensor to go on
with. The pass ends at the deepest tap, so a question about an early layer costs only the early layers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from convscope.errors import ModelError
from convscope.model import OUTPUT, Address, Model

Visitor = Callable[[Address, Tensor], Tensor | None]
"""Sees a tap's address and its output; returns a replacement, or None to leave the output alone."""

FINAL_FUNCTIONS: Mapping[Any, str] = {
    functional.softmax: "softmax",
    torch.softmax: "softmax",
    Tensor.softmax: "softmax",
    functional.log_softmax: "log_softmax",
    torch.log_softmax: "log_softmax",
    Tensor.log_softmax: "log_softmax",
    functional.sigmoid: "sigmoid",
    torch.sigmoid: "sigmoid",
    torch.sigmoid_: "sigmoid",
    Tensor.sigmoid: "sigmoid",
    Tensor.sigmoid_: "sigmoid",
    torch.special.softmax: "softmax",
    torch.special.log_softmax: "log_softmax",
    torch.special.expit: "sigmoid",
}
"""Functions that turn logits into probabilities. At the very end of a network they are bypassed."""

COMPLAINTS = (RuntimeError, ValueError, TypeError, IndexError, AssertionError)
"""What networks raise when they do not like their input."""


class _Finished(BaseException):
    """The deepest tap was reached. Not an Exception: a network's own ``except Exception`` must not swallow it."""


class FinalInput(TorchFunctionMode):
    """Remember what the ``index``-th final-function call of a forward pass is given: the logits."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.remaining = index
        self.logits: Tensor | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401 - torch's protocol
        if func in FINAL_FUNCTIONS:
            if self.remaining == 0:
                given: Tensor = args[0] if args else kwargs["input"]
                self.logits = given.clone()  # ``sigmoid_`` writes over its input
            self.remaining -= 1
        return func(*args, **(kwargs or {}))


def complaint(error: BaseException) -> str:
    """Return the first line of what a network raised, for the middle of a sentence."""
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(".") if lines else type(error).__name__


def module_at(model: Model, layer: str) -> nn.Module:
    """Return the module of a layer name, the root for ``output``."""
    return model.module if layer == OUTPUT else model.module.get_submodule(layer)


@contextmanager
def hooked(modules: Mapping[str, nn.Module], visit: Callable[[str, Any], Any]) -> Iterator[None]:
    """Call ``visit(name, output)`` after each call of each module, as its last hook, until the block ends."""
    with ExitStack() as stack:
        for name, module in modules.items():
            handle = module.register_forward_hook(lambda _, __, output, name=name: visit(name, output))
            stack.callback(handle.remove)
        yield


def run(model: Model, inputs: Tensor, taps: Iterable[Address], visit: Visitor, *, bypass: int | None) -> None:
    """Run one forward pass up to the deepest tap and show ``visit`` the output at each.

    Args:
        model: inside an ``untouched`` block.
        inputs: normalized, (n, c, h, w).
        taps: with explicit calls (``Address.call`` is not None).
        visit: see ``Visitor``.
        bypass: index of the final-function call whose input is the network's output (its logits), or None.

    Raises:
        ModelError: a tap was not reached, or a layer's output is not a tensor.
    """
    pending = set(taps)
    counts: dict[str, int] = {}

    def on_output(layer: str, output: Any) -> Any:  # noqa: ANN401 - a module may return anything
        index = counts.get(layer, 0)
        counts[layer] = index + 1
        tap = Address(layer, index)
        if tap not in pending:
            return None
        pending.discard(tap)
        replacement = visit(tap, logits() if layer == OUTPUT and final else main_tensor(output, layer, model))
        if not pending:
            raise _Finished
        return None if replacement is None else with_main_tensor(output, replacement)

    def logits() -> Tensor:
        if final is None or final.logits is None:
            raise ModelError(f"{model.name} did not reach its final softmax or sigmoid on this input.")
        return final.logits

    layers = {tap.layer for tap in pending}
    final = FinalInput(bypass) if bypass is not None and OUTPUT in layers else None
    with ExitStack() as stack:
        if final is not None:
            stack.enter_context(final)
        stack.enter_context(hooked({layer: module_at(model, layer) for layer in layers}, on_output))
        try:
            model.module(inputs)
        except _Finished:
            return
    if not pending:
        return  # the network has a bare ``except:`` and went on
    missed = ", ".join(sorted(map(str, pending)))
    raise ModelError(
        f"{model.name} did not reach {missed} on this input. "
        "`convscope layers` lists the layers that run, and how often."
    )


def main_tensor(output: Any, layer: str, model: Model) -> Tensor:  # noqa: ANN401 - a module may return anything
    """Find the one tensor in a layer's output: itself, ``out`` or ``logits`` of a dict, the first of a tuple."""
    match output:
        case Tensor():
            return output
        case Mapping():
            for key in ("logits", "out", *([next(iter(output))] if len(output) == 1 else [])):
                if isinstance(value := output.get(key), Tensor):
                    return value
        case tuple() | list() if output and isinstance(output[0], Tensor):
            return output[0]
    kind = list(output) if isinstance(output, Mapping) else type(output).__name__
    raise ModelError(
        f"layer {layer!r} of {model.name} returns {kind}, in which no single tensor stands out. "
        "Choose a layer inside it, or wrap the network so that it returns its logits."
    )


def with_main_tensor(output: Any, replacement: Tensor) -> Any:  # noqa: ANN401 - a module may return anything
    """Put a replacement where ``main_tensor`` found the original."""
    kind: Any = type(output)
    match output:
        case Tensor():
            return replacement
        case Mapping():
            key = next(k for k in ("logits", "out", *output) if isinstance(output.get(k), Tensor))
            return kind({**output, key: replacement})
        case tuple() if hasattr(output, "_fields"):
            return kind(replacement, *output[1:])
        case _:
            return kind((replacement, *output[1:]))
