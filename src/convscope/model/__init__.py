"""Networks with their preprocessing, and the address language that names anything inside them."""

from convscope.model.address import OUTPUT, Address, expand, find_class, parse
from convscope.model.cast import cast
from convscope.model.catalog import Entry, networks
from convscope.model.gather import Pictures, Progress, gather, gather_frames, pictures
from convscope.model.load import load
from convscope.model.made import made
from convscope.model.model import Model, digest
from convscope.model.spec import Fit, Interpolation, ModelSpec, Preprocessing

__all__ = [
    "OUTPUT",
    "Address",
    "Entry",
    "Fit",
    "Interpolation",
    "Model",
    "ModelSpec",
    "Pictures",
    "Preprocessing",
    "Progress",
    "cast",
    "digest",
    "expand",
    "find_class",
    "gather",
    "gather_frames",
    "load",
    "made",
    "networks",
    "parse",
    "pictures",
]
