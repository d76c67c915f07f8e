"""How much of a picture a unit sees: its box, those of the layers below it, and what of it counts."""

import time

from convscope.anatomy.column import column as column_of
from convscope.anatomy.effective_receptive_field import effective_receptive_field
from convscope.anatomy.field_box import field_box, find_unit, position_at
from convscope.errors import ImageError
from convscope.model import Model, Pictures, Progress, gather, made
from convscope.results import Field


def field(
    model: Model,
    address: str,
    *,
    image: Pictures | None = None,
    column: bool = False,
    effective: bool = False,
    pictures: Pictures | None = None,
    samples: int = 64,
    seed: int = 0,
    progress: Progress | None = None,
) -> Field:
    """Find the receptive field of a unit, exact also where the network branches, ready to be drawn.

    Args:
        model: from ``convscope.load``; its own input size is what the field is computed for.
        address: ``LAYER``, ``LAYER:CHANNEL``, with or without ``@ROW,COLUMN`` (nearest to the picture's middle by
            default), or a class. All channels of a position see the same box.
        image: one picture to draw the field on.
        column: also find the fields of the layers below, at the same place.
        effective: also measure which pixels count; see ``effective_receptive_field``.
        pictures: to measure that on; uniform noise by default.
        samples: number of noise inputs.
        seed: of every random draw.
        progress: told how far it has come.

    Raises:
        AddressError: no such layer, channel or position.
        ImageError: the picture cannot be used, or there are several.
        MethodError: the effective field cannot be measured.
        ModelError: the network cannot be exported, or does not run on pictures of its size.

    Example:
        >>> from convscope.model import load
        >>> seen = field(load("torchvision:resnet18", weights=None), "layer2.0.conv1@0,0").boxes[-1]
        >>> seen.size, seen.stride, seen.box
        ((51.0, 51.0), (8.0, 8.0), (0, 0, 26, 26))
    """
    started = time.perf_counter()
    unit, own = find_unit(model, address)
    box = field_box(own, unit.position)
    below = column_of(model, str(unit.tap))[:-1] if column else ()
    backdrop = None
    if image is not None:
        backdrop = gather(model, image)[0]
        if len(backdrop) != 1:
            raise ImageError(f"a field is drawn on one picture, got {len(backdrop)}. Give one file, or sample:cat.")
    measured = None
    if effective:
        measured = effective_receptive_field(
            model, str(unit), pictures=pictures, samples=samples, seed=seed, image=backdrop, progress=progress
        )
    return Field(
        address=str(unit),
        image_size=own.image_size,
        boxes=(*(field_box(other, position_at(other, box.center)) for other in below), box),
        image=backdrop,
        effective=measured,
        provenance=made(
            model,
            "field",
            started=started,
            targets=(str(unit),),
            seed=seed,
            options={"column": column, "effective": effective},
        ),
    )
