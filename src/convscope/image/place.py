"""A small map over its picture: each cell's value stands at the center of what the cell sees."""

import torch
from torch import Tensor

from convscope.shapes import Cells, ChannelMaps


def place(
    cells: Cells, image_size: tuple[int, int], start: tuple[float, float], stride: tuple[float, float]
) -> ChannelMaps:
    """Spread a map over the picture, bilinear between the centers of its cells.

    Between the outermost centers and the border the value stays that of the nearest cell.

    Args:
        cells: (n, 1, rows, columns).
        image_size: (height, width) of the picture.
        start: (row, column) of the center of cell 0,0 in pixels, where pixel 0 has its center at 0; may be negative.
        stride: (rows, columns) in pixels between neighboring centers, positive.

    Returns:
        (n, 1, height, width).
    """
    rows, columns = (_weights(image_size[i], cells.shape[2 + i], start[i], stride[i]).to(cells) for i in range(2))
    return rows @ cells @ columns.T


def _weights(pixels: int, count: int, start: float, stride: float) -> Tensor:
    """Weight of each cell at each pixel along one axis, (pixels, count); each row adds up to 1."""
    position = ((torch.arange(pixels, dtype=torch.float64) - start) / stride).clamp(0, count - 1)
    return (1 - (position[:, None] - torch.arange(count)).abs()).clamp(min=0)
