"""convscope looks inside convolutional networks.

Three lines explain a picture:

    import convscope

    page = convscope.explain(convscope.load(), "sample:cat")
    convscope.write(page, "cat")

Names are imported on first use, so that ``import convscope`` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convscope.anatomy import activation_maps as activation_maps
    from convscope.anatomy import effective_receptive_field as effective_receptive_field
    from convscope.anatomy import field as field
    from convscope.anatomy import filters as filters
    from convscope.anatomy import receptive_field as receptive_field
    from convscope.anatomy import summarize as summarize
    from convscope.anatomy import unit_health as unit_health
    from convscope.attribution import METHODS as METHODS
    from convscope.attribution import method as method
    from convscope.model import Model as Model
    from convscope.model import load as load
    from convscope.model import pictures as pictures
    from convscope.page import explain as explain
    from convscope.page import rerun as rerun
    from convscope.page import write as write
    from convscope.probe import direction as direction
    from convscope.probe import record as record
    from convscope.probe import replaced as replaced
    from convscope.probe import resume as resume
    from convscope.probe import target as target
    from convscope.results import Attribution as Attribution
    from convscope.results import Explanation as Explanation
    from convscope.store import load as read_result  # noqa: F401 - public under this name
    from convscope.store import save as save

_HOMES = {
    "activation_maps": ("convscope.anatomy", "activation_maps"),
    "Attribution": ("convscope.results", "Attribution"),
    "direction": ("convscope.probe", "direction"),
    "effective_receptive_field": ("convscope.anatomy", "effective_receptive_field"),
    "explain": ("convscope.page", "explain"),
    "Explanation": ("convscope.results", "Explanation"),
    "field": ("convscope.anatomy", "field"),
    "filters": ("convscope.anatomy", "filters"),
    "load": ("convscope.model", "load"),
    "method": ("convscope.attribution", "method"),
    "METHODS": ("convscope.attribution", "METHODS"),
    "Model": ("convscope.model", "Model"),
    "pictures": ("convscope.model", "pictures"),
    "read_result": ("convscope.store", "load"),
    "receptive_field": ("convscope.anatomy", "receptive_field"),
    "record": ("convscope.probe", "record"),
    "replaced": ("convscope.probe", "replaced"),
    "rerun": ("convscope.page", "rerun"),
    "resume": ("convscope.probe", "resume"),
    "save": ("convscope.store", "save"),
    "summarize": ("convscope.anatomy", "summarize"),
    "target": ("convscope.probe", "target"),
    "unit_health": ("convscope.anatomy", "unit_health"),
    "write": ("convscope.page", "write"),
}

__all__ = [*_HOMES]  # noqa: PLE0604 - strings all


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name not in _HOMES:
        msg = f"module 'convscope' has no attribute {name!r}"
        raise AttributeError(msg)
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
