"""A planted Gaussian comes back, and what comes back is the least-squares optimum."""

import pytest
import torch

from convscope.anatomy.gaussian_fit import fit_gaussian


def gaussian(rows, columns, *, center, sigma, peak):
    row, column = torch.arange(rows, dtype=torch.float64)[:, None], torch.arange(columns, dtype=torch.float64)
    squares = ((row - center[0]) / sigma[0]) ** 2 + ((column - center[1]) / sigma[1]) ** 2
    return peak * torch.exp(-squares / 2)


@pytest.mark.parametrize(
    ("center", "sigma", "peak"),
    [((20.3, 40.8), (5.0, 11.0), 3e-9), ((0.0, 63.0), (2.5, 4.0), 1.0), ((30.0, 30.0), (25.0, 3.0), 7e6)],
)
def test_a_planted_gaussian_is_recovered(center, sigma, peak):
    fit = fit_gaussian(gaussian(60, 64, center=center, sigma=sigma, peak=peak).float())
    assert fit.center == pytest.approx(center, abs=1e-3)
    assert fit.sigma == pytest.approx(sigma, rel=1e-4)
    assert fit.peak == pytest.approx(peak, rel=1e-4)
    assert fit.r_squared == pytest.approx(1, abs=1e-6)


def test_the_origin_moves_the_center_alone():
    values = gaussian(30, 30, center=(12, 14), sigma=(3, 4), peak=1)
    here, there = fit_gaussian(values), fit_gaussian(values, origin=(100, 7))
    assert there.center == pytest.approx((112, 21), abs=1e-6)
    assert there.sigma == here.sigma


def test_noise_leaves_the_optimum_an_optimum():
    values = gaussian(40, 40, center=(18, 22), sigma=(6, 4), peak=1)
    noisy = values + 0.1 * torch.rand(40, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fit = fit_gaussian(noisy)

    def error(**change):
        planted = {"center": fit.center, "sigma": fit.sigma, "peak": fit.peak} | change
        return float((gaussian(40, 40, **planted) - noisy).square().sum())

    best = error()
    assert fit.r_squared == pytest.approx(1 - best / float((noisy - noisy.mean()).square().sum()))
    for step in (-0.01, 0.01):
        assert error(peak=fit.peak + step) > best
        for i in range(2):
            moved = [value + step * (i == j) for j, value in enumerate(fit.center)]
            wider = [value + step * (i == j) for j, value in enumerate(fit.sigma)]
            assert error(center=moved) > best
            assert error(sigma=wider) > best


@pytest.mark.parametrize(
    "values", [torch.zeros(9, 9), torch.ones(9, 9), torch.ones(1, 40), torch.rand(2, 2), torch.eye(9).flip(0) - 1]
)
def test_where_there_is_no_gaussian_none_is_made_up(values):
    assert fit_gaussian(values.float()) is None
