"""Effective receptive fields, Luo et al. 2016 (arXiv:1701.04128): which pixels a unit really listens to.

A unit can see its whole theoretical field, yet pixels at its rim reach it along few paths. The gradient at the input,
taken over many inputs, shows how much each pixel counts: mostly a Gaussian, a good deal smaller than the field.
"""

import time
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from convscope.anatomy.field_box import field_box, find_unit, read_unit
from convscope.anatomy.gaussian_fit import fit_gaussian
from convscope.errors import MethodError
from convscope.model import Address, Model, Pictures, Progress, gather, made
from convscope.probe import Target, batch_target, input_gradient, layout, untouched
from convscope.results import EffectiveField
from convscope.shapes import Images, Map

SHARE = 0.95
"""Of the energy that ``EffectiveField.energy_area`` holds."""

TWO_SIGMA = 1 - 0.9545
"""Luo et al.: a pixel belongs to the effective field if its gradient is above 1 − 95.45 % of the central one."""

Values = Mapping[Address, Tensor]

_TOGETHER = 8
"""Inputs that go through the network together; bounds the memory."""


def effective_receptive_field(
    model: Model,
    address: str,
    *,
    pictures: Pictures | None = None,
    samples: int = 64,
    seed: int = 0,
    image: Images | None = None,
    progress: Progress | None = None,
) -> EffectiveField:
    """Measure the effective receptive field of a unit, after Luo et al. 2016 (arXiv:1701.04128).

    energy(p) = mean over inputs of Σ over input channels of (∂unit / ∂p)², with p a pixel in [0, 1]. For an address
    without a channel the energies of all channels at that position are added up, by differentiating their sum with
    random signs, drawn anew for each input (Hutchinson 1990): right on average, and one backward pass per input.

    Differs from the paper: energies are averaged, not gradients, so that inputs do not cancel; the two-sigma area is
    taken relative to the largest gradient, not to the central one, since the center of a strided network's field may
    lie between the pixels that its windows meet.

    Args:
        model: the network.
        address: ``LAYER``, ``LAYER:CHANNEL``, with or without ``@ROW,COLUMN`` (nearest to the picture's middle by
            default), or a class.
        pictures: to measure on; uniform noise in [0, 1] by default.
        samples: number of noise inputs.
        seed: of the noise and the signs.
        image: to draw the field on, (1, c, h, w); it takes no part in the measurement.
        progress: told how far it has come.

    Raises:
        AddressError: no such layer, channel or position.
        MethodError: ``samples`` is below 1, or the gradient is zero on every input.
        ImageError: none of the pictures can be used.
        ModelError: the network cannot be exported.
    """
    if samples < 1:
        raise MethodError(f"samples={samples}: at least one input is needed. 32 to 256 give a smooth field.")
    started = time.perf_counter()
    unit, field = find_unit(model, address)
    box = field_box(field, unit.position)
    generator = torch.Generator().manual_seed(seed)
    if pictures is None:
        inputs: Iterator[Images] = _noise(model, samples, generator)
        words = f"{samples} inputs of uniform noise"
    else:
        images = gather(model, pictures, progress=progress)[0]
        samples, words = len(images), f"{len(images)} picture{'s' if len(images) > 1 else ''}"
        inputs = (images[first : first + _TOGETHER] for first in range(0, samples, _TOGETHER))
    total, silent = torch.zeros(field.image_size, dtype=torch.float64), 0
    done = 0
    for batch in inputs:
        if progress:
            progress("effective field", done, samples)
        squares = _squares(model, batch, unit, generator)
        total += squares.sum(dim=0)
        silent += int((squares.flatten(1).amax(dim=1) == 0).sum())
        done += len(batch)
    if silent == samples:
        raise MethodError(
            f"the gradient of {unit} is zero on all of {words}: the unit was off. Give pictures that excite it, "
            "or look at the layer before its activation function."
        )
    energy = (total / samples).float()
    top, left, bottom, right = box.box
    return EffectiveField(
        address=str(unit),
        energy=energy,
        box=box,
        inputs=words,
        samples=samples,
        silent=silent,
        energy_area=smallest_area(energy, SHARE),
        two_sigma_area=int((energy.sqrt() > TWO_SIGMA * energy.max().sqrt()).sum()),
        gaussian=fit_gaussian(energy[top:bottom, left:right], origin=(top, left)),
        image=image,
        provenance=made(
            model,
            "effective_receptive_field",
            started=started,
            targets=(str(unit),),
            seed=seed,
            options={"inputs": words, "samples": samples},
        ),
    )


def smallest_area(energy: Map, share: float) -> int:
    """Return the smallest number of pixels that together hold a share of all energy."""
    held = energy.double().flatten().sort(descending=True).values.cumsum(dim=0)
    return int((held < share * held[-1]).sum()) + 1


def _noise(model: Model, samples: int, generator: torch.Generator) -> Iterator[Images]:
    for first in range(0, samples, _TOGETHER):
        shape = (min(_TOGETHER, samples - first), model.channels, *model.spec.preprocessing.size)
        yield torch.rand(shape, generator=generator)


def _squares(model: Model, images: Images, unit: Address, generator: torch.Generator) -> Tensor:
    """Σ over input channels of the squared gradient for each image, (n, h, w) in float64 on the CPU."""
    tap = layout(model).tap(unit, model)

    def read(values: Values) -> Tensor:
        channels = read_unit(model, unit, values[tap], (images.shape[2], images.shape[3]))
        if channels.shape[1] == 1:
            return channels[:, 0]
        signs = torch.randint(0, 2, tuple(channels.shape), generator=generator) * 2 - 1
        return (channels * signs.to(channels)).sum(dim=1)

    with untouched(model):
        question = batch_target(model, images, Target(str(unit), (tap,), read))
        gradient, _ = input_gradient(model, images, question)
    return gradient.double().cpu().square().sum(dim=1)
