"""A tree of frozen dataclasses becomes JSON and arrays, and back, bit for bit.

A dataclass is written as an object of its fields and read back by the annotations of its class, so any result
type can be stored without code of its own. What JSON lacks is marked by a ``$`` key: tensors, lists (plain
JSON arrays are tuples, as frozen results hold them), NaN and infinities.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import torch
from torch import Tensor

from convscope.errors import StoreError

Json = None | bool | int | float | str | list[Any] | dict[str, Any]
Arrays = dict[str, np.ndarray]
"""Every tensor by its dotted path in the result, such as ``attributions.0.values``."""

_ARRAY, _DTYPE, _LIST, _FLOAT = "$array", "dtype", "$list", "$float"


def encode(value: object, hint: object, arrays: Arrays, path: str = "") -> Json:
    """Turn a value into JSON; tensors go to ``arrays`` under their dotted path.

    Args:
        value: a dataclass, mapping, tuple, list, tensor, number, string, boolean or None.
        hint: its annotation; a dataclass must be announced by it, or ``decode`` could not make it.
        arrays: filled.
        path: of the value, dotted.

    Raises:
        StoreError: naming the path of a value that cannot be stored.
    """
    if isinstance(value, Tensor):
        return _encode_tensor(value, arrays, path)
    if dataclasses.is_dataclass(value) and type(value) is _dataclass_in(hint):
        hints = get_type_hints(type(value))
        return {
            field.name: encode(getattr(value, field.name), hints[field.name], arrays, _below(path, field.name))
            for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        inner = _value_hint(hint)
        return {_key(key, path): encode(part, inner, arrays, _below(path, key)) for key, part in value.items()}
    if isinstance(value, tuple):
        return [encode(part, _item_hint(hint, index), arrays, _below(path, index)) for index, part in enumerate(value)]
    if isinstance(value, list):
        return {_LIST: encode(tuple(value), Any, arrays, path)}
    return _encode_scalar(value, path)


def decode(value: Json, hint: object, arrays: Mapping[str, np.ndarray], path: str = "") -> object:
    """Undo ``encode``.

    Raises:
        StoreError: naming the path of what is missing or does not fit.
    """
    if isinstance(value, list):
        return tuple(
            decode(part, _item_hint(hint, index), arrays, _below(path, index)) for index, part in enumerate(value)
        )
    if isinstance(value, dict):
        return _decode_object(value, hint, arrays, path)
    return value


def _decode_object(value: dict[str, Any], hint: object, arrays: Mapping[str, np.ndarray], path: str) -> object:
    if _ARRAY in value:
        return _decode_tensor(value, arrays, path)
    if _FLOAT in value:
        return float(value[_FLOAT])
    if _LIST in value:
        return [decode(part, Any, arrays, _below(path, index)) for index, part in enumerate(value[_LIST])]
    if kind := _dataclass_in(hint):
        return _decode_dataclass(value, kind, arrays, path)
    inner = _value_hint(hint)
    return {key: decode(part, inner, arrays, _below(path, key)) for key, part in value.items()}


def _decode_dataclass(value: dict[str, Any], kind: type, arrays: Mapping[str, np.ndarray], path: str) -> object:
    hints = get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if unknown := value.keys() - fields.keys():
        raise StoreError(f"{kind.__name__} at {path or 'the root'!r} has unknown parts: {', '.join(sorted(unknown))}")
    required = {name for name, field in fields.items() if _has_no_default(field)}
    if lacking := required - value.keys():
        raise StoreError(f"{kind.__name__} at {path or 'the root'!r} lacks: {', '.join(sorted(lacking))}")
    return kind(**{name: decode(part, hints[name], arrays, _below(path, name)) for name, part in value.items()})


def _encode_tensor(value: Tensor, arrays: Arrays, path: str) -> dict[str, str]:
    if path in arrays:
        raise StoreError(f"two tensors share the path {path!r}: a name in a mapping contains a dot")
    plain = value.detach().cpu()
    # NumPy has no bfloat16: its 16 bits travel as integers.
    arrays[path] = (plain.view(torch.int16) if plain.dtype == torch.bfloat16 else plain).numpy()
    return {_ARRAY: path, _DTYPE: str(plain.dtype).removeprefix("torch.")}


def _decode_tensor(value: dict[str, Any], arrays: Mapping[str, np.ndarray], path: str) -> Tensor:
    name = value[_ARRAY]
    if name not in arrays:
        raise StoreError(f"the array {name!r} of {path!r} is missing")
    tensor = torch.from_numpy(arrays[name])
    return tensor.view(torch.bfloat16) if value.get(_DTYPE) == "bfloat16" else tensor


def _encode_scalar(value: object, path: str) -> Json:
    if value is None or (isinstance(value, bool | int | str) and type(value) in (bool, int, str)):
        return value
    if isinstance(value, float) and type(value) is float:
        return value if math.isfinite(value) else {_FLOAT: repr(value)}
    raise StoreError(
        f"{path!r} holds a {type(value).__name__}, which cannot be stored exactly. "
        "Use numbers, strings, None, tuples, lists, mappings with string keys, or tensors"
    )


def _key(key: object, path: str) -> str:
    if not isinstance(key, str) or key.startswith("$"):
        raise StoreError(f"{path!r} has the key {key!r}; keys are strings that do not start with '$'")
    return key


def _below(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)


def _item_hint(hint: object, index: int) -> object:
    """The annotation of one item of ``tuple[X, ...]`` or ``tuple[X, Y]``, also where ``| None`` follows."""
    if get_origin(hint) is tuple:
        items = get_args(hint)
        return items[0] if items[-1] is Ellipsis else items[min(index, len(items) - 1)]
    options = [option for option in get_args(hint) if get_origin(option) is tuple]
    return _item_hint(options[0], index) if options else Any


def _value_hint(hint: object) -> object:
    """The annotation of the values of ``Mapping[str, X]``."""
    origin = get_origin(hint)
    return get_args(hint)[1] if isinstance(origin, type) and issubclass(origin, Mapping) else Any


def _dataclass_in(hint: object) -> type | None:
    """The dataclass that an annotation names, alone or in a union."""
    for option in (hint, *(() if get_origin(hint) is tuple else get_args(hint))):
        if isinstance(option, type) and dataclasses.is_dataclass(option):
            return option
    return None


def _has_no_default(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
