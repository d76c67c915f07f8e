"""From a network to its graph, once per input size.

``torch.export`` turns a network into a small vocabulary of ATen calls that still name the layer they came from.
In-place calls become plain ones here, so every value stays what it was.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from convscope.errors import ModelError
from convscope.model import OUTPUT, Model
from convscope.probe.graph import Graph, Ref, Step
from convscope.probe.layout import layout
from convscope.probe.tap import FINAL_FUNCTIONS, complaint, main_tensor
from convscope.probe.untouched import untouched

_BATCH = 2
"""Batch size to trace with; ``torch.export`` takes 0 and 1 for constants."""

_FINAL = {*FINAL_FUNCTIONS.values(), "special_softmax", "special_log_softmax", "special_expit"}


def graph(model: Model, size: tuple[int, int] | None = None) -> Graph:
    """Export a network once per input size; the result is kept with the model.

    Raises:
        ModelError: ``torch.export`` cannot take the network, or it writes into parts of tensors; the message says why.
    """
    size = size or model.spec.preprocessing.size
    key = f"graph {size}"
    if key not in model.memo:
        with untouched(model), torch.no_grad():
            model.memo[key] = _export(model, size)
    known: Graph = model.memo[key]
    return known


def _export(model: Model, size: tuple[int, int]) -> Graph:
    inputs = model.normalize(torch.full((_BATCH, model.channels, *size), 0.5))
    try:
        dynamic = ({0: torch.export.Dim("n")},)
        return _graph(torch.export.export(model.module, (inputs,), dynamic_shapes=dynamic), model, size, dynamic=True)
    except ModelError:
        raise
    except Exception:  # noqa: BLE001 - export fails in many ways; a fixed batch is the next best thing
        return _graph(_export_fixed(model, inputs), model, size, dynamic=False)


def _export_fixed(model: Model, inputs: Tensor) -> ExportedProgram:
    try:
        return torch.export.export(model.module, (inputs,))
    except Exception as error:
        raise ModelError(f"{model.name} cannot be traced by torch.export: {complaint(error)}.") from error


def _graph(program: ExportedProgram, model: Model, size: tuple[int, int], *, dynamic: bool) -> Graph:
    signature = program.graph_signature
    names = _Names(program.graph, model)
    calls: dict[str, list[str]] = {}  # keys by which export tells the calls of a layer apart
    steps: list[Step] = []
    for node in program.graph.nodes:
        if node.op == "call_function":
            op, function, in_place = _plain_call(node, model)
            args, kwargs = names.resolve((tuple(node.args), dict(node.kwargs)))
            steps.append(Step(node.name, op, function, args, kwargs, _shape(node), _scope(node, calls)))
            if in_place:
                names.overwrite(node)
    return Graph(
        steps=tuple(steps),
        input=str(signature.user_inputs[0]),
        output=_logits(program, names, steps, model),
        state={**signature.inputs_to_parameters, **signature.inputs_to_buffers},
        constants={name: program.constants[at] for name, at in signature.inputs_to_lifted_tensor_constants.items()},
        shapes={node.name: _shape(node) for node in program.graph.nodes if node.op == "placeholder"},
        size=size,
        batch=_BATCH,
        dynamic=dynamic,
    )


class _Names:
    """What each name stands for, while in-place calls are replaced by plain ones.

    An in-place call gives a new meaning to all earlier names of the very same tensor. Other views of its memory would
    change in part; if they are read again, the network cannot be followed.
    """

    def __init__(self, traced: fx.Graph, model: Model) -> None:
        self._model = model
        self._order = {node: index for index, node in enumerate(traced.nodes)}
        self._current: dict[str, str] = {}
        self._views: dict[int, list[fx.Node]] = {}
        for node in traced.nodes:
            self._views.setdefault(_storage(node), []).append(node)

    def resolve(self, arguments: Any) -> Any:  # noqa: ANN401 - arguments of ATen calls
        """Put a ``Ref`` in place of each node."""
        return pytree.tree_map(self._reference, arguments, is_leaf=lambda leaf: isinstance(leaf, fx.Node))

    def now(self, name: str) -> str:
        """Say what a name stands for at this point."""
        return self._current.get(name, name)

    def overwrite(self, node: fx.Node) -> None:
        """Note that a node writes over its first argument.

        Raises:
            ModelError: other views of that memory are read later.
        """
        (written, *_), now = node.args, self._order[node]
        for other in self._views[_storage(node)]:
            if self._order[other] >= now:
                continue  # made of what is there now
            if _part(other) == _part(written):
                self._current[other.name] = node.name
            elif any(self._order[user] > now for user in other.users):
                raise ModelError(
                    f"{self._model.name} writes into part of a tensor in place ({node.target}), "
                    "which cannot be followed. Use the call that returns a new tensor instead."
                )

    def _reference(self, leaf: Any) -> Any:  # noqa: ANN401 - arguments of ATen calls
        if not isinstance(leaf, fx.Node):
            return leaf
        if leaf.op == "get_attr":
            raise ModelError(
                f"{self._model.name} has a part with its own autocast, grad mode or control flow, "
                "which cannot be followed."
            )
        return Ref(self.now(leaf.name))


def _storage(node: fx.Node) -> int:
    """Identify the memory that a node's value lies in; 0 where it is not a tensor."""
    value = node.meta.get("val")
    return value.untyped_storage()._cdata if isinstance(value, Tensor) else 0  # noqa: SLF001 - its only spelling


