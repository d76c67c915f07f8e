"""From images in [0, 1] to the deepest tap."""

from collections.abc import Iterable

from convscope.errors import ModelError
from convscope.model import Address, Model
from convscope.probe.layout import layout
from convscope.probe.tap import Visitor, run
from convscope.shapes import Images


def forward(model: Model, images: Images, taps: Iterable[Address], visit: Visitor) -> None:
    """Normalize and run up to the deepest tap, turning the network's own complaints into one line.

    Raises:
        ModelError: the network fails on these images.
    """
    inputs = model.normalize(images)
    try:
        run(model, inputs, taps, visit, bypass=layout(model).bypass)
    except RuntimeError as error:
        size = model.spec.preprocessing.size
        first = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{model.name} does not run on {images.shape[2]}×{images.shape[3]} images: {first}. Its own input is {size[0]}×{size[1]}."
        ) from error
