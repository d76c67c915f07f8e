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
    from convscope.anatomy import receptive_field as receptive_field
    from convscope.attribution import METHODS as METHODS
    from convscope.attribution import method as method
    from convscope.model import Model as Model
    from convscope.model import load as load
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
    from convscope.store import load as read_result
    from convscope.store import save as save

_HOMES = {
    "METHODS": ("convscope.attribution", "METHODS"),
    "Attribution": ("convscope.results", "Attribution"),
    "Explanation": ("convscope.results", "Explanation"),
    "Model": ("convscope.model", "Model"),
    "direction": ("convscope.probe", "direction"),
    "explain": ("convscope.page", "explain"),
    "load": ("convscope.model", "load"),
    "method": ("convscope.attribution", "method"),
    "read_result": ("convscope.store", "load"),
    "receptive_field": ("convscope.anatomy", "receptive_field"),
    "record": ("convscope.probe", "record"),
    "replaced": ("convscope.probe", "replaced"),
    "rerun": ("convscope.page", "rerun"),
    "resume": ("convscope.probe", "resume"),
    "save": ("convscope.store", "save"),
    "target": ("convscope.probe", "target"),
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
