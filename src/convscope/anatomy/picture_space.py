"""First-layer filters in the color space of the picture.

A network sees (x − mean) / std, and some change the colors once more on the way (GoogLeNet's ``transform_input``).
What a filter w multiplies the picture's own pixels with is wᵀ · J / std, with J the derivative of what the layer reads
by the normalized pixel of the same place. J is measured on the exported graph: any linear change of color is undone.
"""

import torch
from torch import Tensor

from convscope.anatomy.kernels import Kernels, data_source
from convscope.model import Model
from convscope.probe import Graph, graph, layout, untouched

_POINTWISE = {
    *("add", "sub", "rsub", "mul", "div", "neg", "select", "slice", "unsqueeze", "squeeze", "cat", "stack", "split"),
    *("pad", "constant_pad_nd", "clone", "contiguous", "_to_copy", "to", "getitem", "chunk", "unbind", "expand"),
}
"""Calls that leave a pixel where it is."""


def reads_picture(model: Model, kernels: Kernels) -> bool:
    """Whether a layer reads the normalized picture itself, pixel by pixel."""
    if kernels.kind == "transposed conv" or kernels.groups != 1 or kernels.weights.shape[1] != model.channels:
        return False
    if kernels.step is None:  # no graph: the first layer that runs and takes as many channels
        running = [call.layer for call in layout(model).calls if hasattr(model.layers.get(call.layer), "weight")]
        return running[:1] == [kernels.layer]
    traced = graph(model)
    return _is_pointwise(traced, data_source(traced, kernels.step))


def in_picture_space(model: Model, kernels: Kernels) -> Tensor:
    """Express the filters of a layer that ``reads_picture`` per unit of a [0, 1] pixel: (filters, c, rows, columns)."""
    std = torch.tensor(model.spec.preprocessing.std)
    if kernels.step is None:
        return kernels.weights / std.view(1, -1, 1, 1)
    traced = graph(model)
    change = _color_change(model, traced, data_source(traced, kernels.step))
    return torch.einsum("fkrc,kj->fjrc", kernels.weights, change / std)


def _is_pointwise(traced: Graph, name: str) -> bool:
    stack, seen = [name], set[str]()
    while stack:
        current = stack.pop()
        step = traced.by_name.get(current)
        if current in seen or step is None:
            continue
        seen.add(current)
        if step.op not in _POINTWISE:
            return False
        stack.extend(step.inputs)
    return traced.input in seen | {name} or any(traced.input in traced.by_name[value].inputs for value in seen)


def _color_change(model: Model, traced: Graph, name: str) -> Tensor:
    """Derivative of the value's channels by the channels of the normalized picture, (k, c), measured at its center."""
    columns = []
    with untouched(model), torch.no_grad():
        for channel in range(model.channels):
            pair = torch.zeros(traced.batch, model.channels, *traced.size, device=model.device, dtype=model.dtype)
            pair[1, channel] = 1
            value = traced.evaluate(model, [name], {traced.input: pair})[name].float().cpu()
            rows, positions = value.shape[2:]
            center = value[:, :, rows // 2, positions // 2]
            columns.append(center[1] - center[0])
    return torch.stack(columns, dim=1)
