"""What the network computes, not how it is spelled: one exported graph per network.

``torch.export`` turns a network into a small vocabulary of ATen calls that still name the layer they came from.
In-place calls become plain ones here, so every value stays what it was. Receptive fields read the graph; ``resume``
runs it from the middle, so that many variants of one layer share the clean prefix.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from convscope.errors import ModelError
from convscope.model import OUTPUT, Address, Model, parse
from convscope.probe.layout import layout
from convscope.probe.tap import FINAL_FUNCTIONS
from convscope.probe.untouched import untouched
from convscope.shapes import Images

_FINAL = set(FINAL_FUNCTIONS.values())
_VIEWS = {
    "view",
    "reshape",
    "flatten",
    "slice",
    "select",
    "permute",
    "transpose",
    "unsqueeze",
    "squeeze",
    "expand",
    "split",
    "chunk",
    "unbind",
}


@dataclass(frozen=True)
class Ref:
    """A reference to the value of another step, the input, or a parameter."""

    name: str


@dataclass(frozen=True)
class Step:
    """One call.

    Attributes:
        name: of its value.
        op: name of the operation without overload and in-place mark, such as ``"conv2d"``.
        function: what to call.
        args: positional arguments, with ``Ref`` for values.
        kwargs: keyword arguments, with ``Ref`` for values.
        shape: of its value for a batch of ``Graph.batch`` images; empty where it is not a tensor.
        scope: the layers it runs in, outermost first, as (layer, call).
    """

    name: str
    op: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    shape: tuple[int, ...]
    scope: tuple[tuple[str, int], ...]

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Names of the values it reads, in order."""
        leaves = pytree.tree_leaves((self.args, dict(self.kwargs)), is_leaf=lambda leaf: isinstance(leaf, Ref))
        return tuple(leaf.name for leaf in leaves if isinstance(leaf, Ref))


