"""What a network is made of: its layers, what they see, where to look."""

from convscope.anatomy.map_layout import MapLayout, map_layout
from convscope.anatomy.receptive_field import Box, ReceptiveField, extents, receptive_field, receptive_fields
from convscope.anatomy.suggest import suggest_cam_layer

__all__ = [
    "Box",
    "MapLayout",
    "ReceptiveField",
    "extents",
    "map_layout",
    "receptive_field",
    "receptive_fields",
    "suggest_cam_layer",
]
