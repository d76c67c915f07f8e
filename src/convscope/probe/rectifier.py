"""Rules for the backward pass through rectifiers, whatever their spelling.

``nn.ReLU``, ``F.relu``, ``torch.relu_``, ``x.relu()``, reused, in place, scripted: all of them leave the same node in
the autograd graph. The rule is hooked into those nodes for one backward pass. Nothing of the network is replaced, the
forward pass is not touched, and the hooks go when the graph goes. The walk also counts: every rectifier between target
and picture is either covered by the rule or makes the method refuse, and so do nodes that may hide one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.graph import Node

from convscope.errors import MethodError

Rule = Literal["guided", "deconvnet"]

_LOWER_BOUND: Mapping[str, str] = {
    "Hardtanh": "_saved_min_val",
    "ClampMin": "_saved_min",
    "Clamp": "_saved_min",
    "Threshold": "_saved_threshold",
}
"""Nodes that are rectifiers only if they cut at zero, and where they keep their lower bound."""

_EXACT = {"Relu"}
_HARMLESS = {"BackwardHookFunction"}
"""What a backward hook of the user's leaves in the graph: an identity."""

_HIDING: Mapping[str, str] = {
    "DifferentiableGraph": "code compiled by torch.jit",
    "CopySlices": "an in-place operation on part of a tensor or on a view",
}
_SELECTING = {"Where": "_saved_condition", "MaskedFill": "_saved_mask", "Mul": "_saved_other"}
"""Nodes that are rectifiers if they keep what is positive, and where they keep the condition."""

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
        MethodError: the graph passes through something that may hide a rectifier: a Python autograd function, compiled
            code, an in-place write into part of a tensor, or a choice by a condition (``torch.where(x > 0, x, 0)``).
    """
    coverage = Coverage()
    for node in _nodes(root):
        kind = _kind(node)
        if kind in _HARMLESS:
            continue
        if hiding := _hides(node, kind):
            raise MethodError(
                f"the network runs {hiding}, in which a rectifier cannot be seen, so {rule} might silently be a plain "
                "gradient there. Write it as F.relu, switch it off in the network, or use another method."
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


def _nodes(root: Node) -> list[Any]:
    """All nodes behind a root; those of extensions and of Python functions are no ``Node`` to Python."""
    seen = {root}
    stack = [root]
    while stack:
        for following, _ in stack.pop().next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                stack.append(following)
    return list(seen)


def _kind(node: Any) -> str:  # noqa: ANN401 - see ``_nodes``
    name: str = node.name().rsplit("::", 1)[-1]
    return re.sub(r"Backward\d*$", "", name)


def _hides(node: Any, kind: str) -> str:  # noqa: ANN401 - see ``_nodes``
    """Say what a node may hide; an empty string if nothing."""
    if kind in _HIDING:
        return _HIDING[kind]
    if isinstance(node, torch.autograd.function.BackwardCFunction):
        return f"{kind}, a Python autograd function (a checkpoint or a custom activation)"
    if type(node).__name__ == "CppFunction":
        return f"{kind}, an autograd function of an extension"
    condition = getattr(node, _SELECTING[kind], None) if kind in _SELECTING else None
    if isinstance(condition, Tensor) and condition.dtype == torch.bool:
        return "a choice by a condition (torch.where, masked_fill or a product with a mask)"
    return ""


def _cuts_at_zero(node: Node, kind: str) -> bool:
    attribute = _LOWER_BOUND.get(kind)
    if attribute is not None:
        return _is_zero(getattr(node, attribute, None))
    if kind in {"Maximum", "Fmax"}:
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
