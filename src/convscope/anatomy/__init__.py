"""What a network is made of: its layers, what they see, where to look."""

from convscope.anatomy.activation_maps import activation_maps
from convscope.anatomy.activations import Activation
from convscope.anatomy.arithmetic import Arithmetic
from convscope.anatomy.checkup import Finding
from convscope.anatomy.effective_receptive_field import effective_receptive_field
from convscope.anatomy.field import field
from convscope.anatomy.filters import filters
from convscope.anatomy.map_layout import MapLayout, map_layout
from convscope.anatomy.receptive_field import Box, ReceptiveField, extents, receptive_field, receptive_fields
from convscope.anatomy.suggest import suggest_cam_layer
from convscope.anatomy.suggest_units import suggest_unit_layers
from convscope.anatomy.summary import LayerSummary, Summary, summarize
from convscope.anatomy.unit_health import unit_health

__all__ = [
    "Activation",
    "Arithmetic",
    "Box",
    "Finding",
    "LayerSummary",
    "MapLayout",
    "ReceptiveField",
    "Summary",
    "activation_maps",
    "effective_receptive_field",
    "extents",
    "field",
    "filters",
    "map_layout",
    "receptive_field",
    "receptive_fields",
    "suggest_cam_layer",
    "suggest_unit_layers",
    "summarize",
    "unit_health",
]
