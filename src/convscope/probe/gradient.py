"""Gradients of a target with respect to the picture or to a layer, and nothing else.

A backward pass costs what its graph spans. Parameters are frozen by ``untouched`` and the graph begins at a detached
copy of the activation asked for, so Grad-CAM pays one forward pass and the backward pass of the tail.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.graph import Node

from convscope.errors import MethodError
from convscope.model import Address, Model
from convscope.probe.forward import forward
from convscope.probe.layout import layout
from convscope.probe.tap import complaint
from convscope.probe.target import BatchTarget
from convscope.shapes import Images, Scores

Prepare = Callable[[Node], None]
"""Sees the root of the autograd graph before the backward pass, and may hook into its nodes."""


@dataclass(frozen=True)
class Gradients:
    """A target's value and its gradients.

    Attributes:
        scores: (n,).
        values: activations by tap, detached.
        gradients: of the sum of the scores, by tap; in eval mode images do not mix, so each image has its own.
    """

    scores: Scores
    values: dict[Address, Tensor]
    gradients: dict[Address, Tensor]


def input_gradient(
    model: Model, images: Images, question: BatchTarget, *, prepare: Prepare | None = None
) -> tuple[Tensor, Scores]:
    """Differentiate a target with respect to the pixels of images in [0, 1].

    Args:
        model: inside an ``untouched`` block.
        images: (n, c, h, w) in [0, 1].
        question: the target of each image.
        prepare: sees the autograd graph before the backward pass (guided backpropagation hooks in here).

    Raises:
        ModelError: the network does not run on these images.
        MethodError: the picture does not influence the target, or the backward pass fails.

    Returns:
        Gradient (n, c, h, w) per unit of a [0, 1] pixel, in the network's dtype, and scores (n,).
    """
    leaf = images.detach().clone().to(model.device, model.dtype).requires_grad_()
    kept: dict[Address, Tensor] = {}

    def visit(tap: Address, output: Tensor) -> Tensor:
        kept[tap] = output
        return output.clone()  # what follows in place must not rewrite what the target reads

    forward(model, leaf, question.taps, visit)
    scores = question.read(kept)
    (gradient,) = _backward(scores, {"the picture": leaf}, prepare, question)
    return gradient, scores.detach()


def layer_gradients(model: Model, images: Images, layers: Iterable[Address], question: BatchTarget) -> Gradients:
    """Differentiate a target with respect to the outputs of layers, starting the graph at the first of them.

    Args:
        model: inside an ``untouched`` block.
        images: (n, c, h, w) in [0, 1].
        layers: taps with explicit calls.
        question: the target of each image.

    Raises:
        MethodError: a layer does not influence the target.
    """
    layers = tuple(layers)
    kept: dict[Address, Tensor] = {}

    def visit(tap: Address, output: Tensor) -> Tensor:
        # A fresh leaf where no graph has begun upstream. Two copies: one to differentiate, one to go on with, since
        # the network may overwrite its own tensors in place.
        kept[tap] = output.clone() if output.requires_grad else output.detach().clone().requires_grad_(tap in layers)
        return kept[tap].clone()

    forward(model, images.detach().clone(), dict.fromkeys((*layers, *question.taps)), visit)
    scores = question.read(kept)
    gradients = _backward(scores, {layout(model).name(tap): kept[tap] for tap in layers}, None, question)
    detached = {tap: value.detach() for tap, value in kept.items()}
    return Gradients(scores.detach(), detached, dict(zip(layers, gradients, strict=True)))


def _backward(
    scores: Tensor, leaves: Mapping[str, Tensor], prepare: Prepare | None, question: BatchTarget
) -> list[Tensor]:
    """Differentiate by the leaves, given by their names; one that does not matter is an error, never a silent zero."""
    asked, target = " and ".join(leaves), question.names[0]
    if scores.grad_fn is None:
        raise MethodError(
            f"no gradient leads from {target} back to {asked}: the target lies before it, or the network cuts the way "
            "(no_grad, detach or a constant). Choose an earlier layer, or another target."
        )
    if prepare is not None:
        prepare(scores.grad_fn)
    try:
        gradients = torch.autograd.grad(scores.sum(), list(leaves.values()), allow_unused=True)
    except RuntimeError as error:
        raise MethodError(
            f"the backward pass from {target} to {asked} failed: {complaint(error)}. "
            "If the network uses torch.utils.checkpoint, switch it off."
        ) from error
    for name, gradient in zip(leaves, gradients, strict=True):
        if gradient is None:
            raise MethodError(f"{name} does not influence {target}. Choose an earlier layer, or another target.")
    return [gradient for gradient in gradients if gradient is not None]
