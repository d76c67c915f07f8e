"""A target's value, without gradients."""

import torch
from torch import Tensor

from convscope.model import Address, Model
from convscope.probe.forward import forward
from convscope.probe.target import BatchTarget
from convscope.shapes import Images, Scores


def score(model: Model, images: Images, question: BatchTarget) -> Scores:
    """Read the target off each image: (n,), detached. Settles ``class:topN``. Inside an ``untouched`` block."""
    seen: dict[Address, Tensor] = {}

    def visit(tap: Address, output: Tensor) -> None:
        seen[tap] = output.detach().clone()

    with torch.no_grad():
        forward(model, images, question.taps, visit)
        return question.read(seen)
