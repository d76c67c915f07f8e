"""Whether a method's parameters are what their annotations say: one clear line where they are not.

Methods come from the command line as text, so a wrong kind of value is a user's error and not a programmer's.
"""

import math
import reprlib
from dataclasses import fields
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from torch import Tensor

from convscope.errors import MethodError

_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "True or False",
    Tensor: "a tensor",
    type(None): "None",
}


def check_parameters(name: str, method: object) -> None:
    """Compare every parameter of a method with its annotation.

    Args:
        name: of the method, for the error.
        method: an instance of a dataclass.

    Raises:
        MethodError: a parameter is of another kind, not one of the choices, or not finite.
    """
    kind: type = type(method)
    for parameter, hint in _hints(kind).items():
        value = getattr(method, parameter)
        if not _fits(value, hint):
            raise MethodError(f"{name}: {parameter} is {_describe(hint)}, got {reprlib.repr(value)}.")


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {parameter.name: hints[parameter.name] for parameter in fields(kind)}


def _fits(value: object, hint: Any) -> bool:  # noqa: ANN401 - an annotation
    origin, choices = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        return any(_fits(value, choice) for choice in choices)
    if origin is Literal:
        return isinstance(value, str) and value in choices
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(item, choices[0]) for item in value)
    if isinstance(value, bool):
        return hint is bool
    if hint is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, hint)


def _describe(hint: Any) -> str:  # noqa: ANN401 - an annotation
    origin, choices = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        return " or ".join(map(_describe, choices))
    if origin is Literal:
        return " or ".join(map(repr, choices))
    if origin is tuple:
        return "a tuple of texts"
    return _WORDS.get(hint, "a method")