def _part(node: Any) -> str:  # noqa: ANN401 - an argument of an ATen call
    """Which part of its memory a node's value is, and in which shape."""
    value = node.meta["val"]
    return str((value.storage_offset(), value.shape, value.stride()))


def _logits(program: ExportedProgram, names: _Names, steps: list[Step], model: Model) -> str:
    """Name the network's output, or what its final softmax is given."""
    nodes = {node.name: node for node in program.graph.nodes}
    outputs = program.graph_signature.user_outputs
    values = [nodes[name].meta.get("val") if isinstance(name, str) else name for name in outputs]
    structure = program.call_spec.out_spec
    main = main_tensor(values[0] if structure is None else pytree.tree_unflatten(values, structure), OUTPUT, model)
    output = next(str(name) for name, value in zip(outputs, values, strict=True) if value is main)
    if layout(model).bypass is None:
        return names.now(output)
    same = _storage(nodes[output])
    finals = [step for step in steps if step.op in _FINAL and _storage(nodes[step.name]) == same]
    if not finals:
        raise ModelError(f"the final {layout(model).head} of {model.name} is not found in its graph.")
    return finals[-1].inputs[0]


def _plain_call(node: fx.Node, model: Model) -> tuple[str, Callable[..., Any], bool]:
    """Return a call's name, what to call so that nothing is overwritten, and whether it was in place."""
    target: Any = node.target
    if not isinstance(target, torch._ops.OpOverload):  # noqa: SLF001 - the type of ATen calls has no public name
        return getattr(target, "__name__", str(target)), target, False
    namespace, name = target._schema.name.split("::")  # noqa: SLF001
    if not target._schema.is_mutable:  # noqa: SLF001
        return name, target, False
    plain = getattr(getattr(torch.ops, namespace), name.removesuffix("_"), None) if name.endswith("_") else None
    function = getattr(plain, target._overloadname, None)  # noqa: SLF001
    if function is None:
        raise ModelError(f"{model.name} calls {target}, which writes in place and has no plain form to follow.")
    return name.removesuffix("_"), function, True


def _shape(node: fx.Node) -> tuple[int, ...]:
    value = node.meta.get("val")
    if not isinstance(value, Tensor):
        return ()
    return tuple(int(extent) if isinstance(extent, int) else int(extent.node.hint or _BATCH) for extent in value.shape)


def _scope(node: fx.Node, calls: dict[str, list[str]]) -> tuple[tuple[str, int], ...]:
    scope = []
    for key, (path, _) in (node.meta.get("nn_module_stack") or {}).items():
        if not path:
            continue
        known = calls.setdefault(path, [])
        if key not in known:
            known.append(key)
        scope.append((path, known.index(key)))
    return tuple(scope)
