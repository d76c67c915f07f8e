"""Gaussian blur of image tensors."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from convscope.errors import ImageError
from convscope.shapes import Images


def gaussian_blur(images: Images, sigma: float) -> Images:
    """Blur with a Gaussian, rows and columns one after the other.

    w(k) ∝ exp(−k² / 2σ²) for |k| ≤ ⌊4σ + ½⌋, scaled to sum to 1. Beyond the border the picture is mirrored
    about its outermost pixels (which are not repeated), as often as needed, so any size down to one pixel
    works. Equals ``scipy.ndimage.gaussian_filter(mode="mirror")``. Differentiable. A constant picture stays
    the same to the last bit.

    Args:
        images: (n, c, h, w), of any range.
        sigma: standard deviation in pixels; 0 leaves the images as they are.

    Raises:
        ImageError: if sigma is negative or not finite.
    """
    if not (math.isfinite(sigma) and sigma >= 0):
        raise ImageError(f"cannot blur with sigma={sigma}: expected a number of pixels, 0 or more.")
    # Only differences from one pixel are summed: what is constant has none, and no rounding can creep in.
    anchor = images[..., :1, :1]
    return anchor + _along_columns(_along_columns(images - anchor, sigma).mT, sigma).mT


def _along_columns(images: Tensor, sigma: float) -> Tensor:
    n, c, h, w = images.shape
    radius = int(4 * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (offsets / sigma).square()) if radius else torch.ones(1, dtype=torch.float64)
    kernel = (weights / weights.sum()).to(images)
    padded = images[..., _mirror(w, radius).to(images.device)]
    return F.conv1d(padded.reshape(n * c * h, 1, -1), kernel.view(1, 1, -1)).view(n, c, h, w)


def _mirror(size: int, margin: int) -> Tensor:
    """Indices −margin … size + margin − 1 folded back into the picture: a triangular wave."""
    period = max(2 * size - 2, 1)
    phase = torch.arange(-margin, size + margin) % period
    return torch.minimum(phase, period - phase) if size > 1 else torch.zeros_like(phase)
