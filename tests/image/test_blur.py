import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from convscope.errors import ImageError
from convscope.image import gaussian_blur


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    sigma=st.one_of(st.just(0.0), st.floats(0.05, 12)),
    seed=st.integers(0, 99),
)
def test_equals_scipy_for_any_size_also_where_the_kernel_is_larger_than_the_picture(height, width, sigma, seed):
    images = torch.rand(2, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    expected = gaussian_filter(images.numpy(), (0, 0, sigma, sigma), mode="mirror")
    assert torch.allclose(gaussian_blur(images, sigma), torch.from_numpy(expected), atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("value", [0.1, 0.3, 1 / 3, 0.498, 1.0])
def test_a_constant_stays_the_same_to_the_last_bit(value, dtype):
    images = torch.full((1, 3, 17, 30), value, dtype=dtype)
    assert torch.equal(gaussian_blur(images, 3.7), images)


def test_a_point_becomes_the_gaussian():
    images = torch.zeros(1, 1, 41, 41)
    images[0, 0, 20, 20] = 1
    blurred = gaussian_blur(images, 2.0)[0, 0]
    assert blurred.sum() == pytest.approx(1, abs=1e-5)
    assert blurred[20, 23] / blurred[20, 20] == pytest.approx(torch.exp(torch.tensor(-9 / 8)).item(), rel=1e-4)
    assert torch.allclose(blurred, blurred.T)


def test_gradients_flow_and_the_input_is_left_alone():
    images = torch.rand(1, 1, 6, 5, dtype=torch.float64, requires_grad=True)
    before = images.detach().clone()
    assert torch.autograd.gradcheck(lambda x: gaussian_blur(x, 1.5), (images,))
    assert torch.equal(images.detach(), before)


@pytest.mark.parametrize("sigma", [-1.0, float("nan"), float("inf")])
def test_a_sigma_that_is_no_width_is_an_error(sigma):
    with pytest.raises(ImageError, match=r"^cannot blur with sigma=.*: expected a number of pixels, 0 or more\.$"):
        gaussian_blur(torch.zeros(1, 1, 4, 4), sigma)
