"""The only package that touches a network: always in a ``with`` block, never leaving a trace."""

from convscope.probe.gradient import Gradients, input_gradient, layer_gradients
from convscope.probe.graph import Graph, Ref, Step
from convscope.probe.layout import LayerCall, Layout, layout
from convscope.probe.parameters import parameters_as
from convscope.probe.record import observe, record, replaced
from convscope.probe.rectifier import Coverage, hook_rectifiers
from convscope.probe.resume import resume, resume_at, value_of
from convscope.probe.score import score
from convscope.probe.target import BatchTarget, Target, TargetLike, batch_target, direction, target
from convscope.probe.trace import graph
from convscope.probe.untouched import untouched

__all__ = [
    "BatchTarget",
    "Coverage",
    "Gradients",
    "Graph",
    "LayerCall",
    "Layout",
    "Ref",
    "Step",
    "Target",
    "TargetLike",
    "batch_target",
    "direction",
    "graph",
    "hook_rectifiers",
    "input_gradient",
    "layer_gradients",
    "layout",
    "observe",
    "parameters_as",
    "record",
    "replaced",
    "resume",
    "resume_at",
    "score",
    "target",
    "untouched",
    "value_of",
]
