"""Networks with their preprocessing, and the address language that names anything inside them."""

from convscope.model.address import OUTPUT, Address, expand, find_class, parse
from convscope.model.model import Model, digest
from convscope.model.spec import Fit, Interpolation, ModelSpec, Preprocessing

__all__ = ["OUTPUT", "Address", "Fit", "Interpolation", "Model", "ModelSpec", "Preprocessing", "digest", "expand", "find_class", "parse"]
