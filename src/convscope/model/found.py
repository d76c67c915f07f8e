"""A network as it was found, before the caller's own wishes are applied."""

from dataclasses import dataclass

from torch import nn

from convscope.model.spec import Preprocessing


@dataclass(frozen=True)
class Found:
    """What one source of networks knows about the network it gave.

    Attributes:
        module: the network.
        name: short, for titles and file names.
        origin: the string that finds it again; empty for a module made in Python.
        weights: what the weights are and where they came from, for people.
        ours: whether convscope made the module and may therefore set its flags and move it.
        preprocessing: the weights' own recipe; None where nothing is known.
        outputs: number of classes; None where unknown.
        classes: one name per class, or empty.
        synonyms: further names per class, or empty.
        notes: what a reader should know.
    """

    module: nn.Module
    name: str
    origin: str
    weights: str
    ours: bool
    preprocessing: Preprocessing | None = None
    outputs: int | None = None
    classes: tuple[str, ...] = ()
    synonyms: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
