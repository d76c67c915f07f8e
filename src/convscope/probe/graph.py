"""What the network computes, not how it is spelled: a list of plain calls that name the layer they came from.

Receptive fields read the graph; ``resume`` runs it from the middle. ``trace`` makes it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from convscope.model import OUTPUT, Model


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
            if step.op.startswith("sym_"):
                continue  # a size, traced where it was first asked for and used everywhere
            for scope in step.scope:
                readers = self.users.get(step.name, [])
                if step.name == self.output or any(scope not in self.by_name[reader].scope for reader in readers):
                    outputs[scope] = step.name
        return {**outputs, (OUTPUT, 0): self.output}

    def evaluate(self, model: Model, goals: Iterable[str], known: Mapping[str, Tensor]) -> dict[str, Any]:
        """Compute values from known ones, running only the steps that lie between: tensors, and sizes asked for.

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
        """The values besides ``names`` needed to go on from ``names`` to ``goals``: skip connections and the like."""
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
