"""What becomes of depthwise filters: the pointwise layer that mixes them, found in the graph and not by name."""

from convscope.anatomy.kernels import Kernels, read_kernels
from convscope.errors import MethodError
from convscope.model import Model
from convscope.probe import Graph, Step, graph, layout


def following_pointwise(model: Model, kernels: Kernels) -> Kernels:
    """Find the 1×1 convolution (or linear layer over channels) that reads the output of a depthwise convolution.

    Normalization, activation and gating may lie between; squeeze-and-excite branches, which read pooled maps, are
    passed over.

    Raises:
        MethodError: the layer is not depthwise, or nothing mixes its channels.
    """
    if kernels.kind != "conv" or kernels.weights.shape[1] != 1 or kernels.groups == 1:
        raise MethodError(
            f"layer {kernels.layer!r} of {model.name} is no depthwise convolution (it has {kernels.groups} groups of "
            f"{kernels.weights.shape[1]} channels), so there is no pair to draw. Use view='collated'."
        )
    if kernels.step is None:
        raise MethodError(
            f"{model.name} cannot be traced, so what reads {kernels.layer!r} is not known. Use view='collated'."
        )
    traced = graph(model)
    found = _first_mixer(traced, kernels.step)
    if found is None or not found.scope:
        raise MethodError(f"no 1×1 convolution mixes the channels of {kernels.layer!r}. Use view='collated'.")
    return read_kernels(model, _address(model, found))


def _first_mixer(traced: Graph, start: Step) -> Step | None:
    same = (start.shape, (start.shape[0], *start.shape[2:], start.shape[1]))  # channels first or last
    reached = {start.name}
    for step in traced.steps:
        if not reached.intersection(step.inputs):
            continue
        if step.inputs[0] in reached and _mixes(traced, step, start.shape[1]):
            return step
        if step.shape in same and step.op not in {"conv2d", "linear"}:
            reached.add(step.name)
    return None


def _mixes(traced: Graph, step: Step, filters: int) -> bool:
    if step.op not in {"conv2d", "linear"}:
        return False
    weight = step.inputs[1]
    shape = traced.by_name[weight].shape if weight in traced.by_name else traced.shapes.get(weight, ())
    return shape[1:] in {(filters,), (filters, 1, 1)}


def _address(model: Model, step: Step) -> str:
    layer, call = step.scope[-1]
    return f"{layer}~{call}" if layout(model).counts.get(layer, 0) > 1 else layer
