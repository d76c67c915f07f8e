"""Orders in which filters are worth looking at. Each gives a number per filter, and the order that follows from it."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from convscope.errors import MethodError
from convscope.shapes import Scores, Spectra, Weights

GRAY = 0.1
"""A filter with less than this share of its energy in color (away from the gray axis) has no hue."""

ROUND = 0.2
"""A filter whose orientation tensor has a coherence below this has no orientation."""

_DEGREES = 180 / math.pi


def norms(weights: Weights) -> Scores:
    """√Σw² of each filter over channels and positions."""
    found: Tensor = torch.linalg.vector_norm(weights.double(), dim=(1, 2, 3)).float()
    return found


def hues(weights: Weights) -> Scores:
    """Hue of each filter's most colorful weight in degrees: 0 red, 120 green, 240 blue; NaN for gray filters.

    With z = r + g·e^{2πi/3} + b·e^{4πi/3} at each position, hue is the angle of the z of largest |z|. The share of a
    filter's energy that is color is ⅔ Σ|z|² / Σw²; filters with less than ``GRAY`` have no hue.
    """
    _need(weights.shape[1] == 3, "hue", "filters with three channels that read the picture")
    turns = torch.exp(2j * math.pi * torch.arange(3, dtype=torch.float64) / 3)
    chroma = (weights.double() * turns.view(1, 3, 1, 1)).sum(dim=1).flatten(1)
    strongest = chroma.gather(1, chroma.abs().argmax(dim=1, keepdim=True))[:, 0]
    share = chroma.abs().square().sum(dim=1) * 2 / 3 / norms(weights).double().square().clamp(min=1e-30)
    hue = (strongest.angle() * _DEGREES).remainder(360)
    return hue.where(share >= GRAY, math.nan).float()


def orientations(weights: Weights) -> Scores:
    """Direction of each filter's stripes in degrees, counterclockwise: 0 horizontal, 90 vertical; NaN where none.

    The principal axis of the power spectrum P (zero-padded DFT, mean of each channel taken off, summed over channels):
    ½ atan2(2 Σ P·x·y, Σ P·(x² − y²)) is the direction in which the filter changes, the stripes run across it. Filters
    with coherence √((Σ P(x²−y²))² + (2 Σ Pxy)²) / Σ P(x²+y²) below ``ROUND`` have no orientation.
    """
    _need(min(weights.shape[2:]) > 1, "orientation", "filters larger than 1×1")
    centered = weights.double() - weights.double().mean(dim=(2, 3), keepdim=True)
    power = spectrum(centered.float(), pad_to(weights.shape[2], weights.shape[3])).double().square()[:, 0]
    size = power.shape[-1]
    frequency = (torch.arange(size, dtype=torch.float64) - size // 2) / size
    x, y = frequency[None, :], -frequency[:, None]  # up is positive
    difference, cross = ((power * term).sum(dim=(1, 2)) for term in (x.square() - y.square(), 2 * x * y))
    total = (power * (x.square() + y.square())).sum(dim=(1, 2)).clamp(min=1e-30)
    stripes = (torch.atan2(cross, difference) / 2 * _DEGREES + 90).remainder(180)
    return stripes.where(torch.hypot(difference, cross) / total >= ROUND, math.nan).float()


def spectrum(weights: Weights, size: int) -> Spectra:
    """Amplitude of each filter's 2-D Fourier transform, zero frequency in the middle: (filters, 1, size, size).

    √(Σ over channels of |Σ w·e^{−2πi(ux + vy)}|²) for frequencies u, v from −½ to ½ cycles per pixel. The kernel is
    padded with zeros to ``size``, which only samples its transform more finely.
    """
    transform = torch.fft.fft2(weights.double(), s=(size, size))
    amplitude = transform.abs().square().sum(dim=1, keepdim=True).sqrt()
    centered: Tensor = torch.fft.fftshift(amplitude, dim=(2, 3)).float()
    return centered


def pad_to(rows: int, columns: int) -> int:
    """Odd size for ``spectrum``, at least 33 and twice the kernel, so that zero is exactly in the middle."""
    return max(33, 2 * max(rows, columns) + 1)


def similarities(weights: Weights) -> tuple[list[int], Scores]:
    """Chain filters so that neighbors look alike: from the one of largest norm always on to the most similar one left.

    Returns:
        The chain, and for each filter (in the layer's order) the cosine to the one before it; NaN for the first.
    """
    flat = weights.flatten(1)
    cosines = torch.nn.functional.normalize(flat, dim=1)
    cosines = cosines @ cosines.T
    current = int(norms(weights).argmax())
    chain, keys = [current], torch.full((len(flat),), math.nan)
    free = torch.ones(len(flat), dtype=torch.bool)
    for _ in range(len(flat) - 1):
        free[current] = False
        row = cosines[current].where(free, -math.inf)
        following = int(row.argmax())
        keys[following] = row[following]
        chain.append(following)
        current = following
    return chain, keys


Keys = Callable[[Tensor], Tensor]

KEYS: Mapping[str, Keys] = MappingProxyType({"norm": norms, "hue": hues, "orientation": orientations})
SORTS = ("index", *KEYS, "similarity")
"""``index``: as in the layer. ``norm``: largest first. ``hue``, ``orientation``: rising, filters without one
last, by norm. ``similarity``: a chain of nearest neighbors by cosine."""


def order(weights: Weights, sort: str) -> tuple[list[int], Scores | None]:
    """Order filters: their indices, and the number of each that the order follows from (in the layer's order).

    Raises:
        MethodError: no such order, or it is not defined for these filters.
    """
    if sort not in SORTS:
        raise MethodError(f"no order {sort!r} for filters. Choose of {', '.join(SORTS)}.")
    if sort == "index":
        return list(range(len(weights))), None
    if sort == "similarity":
        return similarities(weights)
    keys = KEYS[sort](weights)
    size = norms(weights).tolist()
    values = keys.tolist()

    def rank(index: int) -> tuple[bool, float, float]:
        missing = math.isnan(values[index])
        key = 0.0 if missing else -values[index] if sort == "norm" else values[index]
        return missing, key, -size[index]

    return sorted(range(len(weights)), key=rank), keys


def _need(condition: object, sort: str, what: str) -> None:
    if not condition:
        raise MethodError(f"sorting by {sort} needs {what}. Use sort='norm' or sort='similarity'.")
