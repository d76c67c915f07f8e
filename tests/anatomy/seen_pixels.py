"""Receptive fields the slow way: differentiate a network in which every path counts, and look which pixels matter."""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class SumOfWindow(TorchFunctionMode):
    """Max-pooling takes one winner; here all of the window counts."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", "") in {"max_pool2d", "_max_pool2d", "boolean_dispatch"}:
            return _sum_pool(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") == "adaptive_max_pool2d":
            return F.adaptive_avg_pool2d(*args[:2])
        return func(*args, **(kwargs or {}))


def _sum_pool(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    stride = stride or kernel_size
    kernel, stride, padding, dilation = (
        v if isinstance(v, tuple | list) else (v, v) for v in (kernel_size, stride, padding, dilation)
    )
    out = F.max_pool2d(x.detach(), kernel, stride, padding, dilation, ceil_mode).shape[2:]
    need = [(out[i] - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1 for i in range(2)]
    after = [max(0, need[i] - x.shape[2 + i] - padding[i]) for i in range(2)]
    padded = F.pad(x, (padding[1], after[1], padding[0], after[0]))
    weight = torch.ones(x.shape[1], 1, *kernel, dtype=x.dtype)
    return F.conv2d(padded, weight, stride=stride, dilation=dilation, groups=x.shape[1])[:, :, : out[0], : out[1]]


def positive(module: nn.Module, seed: int = 0) -> nn.Module:
    """A double-precision copy with positive weights that average, no biases, and neutral batch norm."""
    twin = copy.deepcopy(module).double().eval()
    generator = torch.Generator().manual_seed(seed)
    for part in twin.modules():
        for name, parameter in part.named_parameters(recurse=False):
            values = torch.rand(parameter.shape, generator=generator, dtype=torch.float64) + 0.5
            if name == "bias":
                values = torch.zeros_like(values)
            elif parameter.ndim > 1 and not isinstance(part, nn.ConvTranspose2d):
                values = values / values.flatten(1).sum(1).reshape(-1, *[1] * (parameter.ndim - 1))
            parameter.data = values
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.zero_()
            part.running_var.fill_(1)
            part.weight.data *= 0.5
    return twin


def seen_box(value: Tensor, inputs: Tensor, row: int, column: int) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) of the pixels that change one position of (1, c, h, w); all zero if none does."""
    return seen_boxes(value, inputs, [(row, column)], negligible=1e-13)[0]


def seen_boxes(value, inputs, units, negligible=0.0):
    """The boxes of several units in one backward pass: of the first in the first picture, and so on."""
    weights = torch.rand(value.shape[1], generator=torch.Generator().manual_seed(0)).to(value) + 0.5
    score = sum((value[index, :, row, column] * weights).sum() for index, (row, column) in enumerate(units))
    gradient = None
    if score.requires_grad:
        (gradient,) = torch.autograd.grad(score, inputs, retain_graph=True, allow_unused=True)
    if gradient is None:
        return [(0, 0, 0, 0)] * len(units)
    return [_box(one.abs().amax(dim=0), negligible) for one in gradient]


def _box(size, negligible):
    seen = size > size.max() * negligible
    rows, columns = (seen.any(dim=1 - axis).nonzero().flatten().tolist() for axis in (0, 1))
    return (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1) if rows else (0, 0, 0, 0)


def places(rows: int, columns: int) -> list[tuple[int, int]]:
    """Center, edges and corners of a map."""
    picks = [sorted({0, count // 2, count - 1}) for count in (rows, columns)]
    return [(row, column) for row in picks[0] for column in picks[1]]
