"""Pictures that stand for "nothing to see", which path methods start from."""

import torch
from torch import Tensor

from convscope.errors import MethodError
from convscope.image import gaussian_blur, read, to_input
from convscope.model import Model
from convscope.shapes import Images

Baseline = str | Tensor
"""``"black"``, ``"white"``, ``"mean"``, ``"blur"``, ``"noise"``, ``"image:PATH"``, or a tensor in [0, 1]."""

BLUR_SIGMA = 0.08
"""Standard deviation of the blur, as a part of the shorter side: no object survives it."""


def baseline_images(model: Model, images: Images, baseline: Baseline, generator: torch.Generator) -> Images:
    """Make one baseline per image: (n, c, h, w), on the images' device.

    Args:
        model: whose mean color ``"mean"`` takes, and whose preprocessing ``"image:PATH"`` goes through.
        images: (n, c, h, w) in [0, 1].
        baseline: which kind; a tensor must broadcast to the images: (c, h, w), (1, c, h, w) or (n, c, h, w).
        generator: for ``"noise"``, uniform in [0, 1].

    Raises:
        MethodError: not a baseline, or a tensor of the wrong shape.
        ImageError: the picture at PATH cannot be read.
    """
    if isinstance(baseline, Tensor):
        return _fitting(baseline, images)
    match baseline:
        case "black":
            return torch.zeros_like(images)
        case "white":
            return torch.ones_like(images)
        case "mean":
            return torch.tensor(model.spec.preprocessing.mean).to(images).view(1, -1, 1, 1).expand_as(images)
        case "blur":
            return gaussian_blur(images, BLUR_SIGMA * min(images.shape[2:]))
        case "noise":
            return torch.rand(images.shape, generator=generator).to(images)
    if baseline.startswith("image:"):
        picture = read(baseline.removeprefix("image:"), channels=images.shape[1])
        height, width = images.shape[2:]
        tensor, _ = to_input(picture, (height, width), interpolation="bilinear", crop=1.0, fit="stretch")
        return _fitting(tensor, images)
    raise MethodError(
        f"not a baseline: {baseline!r}. Expected black, white, mean, blur, noise, image:PATH or a tensor."
    )


def _fitting(tensor: Tensor, images: Tensor) -> Tensor:
    tensor = tensor[None] if tensor.ndim == 3 else tensor
    if tensor.shape[1:] != images.shape[1:] or len(tensor) not in (1, len(images)):
        raise MethodError(
            f"baseline of shape {tuple(tensor.shape)} for images of shape {tuple(images.shape)}. Give (c, h, w), (1, c, h, w) or one per image."
        )
    return tensor.to(images).expand_as(images)
