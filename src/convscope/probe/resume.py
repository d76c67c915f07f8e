"""Running a network from the middle, so that many variants of one layer share the clean prefix."""

import torch
from torch import Tensor

from convscope.errors import ModelError
from convscope.model import Address, Model
from convscope.probe.graph import Graph
from convscope.probe.layout import layer_call, layout
from convscope.probe.trace import graph
from convscope.probe.untouched import untouched
from convscope.shapes import Images


def resume(model: Model, images: Images, layer: str, activations: Tensor) -> Tensor:
    """Run only what follows a layer, for a batch of variants of its output, and return the logits.

    Args:
        model: the network.
        images: (1, c, h, w) in [0, 1]: the picture whose clean values feed skip connections around the layer.
        layer: address of a layer.
        activations: (n, ...), n variants of that layer's output.

    Raises:
        AddressError: no such layer.
        ModelError: the network cannot be exported, the layer computes nothing, or the variants do not have its shape.
    """
    with untouched(model), torch.no_grad():
        traced = graph(model, (images.shape[2], images.shape[3]))
        start = value_of(traced, layer_call(layer, model), model)
        expected = traced.by_name[start].shape[1:]
        if len(images) != 1 or activations.shape[1:] != expected:
            raise ModelError(
                f"expected one image and variants of shape (n, {', '.join(map(str, expected))}) of {layer!r}, "
                f"got {len(images)} and {tuple(activations.shape)}."
            )
        return resume_at(model, images, start, activations)


def resume_at(model: Model, images: Images, start: str, variants: Tensor) -> Tensor:
    """Run only what follows a value of the graph, also one that no layer returns; see ``resume``.

    Args:
        model: the network.
        images: (1, c, h, w) in [0, 1].
        start: name of the value.
        variants: (n, ...), n variants of it.

    Raises:
        ModelError: the network cannot be exported, or only for another number of variants.
    """
    with untouched(model), torch.no_grad():
        traced, count = graph(model, (images.shape[2], images.shape[3])), len(variants)
        if not traced.dynamic and count != traced.batch:
            raise ModelError(
                f"{model.name} was traced for batches of {traced.batch} alone, got {count} variants. Use replaced()."
            )
        inputs = model.normalize(images)
        known = {
            **(_shared(model, traced, start, inputs, count) if traced.dynamic else {}),
            traced.input: inputs.expand(count, -1, -1, -1),
            start: variants.to(model.device, model.dtype),
        }
        logits: Tensor = traced.evaluate(model, [traced.output], known)[traced.output]
        return logits


def _shared(model: Model, traced: Graph, start: str, inputs: Tensor, count: int) -> dict[str, Tensor]:
    """Compute what goes around the layer, once, and repeat it for all variants.

    What is not plainly one entry per image (a size as in ``x.view(x.size(0), -1)``, heads folded into the batch) is
    left out; it follows from the repeated picture.
    """
    around = [name for name in traced.crossing([start], [traced.output]) if name in traced.by_name]
    depends = traced.downstream([traced.input])
    clean = traced.evaluate(model, around, {traced.input: inputs})
    return {
        name: value.expand(count, *value.shape[1:]) if name in depends else value
        for name, value in clean.items()
        if isinstance(value, Tensor)
        and (name not in depends or (value.shape[:1] == (1,) and traced.by_name[name].shape[:1] == (traced.batch,)))
    }


def value_of(traced: Graph, tap: Address, model: Model) -> str:
    """Return the name of the value that a layer call returns.

    Raises:
        ModelError: the layer computes nothing of its own in the graph.
    """
    name = traced.layer_outputs.get((tap.layer, tap.call or 0))
    if name is None:
        raise ModelError(
            f"layer {layout(model).name(tap)!r} of {model.name} computes nothing of its own (an identity?). "
            "Choose the layer before or after it."
        )
    return name
