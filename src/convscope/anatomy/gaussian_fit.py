"""The Gaussian closest to a map, by least squares."""

import torch
from torch import Tensor

from convscope.results import GaussianFit
from convscope.shapes import Map

_STEPS = 100
_DONE = 1e-9
_FEWEST = 6
"""Pixels: there are five parameters."""


def fit_gaussian(values: Map, *, origin: tuple[int, int] = (0, 0)) -> GaussianFit | None:
    """Fit peak · exp(−½ ((row − r)² / σ_r² + (column − c)² / σ_c²)) to a map (Levenberg 1944, Marquardt 1963).

    Starts from the map's moments, so values should be non-negative; there is no constant term.

    Args:
        values: (h, w).
        origin: (row, column) of the map's first pixel, added to the center.

    Returns:
        The fit; None for a map of fewer than six pixels, one that is constant, or one that
        no Gaussian with its center in the map comes near.
    """
    values = values.double()
    if values.numel() < _FEWEST or min(values.shape) < 2 or not values.std() > 0:
        return None
    scale = values.abs().max()
    target = (values / scale).flatten()
    rows, columns = (
        grid.flatten()
        for grid in torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in values.shape), indexing="ij")
    )
    parameters = _moments(target, rows, columns)
    damping = 1e-3
    error = (_gaussian(parameters, rows, columns) - target).square().sum()
    for _ in range(_STEPS):
        jacobian, residual = _jacobian(parameters, rows, columns), _gaussian(parameters, rows, columns) - target
        normal = jacobian.T @ jacobian
        damped = normal + damping * torch.diag(normal.diagonal().clamp(min=1e-12))
        step = torch.linalg.solve(damped, jacobian.T @ residual)
        trial = parameters - step
        trial_error = (_gaussian(trial, rows, columns) - target).square().sum()
        if trial_error < error:
            gained, error, parameters, damping = error - trial_error, trial_error, trial, damping / 5
            if gained <= _DONE * error or error <= _DONE**2:
                break
        elif damping > 1e12:
            break
        else:
            damping *= 5
    peak, row, column = parameters[:3].tolist()
    sigma_rows, sigma_columns = parameters[3:].exp().tolist()
    r_squared = 1 - float(error / (target - target.mean()).square().sum())
    inside = -0.5 <= row <= values.shape[0] - 0.5 and -0.5 <= column <= values.shape[1] - 0.5
    if not (inside and r_squared > 0):
        return None
    center = (row + origin[0], column + origin[1])
    return GaussianFit(center, (sigma_rows, sigma_columns), peak * float(scale), r_squared)


def _moments(target: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Peak, center and log σ of a Gaussian with the map's own mean and spread."""
    weight = target.clamp(min=0) / target.clamp(min=0).sum()
    row, column = (weight * rows).sum(), (weight * columns).sum()
    spread = [
        (weight * (at - middle).square()).sum().clamp(min=0.1).sqrt() for at, middle in ((rows, row), (columns, column))
    ]
    return torch.stack([target.max(), row, column, spread[0].log(), spread[1].log()])


def _gaussian(parameters: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    # σ by its logarithm: it stays positive without a constraint.
    peak, row, column, log_rows, log_columns = parameters
    squares = ((rows - row) / log_rows.exp()).square() + ((columns - column) / log_columns.exp()).square()
    values: Tensor = peak * (-squares / 2).exp()
    return values


def _jacobian(parameters: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    peak, row, column, log_rows, log_columns = parameters
    value = _gaussian(parameters, rows, columns)
    across_rows, across_columns = (rows - row) / log_rows.exp(), (columns - column) / log_columns.exp()
    return torch.stack(
        [
            value / peak,
            value * across_rows / log_rows.exp(),
            value * across_columns / log_columns.exp(),
            value * across_rows.square(),
            value * across_columns.square(),
        ],
        dim=1,
    )
