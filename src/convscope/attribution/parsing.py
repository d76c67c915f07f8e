"""A method from its one-line spelling. The text is parsed, never evaluated."""

import ast
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from convscope.attribution.contract import AttributionMethod
from convscope.errors import MethodError, near_misses


def parse_method(text: str, methods: Mapping[str, type[AttributionMethod]]) -> AttributionMethod:
    """Read a method off its spelling; a bare name takes the defaults.

    Raises:
        MethodError: no such method or parameter, or not a method's spelling; names near misses.
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        raise _not_a_method(text, methods) from None
    return _build(node, text, methods)


def split_methods(text: str) -> list[str]:
    """Split ``a, b(c=1, d=2), e`` at the commas outside of brackets and quotes."""
    parts, depth, quote, current = [], 0, "", ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        depth += (character in "([") - (character in ")]") if not quote else 0
        if character == "," and depth == 0 and not quote:
            parts.append(current)
            current = ""
        else:
            current += character
    return [part.strip() for part in [*parts, current] if part.strip()]


def _build(node: ast.expr, text: str, methods: Mapping[str, type[AttributionMethod]]) -> AttributionMethod:
    call = node if isinstance(node, ast.Call) else ast.Call(func=node, args=[], keywords=[])
    if not isinstance(call.func, ast.Name):
        raise _not_a_method(text, methods)
    name = call.func.id
    if name not in methods:
        hint = near_misses(name, methods) or f" Known: {', '.join(methods)}."
        raise MethodError(f"no method {name!r}.{hint}")
    kind = methods[name]
    known = [parameter.name for parameter in fields(kind)]  # type: ignore[arg-type]
    if len(call.args) > len(known):
        raise MethodError(f"{name} takes at most {len(known)} parameters ({', '.join(known)}), got {len(call.args)}.")
    given = dict(zip(known, call.args, strict=False))
    for keyword in call.keywords:
        if keyword.arg in given:
            raise MethodError(f"{name} is given {keyword.arg!r} twice in {text!r}. Give it once.")
        if keyword.arg not in known:
            hint = near_misses(str(keyword.arg), known)
            listing = ", ".join(known) or "none"
            raise MethodError(f"{name} has no parameter {keyword.arg!r}.{hint} Its parameters: {listing}.")
        given[keyword.arg] = keyword.value
    return kind(**{key: _value(value, text, methods) for key, value in given.items()})


def _value(node: ast.expr, text: str, methods: Mapping[str, type[AttributionMethod]]) -> Any:  # noqa: ANN401 - a literal or a method
    if isinstance(node, ast.Call) or (isinstance(node, ast.Name) and node.id in methods):
        return _build(node, text, methods)
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError):
        raise MethodError(
            f"not a value: {ast.unparse(node)} in {text!r}. "
            "Expected a number, a text in quotes, True, False, None or a method."
        ) from None
    return tuple(value) if isinstance(value, list) else value


def _not_a_method(text: str, methods: Mapping[str, type[AttributionMethod]]) -> MethodError:
    hint = near_misses(text.strip(), methods) or " Expected NAME or NAME(parameter=value, ...), with texts in quotes."
    return MethodError(f"not a method: {text!r}.{hint}")
