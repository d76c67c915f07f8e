"""Which layer to look at when the user names none."""

from collections.abc import Iterable

from convscope.errors import MethodError, ModelError
from convscope.model import OUTPUT, Address, Model
from convscope.probe import Graph, graph, layout

POOLING = {
    "max_pool2d",
    "avg_pool2d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "max_pool2d_with_indices",
    "dropout",
    "feature_dropout",
    "flatten",
}
_ATTENTION = {"scaled_dot_product_attention", "softmax"}


def suggest_cam_layer(model: Model) -> str:
    """Name the layer whose maps class activation methods should weigh: the last one with positions to speak of.

    The deepest map that is neither the output of a pooling layer nor already one map per class; of the layers that
    return it, the outermost (``layer4`` rather than ``layer4.1.relu~1``). For transformers the normalization that feeds
    the last attention, since behind it only the class token counts.

    Raises:
        MethodError: the network has no layer with positions.
    """
    if "cam layer" not in model.memo:
        model.memo["cam layer"] = _suggest(model)
    name: str = model.memo["cam layer"]
    return name


def _suggest(model: Model) -> str:
    known = layout(model)
    logits = known.shapes[OUTPUT, 0] or (1, -1)
    calls = [call for call in known.calls if call.shape and call.layer != OUTPUT]
    maps = [call for call in calls if len(call.shape or ()) == 4 and min((call.shape or ())[2:]) > 1]
    try:
        traced = graph(model)
    except ModelError:
        candidates = [call for call in maps if (call.shape or ())[1] != logits[1]]
        return _named(model, [(call.layer, call.call) for call in candidates[-1:]])
    if tokens := _before_last_attention(traced):
        return _named(model, tokens)
    fitting = [
        traced.layer_outputs[call.layer, call.call] for call in maps if (call.layer, call.call) in traced.layer_outputs
    ]
    fitting = [value for value in fitting if not _one_map_per_class(traced, value)] or fitting
    order = {step.name: index for index, step in enumerate(traced.steps)}
    values = sorted(
        {value for value in fitting if value in order and traced.by_name[value].op not in POOLING},
        key=order.__getitem__,
    )
    return _named(model, [place for place, value in traced.layer_outputs.items() if values and value == values[-1]])


def _one_map_per_class(traced: Graph, value: str) -> bool:
    """Whether a map is the answer already, before pooling: as many channels as logits, and no weights behind it."""
    known = traced.by_name
    if value not in known or known[value].shape[1] != known[traced.output].shape[1]:
        return False
    behind = traced.downstream([value]) - {value}
    return not any(name in traced.state for step in behind for name in known[step].inputs)


def _before_last_attention(traced: Graph) -> list[tuple[str, int]]:
    """The layer calls that return the token normalization in front of the last attention; none in other networks."""
    order = {step.name: index for index, step in enumerate(traced.steps)}
    mixing = [step.name for step in traced.steps if step.op in _ATTENTION]
    inside = [name for name in mixing if traced.output in traced.downstream([name]) - {name}]  # not the final softmax
    last = max((order[name] for name in inside), default=0)
    norms = [
        (place, order[value])
        for place, value in traced.layer_outputs.items()
        if order.get(value, last) < last
        and traced.by_name[value].op == "layer_norm"
        and len(shape := traced.by_name[value].shape) == 3
        and shape[0] == traced.batch  # or they are tokens of windows, not of the picture
    ]
    # Head-wise norms inside attention have the same rank but are nested in it; the outermost comes first.
    newest = max((index for _, index in norms), default=-1)
    return [place for place, index in norms if index == newest]


def _named(model: Model, places: Iterable[tuple[str, int]]) -> str:
    shortest = min(places, key=lambda place: (place[0].count("."), len(place[0])), default=None)
    if shortest is None:
        raise MethodError(
            f"{model.name} has no layer with positions to draw a class activation map on. "
            "Give layer=..., or use a method on the input."
        )
    return layout(model).name(Address(*shortest))
