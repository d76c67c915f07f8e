import numpy as np
import pytest
import torch
from scipy.ndimage import sobel

from convscope.image import edges, luminance


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("size", [(9, 12), (1, 7), (7, 1), (1, 1)])
def test_equals_scipy_on_the_luminance(channels, size):
    images = torch.rand(2, channels, *size, dtype=torch.float64)
    weights = {3: [0.299, 0.587, 0.114]}.get(channels, [1 / channels] * channels)
    for image, ours in zip(images.numpy(), edges(images).numpy(), strict=True):
        gray = np.tensordot(weights, image, 1)
        slopes = [sobel(gray, axis=axis, mode="nearest") / 8 for axis in (0, 1)]
        assert np.allclose(ours, np.hypot(*slopes), atol=1e-7)


def test_a_ramp_has_its_slope_and_a_constant_none():
    ramp = (torch.arange(20.0) * 0.03).expand(1, 3, 10, 20)
    assert torch.allclose(edges(ramp)[0, :, 1:-1], torch.tensor(0.03), atol=1e-6)
    assert edges(torch.full((1, 3, 8, 8), 0.7)).abs().max() < 1e-6


def test_luminance_of_white_is_one():
    assert torch.allclose(luminance(torch.ones(1, 3, 2, 2)), torch.ones(1, 2, 2))
