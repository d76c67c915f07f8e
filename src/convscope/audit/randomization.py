"""Does the map depend on what the network learned: the same method with the last layer randomized.

The first step of the cascading parameter randomization of Adebayo et al. 2018 (arXiv:1810.03292, section 4). A map that
stays the same when the layer that makes the decision is random cannot explain the decision.
"""

from collections.abc import Sequence

import torch

from convscope.attribution import AttributionMethod
from convscope.errors import ModelError
from convscope.model import Address, Model
from convscope.probe import BatchTarget, Target, batch_target, graph, layout, parameters_as, untouched
from convscope.results import Attribution
from convscope.shapes import ChannelMaps


def randomized_values(
    method: AttributionMethod,
    model: Model,
    result: Attribution,
    *,
    targets: Sequence[str | Target] | None = None,
    seed: int = 0,
) -> ChannelMaps:
    """Run a method again on a result's images and targets, with random weights in the layer before the target.

    The weights are drawn from a normal distribution with the mean and standard deviation of the trained ones, biases
    stay. Returns raw values (n, k, h, w).

    Args:
        method: that made the result.
        model: that it was made on.
        result: the maps.
        targets: one per image, where their names do not say all (directions); by default those of the result.
        seed: of the random weights.

    Raises:
        ModelError: no layer with weights leads to the target.
    """
    generator = torch.Generator().manual_seed(seed)
    with untouched(model):
        question = batch_target(model, result.images, list(targets or result.targets))
        layer = last_layer(model, question)
        weight = model.module.get_parameter(f"{layer}.weight")
        noise = torch.randn(weight.shape, generator=generator).to(weight) * weight.std() + weight.mean()
        with parameters_as(model, {f"{layer}.weight": noise}):
            raw = method.compute(model, result.images, question, torch.Generator().manual_seed(result.provenance.seed))
    return raw.values.detach().float().cpu()


def last_layer(model: Model, question: BatchTarget) -> str:
    """Name the layer whose weights the target's value comes through last: the classifier for a class.

    Follows the exported graph back from the target; where there is none, the last layer with weights that finishes
    before the target.

    Raises:
        ModelError: no layer with weights leads to the target.
    """
    tap = question.taps[-1]
    name = _by_graph(model, tap) or _by_order(model, tap)
    if name is None:
        raise ModelError(
            f"no layer with weights leads to {str(tap)!r} of {model.name}, so there is nothing to randomize."
        )
    return name


def _by_graph(model: Model, tap: Address) -> str | None:
    try:
        traced = graph(model)
    except ModelError:
        return None  # the order of the layer calls answers instead
    value = traced.layer_outputs.get((tap.layer, tap.call or 0))
    order = {step.name: index for index, step in enumerate(traced.steps)}
    pending = [value] if value else []
    while pending:
        latest = max(pending, key=lambda name: order.get(name, -1))
        pending.remove(latest)
        if latest not in traced.by_name:
            continue
        inputs = traced.by_name[latest].inputs
        weights = [traced.state[name] for name in inputs if traced.state.get(name, "").endswith(".weight")]
        if weights and len(traced.shapes[next(n for n in inputs if traced.state.get(n) == weights[0])]) > 1:
            return weights[0].removesuffix(".weight")
        pending.extend(name for name in inputs if name in traced.by_name and name not in pending)
    return None


def _by_order(model: Model, tap: Address) -> str | None:
    found = None
    for call in layout(model).calls:
        weight = getattr(model.layers.get(call.layer), "weight", None)
        if isinstance(weight, torch.nn.Parameter) and weight.ndim > 1:
            found = call.layer
        if (call.layer, call.call) == (tap.layer, tap.call):
            break
    return found
