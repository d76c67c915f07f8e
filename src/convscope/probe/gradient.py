"""Gradients of a target with respect to the picture or to a layer, and nothing else.

A backward pass costs what its graph spans. Parameters are frozen by ``untouched`` and the graph begins at a detached
copy of the activation asked for, so Grad-CAM pays one forward pass and the backward pass of the tail.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.graph import Node

from convscope.errors import MethodError
from convscope.model import Address, Model
from convscope.probe.forward import forward
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
    (gradient,) = _backward(scores, [leaf], prepare, question)
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
    gradients = _backward(scores, [kept[tap] for tap in layers], None, question)
    detached = {tap: value.detach() for tap, value in kept.items()}
    return Gradients(scores.detach(), detached, dict(zip(layers, gradients, strict=True)))


def _backward(scores: Tensor, leaves: Sequence[Tensor], prepare: Prepare | None, question: BatchTarget) -> list[Tensor]:
    if scores.grad_fn is None:
        raise MethodError(
            f"no gradient leads from {question.names[0]} back to what is asked for: the network cuts it off (no_grad, detach or a constant)."
        )
    if prepare is not None:
        prepare(scores.grad_fn)
    gradients = torch.autograd.grad(scores.sum(), leaves, allow_unused=True)
    if any(gradient is None for gradient in gradients):
        raise MethodError(
            f"the chosen layer does not influence {question.names[0]}. Choose a layer before it, or another target."
        )
    return [gradient for gradient in gradients if gradient is not None]
