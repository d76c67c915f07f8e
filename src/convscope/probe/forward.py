"""From images in [0, 1] to the deepest tap."""

from collections.abc import Iterable

import torch
from torch import Tensor

from convscope.errors import ModelError
from convscope.model import Address, Model
from convscope.probe.layout import layout
from convscope.probe.tap import COMPLAINTS, Visitor, complaint, run
from convscope.shapes import Images

WORTH_PACKING = 4
"""Pictures from which channels-last order pays on a CPU: forward and backward take 10 to 20 % less, depthwise
convolutions more; below it, reordering the weights costs as much as it gains."""


def forward(model: Model, images: Images, taps: Iterable[Address], visit: Visitor) -> None:
    """Normalize and run up to the deepest tap, turning the network's own complaints into one line.

    Raises:
        ModelError: the network fails on these images.
    """
    inputs = _packed(model, model.normalize(images))
    try:
        run(model, inputs, taps, visit, bypass=layout(model).bypass)
    except COMPLAINTS as error:
        size, own = tuple(images.shape[2:]), model.spec.preprocessing.size
        hint = "" if size == own else f" Its own input is {own[0]}×{own[1]}."
        raise ModelError(
            f"{model.name} does not run on {size[0]}×{size[1]} images: {complaint(error)}.{hint}"
        ) from error


def _packed(model: Model, inputs: Tensor) -> Tensor:
    """Store a batch in channels-last order where that is faster and the network takes it."""
    if inputs.device.type != "cpu" or len(inputs) < WORTH_PACKING or not _takes_channels_last(model, inputs):
        return inputs
    return inputs.contiguous(memory_format=torch.channels_last)


def _takes_channels_last(model: Model, inputs: Tensor) -> bool:
    """Whether the network runs on channels-last input; one that calls ``view`` on a map may not. Learned once."""
    if "takes channels last" not in model.memo:
        trial = inputs[:1].detach().contiguous(memory_format=torch.channels_last)
        try:
            with torch.no_grad():
                model.module(trial)
        except COMPLAINTS:
            model.memo["takes channels last"] = False  # plain order is as right; a real complaint comes up there again
        else:
            model.memo["takes channels last"] = True
    known: bool = model.memo["takes channels last"]
    return known
