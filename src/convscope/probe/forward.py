"""From images in [0, 1] to the deepest tap."""

from collections.abc import Iterable

from convscope.errors import ModelError
from convscope.model import Address, Model
from convscope.probe.layout import layout
from convscope.probe.tap import COMPLAINTS, Visitor, complaint, run
from convscope.shapes import Images


def forward(model: Model, images: Images, taps: Iterable[Address], visit: Visitor) -> None:
    """Normalize and run up to the deepest tap, turning the network's own complaints into one line.

    Raises:
        ModelError: the network fails on these images.
    """
    inputs = model.normalize(images)
    try:
        run(model, inputs, taps, visit, bypass=layout(model).bypass)
    except COMPLAINTS as error:
        size, own = tuple(images.shape[2:]), model.spec.preprocessing.size
        hint = "" if size == own else f" Its own input is {own[0]}×{own[1]}."
        raise ModelError(
            f"{model.name} does not run on {size[0]}×{size[1]} images: {complaint(error)}.{hint}"
        ) from error
