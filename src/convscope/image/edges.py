"""How strong the edges of a picture are: the control that a heatmap must differ from."""

import torch
from torch.nn import functional as F

from convscope.shapes import Images, Maps

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in ITU-R BT.601, as in Pillow's conversion to gray."""


def edges(images: Images) -> Maps:
    """Sobel gradient magnitude √(gₓ² + g_y²) of the luminance.

    The kernels are divided by 8, so that a ramp rising by s per pixel gives s. The border is repeated. Three
    channels are weighted by ``LUMINANCE``; any other number is averaged.

    Args:
        images: (n, c, h, w).

    Returns:
        (n, h, w), in units of the images per pixel.
    """
    smooth = torch.tensor([1.0, 2.0, 1.0]) / 4
    slope = torch.tensor([-1.0, 0.0, 1.0]) / 2
    kernels = torch.stack([torch.outer(smooth, slope), torch.outer(slope, smooth)])[:, None].to(images)
    gray = luminance(images)[:, None]
    across, down = F.conv2d(F.pad(gray, (1, 1, 1, 1), mode="replicate"), kernels).unbind(dim=1)
    return torch.hypot(across, down)


def luminance(images: Images) -> Maps:
    """Gray values: (n, c, h, w) to (n, h, w)."""
    if images.shape[1] == len(LUMINANCE):
        return torch.einsum("nchw,c->nhw", images, torch.tensor(LUMINANCE).to(images))
    return images.mean(dim=1)
