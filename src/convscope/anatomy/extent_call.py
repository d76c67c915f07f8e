"""One call of the graph, as the rules that move index boxes see it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from convscope.anatomy.extent import Extent
from convscope.probe import Graph, Step


@dataclass(frozen=True, eq=False)
class Call:
    """A step of the graph with what its operands can see.

    Attributes:
        step: the step.
        known: extents of the values so far that depend on the picture, by name.
        graph: the graph it belongs to.
    """

    step: Step
    known: Mapping[str, Extent]
    graph: Graph

    def argument(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - arguments of ATen calls
        """Look an argument up by its name in the call's schema; ``default`` if it was not given."""
        if name in self.step.kwargs:
            return self.step.kwargs[name]
        schema = getattr(self.step.function, "_schema", None)
        names = [argument.name for argument in schema.arguments] if schema is not None else []
        index = names.index(name) if name in names else len(self.step.args)
        return self.step.args[index] if index < len(self.step.args) else default

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value; of its first part where it has several (a maximum and where it is)."""
        readers = self.graph.users.get(self.step.name, [])
        return self.graph.by_name[readers[0]].shape if not self.step.shape and readers else self.step.shape

    def input_shape(self, index: int = 0) -> tuple[int, ...]:
        """Shape of an operand, constants included."""
        return self.shape_of(self.step.inputs[index])

    def shape_of(self, name: str) -> tuple[int, ...]:
        """Shape of any value, parameter or constant."""
        return self.graph.by_name[name].shape if name in self.graph.by_name else self.graph.shapes[name]

    @property
    def operands(self) -> list[str]:
        """Names of the operands that depend on the picture, each once."""
        return [name for name in dict.fromkeys(self.step.inputs) if name in self.known]

    @property
    def alone(self) -> bool:
        """Whether one argument alone depends on the picture, so that all others are constants."""
        return sum(name in self.known for name in self.step.inputs) == 1

    @property
    def first(self) -> Extent:
        """Extent of the first operand that depends on the picture."""
        return self.known[self.operands[0]]

    def unknown(self) -> Extent:
        """The upper bound for calls that are not followed."""
        return self.everything(f"{self.step.op}: not followed, taken to see everything", exact=False)

    def everything(self, note: str, *, exact: bool) -> Extent:
        """See all that any operand sees."""
        whole = [self.known[name].along(lambda axis, _: axis.everything(keep=False)) for name in self.operands]
        return reduce(Extent.union, whole).noted(note, exact=exact)


Rule = Callable[[Call], Extent]


def pair(value: Any, which: int) -> int:  # noqa: ANN401 - an int, or a list of one or of one per axis
    """Read one number off an argument that may be given once for all axes."""
    values = [value] if isinstance(value, int) else list(value)
    return int(values[which] if len(values) > 1 else values[0])