@dataclass(frozen=True, eq=False)
class Graph:
    """A network as a list of functional steps.

    Attributes:
        steps: in order of execution.
        input: name of the (normalized) input value.
        output: name of the logits, before any final softmax.
        state: parameter and buffer paths by the name the steps use.
        constants: other tensors by name.
        shapes: of the input, the parameters and the constants by name.
        size: (height, width) it was traced for.
        batch: batch size of the shapes in ``Step.shape``.
        dynamic: whether it runs with any batch size.
    """

    steps: tuple[Step, ...]
    input: str
    output: str
    state: Mapping[str, str]
    constants: Mapping[str, Tensor]
    shapes: Mapping[str, tuple[int, ...]]
    size: tuple[int, int]
    batch: int
    dynamic: bool

    @cached_property
    def by_name(self) -> dict[str, Step]:
        """Steps by the name of their value."""
        return {step.name: step for step in self.steps}

    @cached_property
    def users(self) -> dict[str, list[str]]:
        """For each value the steps that read it."""
        users: dict[str, list[str]] = {}
        for step in self.steps:
            for name in step.inputs:
                users.setdefault(name, []).append(step.name)
        return users

    @cached_property
    def layer_outputs(self) -> dict[tuple[str, int], str]:
        """The value that each layer call returns. Layers that compute nothing (``nn.Identity``) are absent."""
        outputs: dict[tuple[str, int], str] = {}
        for step in self.steps:
            for scope in step.scope:
                readers = self.users.get(step.name, [])
                if step.name == self.output or any(scope not in self.by_name[reader].scope for reader in readers):
                    outputs[scope] = step.name
        return {**outputs, (OUTPUT, 0): self.output}

    def evaluate(self, model: Model, goals: Iterable[str], known: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute values from known ones, running only the steps that lie between.

        Args:
            model: whose parameters are used, as they are now; inside an ``untouched`` block.
            goals: names of the values wanted.
            known: values by name; the input's is normalized.
        """
        goals = tuple(goals)
        plan = self._between(goals, known)
        last_use = {name: index for index, step in enumerate(plan) for name in step.inputs}
        parameters = {
            **dict(model.module.named_parameters(remove_duplicate=False)),
            **dict(model.module.named_buffers(remove_duplicate=False)),
        }
        values: dict[str, Any] = dict(known)

        def look_up(leaf: Any) -> Any:  # noqa: ANN401 - arguments of ATen calls
            if not isinstance(leaf, Ref):
                return leaf
            if leaf.name in self.state:
                return parameters[self.state[leaf.name]]
            return self.constants[leaf.name] if leaf.name in self.constants else values[leaf.name]

        for index, step in enumerate(plan):
            args, kwargs = pytree.tree_map(
                look_up, (step.args, dict(step.kwargs)), is_leaf=lambda leaf: isinstance(leaf, Ref)
            )
            values[step.name] = step.function(*args, **kwargs)
            for name in step.inputs:
                if last_use[name] == index and name not in goals:
                    values.pop(name, None)
        return {name: values[name] for name in goals}

    def downstream(self, names: Iterable[str]) -> set[str]:
        """All values that depend on any of these, themselves included."""
        reached = set(names)
        for step in self.steps:
            if any(name in reached for name in step.inputs):
                reached.add(step.name)
        return reached

    def crossing(self, names: Iterable[str], goals: Iterable[str]) -> tuple[str, ...]:
        """The values besides ``names`` that are needed to go on from ``names`` to ``goals``: skip connections and the like."""
        names = set(names)
        changed = self.downstream(names) - names
        plan = [step for step in self._between(tuple(goals), dict.fromkeys(names)) if step.name in changed]
        needed = dict.fromkeys(name for step in plan for name in step.inputs)
        return tuple(
            name for name in needed if name not in changed | names and (name == self.input or name in self.by_name)
        )

    def _between(self, goals: Iterable[str], known: Mapping[str, Any]) -> list[Step]:
        wanted: set[str] = set()
        stack = [name for name in goals if name not in known]
        while stack:
            name = stack.pop()
            if name in wanted or name in known or name not in self.by_name:
                continue
            wanted.add(name)
            stack.extend(self.by_name[name].inputs)
        return [step for step in self.steps if step.name in wanted]


def graph(model: Model, size: tuple[int, int] | None = None) -> Graph:
    """Export a network once per input size; the result is kept with the model.

    Raises:
        ModelError: ``torch.export`` cannot take the network; the message says why.
    """
    size = size or model.spec.preprocessing.size
    key = f"graph {size}"
    if key not in model.memo:
        with untouched(model):
            model.memo[key] = _export(model, size)
    known: Graph = model.memo[key]
    return known


def resume(model: Model, images: Images, layer: str, activations: Tensor) -> Tensor:
    """Run only what follows a layer, for a batch of variants of its output, and return the logits.

    Args:
        model: the network.
        images: (1, c, h, w) in [0, 1]: the picture whose clean values feed skip connections around the layer.
        layer: address of a layer.
        activations: (n, ...), n variants of that layer's output.

    Raises:
        AddressError: no such layer.
        ModelError: the network cannot be exported, or the layer computes nothing.
    """
    with untouched(model), torch.no_grad():
        traced = graph(model, (images.shape[2], images.shape[3]))
        tap = layout(model).tap(parse(layer, model), model)
        start = value_of(traced, tap, model)
        around = traced.crossing([start], [traced.output])
        inputs = model.normalize(images)
        clean = traced.evaluate(model, around, {traced.input: inputs})
        if not traced.dynamic and len(activations) != traced.batch:
            raise ModelError(
                f"the exported graph of {model.name} has a fixed batch of {traced.batch}, got {len(activations)} variants."
            )
        count = len(activations)
        # Sizes read off the input, as in x.view(x.size(0), -1), are left out: they follow from a batch of n.
        shared = {
            name: value.expand(count, *value.shape[1:]) if value.ndim else value
            for name, value in clean.items()
            if isinstance(value, Tensor)
        }
        start_values = {start: activations.to(model.device, model.dtype)}
        known = {traced.input: inputs.expand(count, -1, -1, -1), **shared, **start_values}
        return traced.evaluate(model, [traced.output], known)[traced.output]


def value_of(traced: Graph, tap: Address, model: Model) -> str:
    """Return the name of the value that a layer call returns.

    Raises:
        ModelError: the layer computes nothing of its own in the graph.
    """
    name = traced.layer_outputs.get((tap.layer, tap.call or 0))
    if name is None:
        raise ModelError(
            f"layer {str(tap)!r} of {model.name} computes nothing of its own (an identity?). Choose the layer before or after it."
        )
    return name


def _export(model: Model, size: tuple[int, int]) -> Graph:
    batch = 2  # export specializes on 0 and 1
    gray = torch.full((batch, model.channels, *size), 0.5)
    with torch.no_grad():
        inputs = model.normalize(gray)
        try:
            program, dynamic = (
                torch.export.export(model.module, (inputs,), dynamic_shapes=({0: torch.export.Dim("n")},)),
                True,
            )
        except Exception:  # noqa: BLE001 - export fails in many ways; a fixed batch is the next best thing
            program, dynamic = _export_fixed(model, inputs), False
    return _functional(program, size, batch, dynamic=dynamic)


def _export_fixed(model: Model, inputs: Tensor) -> torch.export.ExportedProgram:
    try:
        return torch.export.export(model.module, (inputs,))
    except Exception as error:
        first = next((line for line in str(error).strip().splitlines() if line.strip()), type(error).__name__)
        raise ModelError(f"{model.name} cannot be traced by torch.export: {first.strip()}") from error


def _functional(program: torch.export.ExportedProgram, size: tuple[int, int], batch: int, *, dynamic: bool) -> Graph:
    signature = program.graph_signature
    state = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    constants = {name: program.constants[path] for name, path in signature.inputs_to_lifted_tensor_constants.items()}
    current: dict[str, str] = {}  # what a name stands for after in-place calls
    base: dict[str, str] = {}  # what a view looks into
    calls: dict[str, list[str]] = {}  # keys by which export tells the calls of a layer apart
    steps: list[Step] = []
    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        op, function, in_place = _functional_call(node)

        def reference(leaf: Any) -> Any:  # noqa: ANN401 - arguments of ATen calls
            return Ref(current.get(leaf.name, leaf.name)) if isinstance(leaf, fx.Node) else leaf

        args, kwargs = pytree.tree_map(
            reference, (tuple(node.args), dict(node.kwargs)), is_leaf=lambda leaf: isinstance(leaf, fx.Node)
        )
        steps.append(Step(node.name, op, function, args, kwargs, _shape(node, batch), _scope(node, calls)))
        first = node.args[0].name if node.args and isinstance(node.args[0], fx.Node) else ""
        if op in _VIEWS:
            base[node.name] = first
        if in_place:
            current |= {
                name: node.name
                for name, target in [*current.items(), (first, first)]
                if target == current.get(first, first)
            }
            if first in base and _later_users(node, base[first]):
                raise ModelError(
                    f"the network writes into a part of a tensor in place ({node.target} on a view), which the graph engine does not follow."
                )
    (result,) = [node for node in program.graph.nodes if node.op == "output"]
    outputs = [leaf.name for leaf in pytree.tree_leaves(result.args) if isinstance(leaf, fx.Node)]
    output = current.get(outputs[0], outputs[0])
    known = {step.name: step for step in steps}
    if output in known and known[output].op in _FINAL:
        output = known[output].inputs[0]
    shapes = {node.name: _shape(node, batch) for node in program.graph.nodes if node.op == "placeholder"}
    return Graph(tuple(steps), str(signature.user_inputs[0]), output, state, constants, shapes, size, batch, dynamic)


def _functional_call(node: fx.Node) -> tuple[str, Callable[..., Any], bool]:
    target: Any = node.target
    if not isinstance(target, torch._ops.OpOverload):  # noqa: SLF001 - the type of ATen calls has no public name
        return getattr(target, "__name__", str(target)), target, False
    name = target._schema.name.split("::")[-1]  # noqa: SLF001
    in_place = target._schema.is_mutable and name.endswith("_")  # noqa: SLF001
    if in_place:
        name = name.removesuffix("_")
        packet = getattr(torch.ops.aten, name)
        target = getattr(packet, node.target._overloadname)  # type: ignore[union-attr]  # noqa: SLF001
    return name, target, in_place


def _later_users(node: fx.Node, name: str) -> list[fx.Node]:
    order = list(node.graph.nodes)
    after = set(order[order.index(node) + 1 :])
    (base,) = [other for other in order if other.name == name]
    return [user for user in base.users if user in after]


def _shape(node: fx.Node, batch: int) -> tuple[int, ...]:
    value = node.meta.get("val")
    if not isinstance(value, Tensor):
        return ()
    return tuple(int(extent) if isinstance(extent, int) else int(extent.node.hint or batch) for extent in value.shape)


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
