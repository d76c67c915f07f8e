"""Rules for the backward pass through rectifiers, whatever their spelling.

``nn.ReLU``, ``F.relu``, ``torch.relu_``, ``x.relu()``, reused, in place, scripted: all of them leave the same node in
the autograd graph. The rule is hooked into those nodes for one backward pass. Nothing of the network is replaced, the
forward pass is not touched, and the hooks go when the graph goes. The walk also counts: every rectifier between target
and picture is either covered by the rule or makes the method refuse.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.graph import Node

from convscope.errors import MethodError

Rule = Literal["guided", "deconvnet"]

_LOWER_BOUND = {
    "Hardtanh": "_saved_min_val",
    "ClampMin": "_saved_min",
    "Clamp": "_saved_min",
    "Threshold": "_saved_threshold",
}
"""Nodes that are rectifiers only if they cut at zero, and where they keep their lower bound."""

_EXACT = {"Relu"}
_SMOOTH = {
    "Silu",
    "Gelu",
    "Hardswish",
    "LeakyRelu",
    "Elu",
    "Celu",
    "Mish",
    "Softplus",
    "PreluKernel",
    "RreluWithNoise",
}


@dataclass
class Coverage:
    """What the rule met on the way from the target to the picture.

    Attributes:
        rectifiers: exact rectifiers (max(x, 0), with or without an upper bound) covered, by kind.
        smooth: other activations covered by the stated heuristic, by kind.
    """

    rectifiers: dict[str, int] = field(default_factory=dict)
    smooth: dict[str, int] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """One line: how many calls were covered."""
        total = sum(self.rectifiers.values()) + sum(self.smooth.values())
        kinds = ", ".join(f"{count} {kind}" for kind, count in (self.rectifiers | self.smooth).items())
        return (
            f"{total}/{total} activation calls covered ({kinds})"
            if total
            else "no activation between target and picture"
        )


def hook_rectifiers(root: Node, rule: Rule) -> Coverage:
    """Hook a rule into every rectifier of an autograd graph.

    guided (Springenberg et al. 2014, arXiv:1412.6806): R_in = 1[x > 0] · max(R_out, 0).
    deconvnet (Zeiler & Fergus 2014, arXiv:1311.2901): R_in = max(R_out, 0).
    For activations with another slope (SiLU, GELU, LeakyReLU, …) no paper defines the rule. Here guided multiplies
    max(R_out, 0) by the activation's own derivative, and deconvnet passes max(R_out, 0) on; the coverage says so.

    Raises:
        MethodError: the graph passes through a Python autograd function, whose inside cannot be seen.
    """
    coverage = Coverage()
    for node in _nodes(root):
        kind = _kind(node)
        if _is_opaque(node):
            raise MethodError(
                f"the network runs {kind}, a Python autograd function whose activations cannot be seen (a checkpoint or custom "
                f"ReLU), so {rule} would silently be a plain gradient there. Switch it off in the network, or use another method."
            )
        if kind in _SMOOTH:
            coverage.smooth[kind] = coverage.smooth.get(kind, 0) + 1
        elif kind in _EXACT or _cuts_at_zero(node, kind):
            coverage.rectifiers[kind] = coverage.rectifiers.get(kind, 0) + 1
        else:
            continue
        if rule == "guided":
            node.register_prehook(_positive)
        else:
            node.register_hook(_deconvolve)
    return coverage


def _nodes(root: Node) -> list[Node]:
    seen = {root}
    stack = [root]
    while stack:
        for following, _ in stack.pop().next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                stack.append(following)
    return list(seen)


def _kind(node: Node) -> str:
    return re.sub(r"Backward\d*$", "", node.name().rsplit("::", 1)[-1])


def _is_opaque(node: Node) -> bool:
    return isinstance(node, torch.autograd.function.BackwardCFunction)


def _cuts_at_zero(node: Node, kind: str) -> bool:
    attribute = _LOWER_BOUND.get(kind)
    if attribute is not None:
        return _is_zero(getattr(node, attribute, None))
    if kind == "Maximum":
        return any(_is_zero(getattr(node, side, None)) for side in ("_saved_self", "_saved_other"))
    return False


def _is_zero(bound: Any) -> bool:  # noqa: ANN401 - a number, a tensor or nothing, as autograd saved it
    return bound is not None and not bool(bound.any() if isinstance(bound, Tensor) else bound)


def _positive(outgoing: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    return tuple(None if signal is None else signal.clamp(min=0) for signal in outgoing)


def _deconvolve(incoming: tuple[Tensor | None, ...], outgoing: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    signal = outgoing[0]
    passed = None if signal is None else signal.clamp(min=0)
    return tuple(None if gradient is None else passed for gradient in incoming)
