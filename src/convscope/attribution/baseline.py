"""Pictures that stand for "nothing to see", which path methods start from."""

import torch
from torch import Tensor

from convscope.errors import MethodError
from convscope.image import gaussian_blur, read, to_input
from convscope.model import Model
from convscope.results import unit_range
from convscope.shapes import Image, Images

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
        generator: for ``"noise"``, uniform in [0, 1], the same for all images.

    Raises:
        MethodError: not a baseline, or a tensor of the wrong shape or range.
        ImageError: the picture at PATH cannot be read.
    """
    if isinstance(baseline, Tensor):
        return _fitting(baseline, images)
    if baseline.startswith("image:"):
        return _fitting(_picture(baseline.removeprefix("image:"), images), images)
    match baseline:
        case "black" | "white":
            return torch.full_like(images, 0.0 if baseline == "black" else 1.0)
        case "mean":
            return torch.tensor(model.spec.preprocessing.mean).to(images).view(1, -1, 1, 1).expand_as(images)
        case "blur":
            return gaussian_blur(images, BLUR_SIGMA * min(images.shape[2:]))
        case "noise":
            # One picture of noise for all images: what one of them gets must not depend on the others.
            return torch.rand(images.shape[1:], generator=generator).to(images).expand_as(images)
    if baseline.startswith("tensor "):
        raise MethodError(f"the spelling holds only a digest of the baseline, which was a {baseline}. Give it again.")
    raise MethodError(
        f"not a baseline: {baseline!r}. Expected black, white, mean, blur, noise, image:PATH or a tensor."
    )


def _picture(path: str, images: Images) -> Image:
    height, width = images.shape[2:]
    picture = read(path, channels=images.shape[1])
    return to_input(picture, (height, width), interpolation="bilinear", crop=1.0, fit="stretch")[0]


def _fitting(tensor: Tensor, images: Images) -> Images:
    tensor = tensor[None] if tensor.ndim == 3 else tensor
    if tensor.shape[1:] != images.shape[1:] or len(tensor) not in {1, len(images)}:
        raise MethodError(
            f"baseline of shape {tuple(tensor.shape)} for images of shape {tuple(images.shape)}. "
            "Give (c, h, w), (1, c, h, w) or one per image."
        )
    if not tensor.is_floating_point() or not unit_range(tensor):
        low, high = (bound.item() for bound in tensor.aminmax())
        raise MethodError(
            f"a baseline is a picture of floats in [0, 1], got {tensor.dtype} from {low:.3g} to {high:.3g}. "
            "Give pixels before normalization, divided by 255 where they are bytes."
        )
    return tensor.to(images).expand_as(images)
