"""What a caller says about a network's input and answers, from Python or as text from the command line."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import cast, get_args

import torch

from convscope.errors import ModelError, near_misses
from convscope.model.spec import Interpolation

Number = int | float
Numbers = Number | Sequence[Number] | str
Size = int | Sequence[int] | str

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}


def read_size(size: Size) -> tuple[int, int]:
    """Read ``224``, ``(224, 320)``, ``"224"`` or ``"224,320"`` as (height, width).

    Raises:
        ModelError: something else, or not positive.
    """
    values = _numbers(size, "size", "224 or 224,320 (height, width)")
    if len(values) == 1:
        values = values * 2
    if len(values) != 2 or any(value < 1 or value != int(value) for value in values):
        raise ModelError(f"size={size!r}: expected one positive whole number or two (height, width), in pixels.")
    return int(values[0]), int(values[1])


def read_statistic(name: str, value: Numbers, channels: int | None) -> tuple[float, ...]:
    """Read a mean or std, one number per channel or one for all.

    Args:
        name: ``"mean"`` or ``"std"``.
        value: such as ``0.5``, ``(0.485, 0.456, 0.406)`` or ``"0.485,0.456,0.406"``, in units of [0, 1]
            pixels.
        channels: how many to expect; None to take the length as given.

    Raises:
        ModelError: not numbers, another length, infinite, a std that is not positive, or values for [0, 255]
            pixels.
    """
    values = _numbers(value, name, "0.5 or 0.485,0.456,0.406")
    if len(values) == 1 and channels:
        values = values * channels
    if channels is not None and len(values) != channels:
        raise ModelError(
            f"{name} has {len(values)} values, but the input has {channels} channel{'s' * (channels != 1)}. "
            "Expected one value, or one per channel."
        )
    if any(not math.isfinite(v) for v in values):
        raise ModelError(f"{name}={values}: expected finite numbers.")
    if name == "std" and any(v <= 0 for v in values):
        raise ModelError(f"std={values}: expected positive numbers, inputs are divided by it.")
    if any(abs(v) > 2 for v in values):
        raise ModelError(f"{name}={values}: expected units of [0, 1] pixels. Divide values for 0..255 by 255.")
    return values


def read_classes(classes: Sequence[str] | str | Path) -> tuple[str, ...]:
    """Read class names: a sequence, text with one name per line, or a ``.txt`` or ``.json`` file of them.

    Raises:
        ModelError: no such file, not names, or empty.
    """
    if isinstance(classes, Path) or (isinstance(classes, str) and "\n" not in classes):
        classes = _read_names(Path(classes).expanduser())
    names = classes.splitlines() if isinstance(classes, str) else list(classes)
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise ModelError(f"classes: expected one name per class, got {str(names)[:80]}.")
    return tuple(name.strip() for name in names)


def read_channels(channels: int | str) -> int:
    """Read a number of channels.

    Raises:
        ModelError: not a positive whole number.
    """
    if not str(channels).isdigit() or int(channels) < 1:
        raise ModelError(f"channels={channels!r}: expected a positive whole number.")
    return int(channels)


def read_interpolation(interpolation: str) -> Interpolation:
    """Check the name of an interpolation.

    Raises:
        ModelError: unknown.
    """
    known = get_args(Interpolation)
    if interpolation not in known:
        raise ModelError(
            f"interpolation={interpolation!r}: expected one of {', '.join(known)}.{near_misses(interpolation, known)}"
        )
    return cast("Interpolation", interpolation)


def read_crop(crop: Number | str) -> float:
    """Read the part of the resized short side that the center crop keeps, in (0, 1].

    Raises:
        ModelError: out of range.
    """
    values = _numbers(crop, "crop", "0.875")
    if len(values) != 1 or not 0 < values[0] <= 1:
        raise ModelError(f"crop={crop!r}: expected one number above 0 and at most 1.")
    return values[0]


def read_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """Read ``float32``, ``bfloat16`` or ``float64``.

    Raises:
        ModelError: another one.
    """
    name = str(dtype).removeprefix("torch.")
    if name not in _DTYPES:
        raise ModelError(f"dtype={name!r}: expected one of {', '.join(_DTYPES)}.{near_misses(name, _DTYPES)}")
    return _DTYPES[name]


def read_device(device: str | torch.device) -> torch.device:
    """Read ``cpu``, ``cuda``, ``cuda:1`` or ``mps`` and check that it is there.

    Raises:
        ModelError: unknown, or not available on this machine.
    """
    try:
        wanted = torch.device(device)
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"device={str(device)!r}: expected cpu, cuda, cuda:N or mps.") from error
    if wanted.type not in {"cpu", "cuda", "mps"}:
        raise ModelError(f"device={str(device)!r}: expected cpu, cuda, cuda:N or mps.")
    if wanted.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (wanted.index or 0) >= count:
            raise ModelError(
                f"device {str(device)!r} is not available: torch {torch.__version__} sees {count} CUDA "
                "devices here. Use device='cpu'."
            )
    if wanted.type == "mps" and not torch.backends.mps.is_available():
        raise ModelError("device 'mps' is not available on this machine. Use device='cpu'.")
    return wanted


def spelled(value: object) -> str:
    """Write an option as text that ``load`` reads back as the same value."""
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    if isinstance(value, tuple) and all(isinstance(item, str) for item in value):
        return "".join(f"{item}\n" for item in value)
    if isinstance(value, tuple):
        return ",".join(repr(item) for item in value)
    return str(value)


def _numbers(value: object, name: str, example: str) -> tuple[float, ...]:
    items = value.replace("x", ",").split(",") if isinstance(value, str) else value
    try:
        return tuple(float(item) for item in (items if isinstance(items, Sequence) else [items]))  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise ModelError(f"{name}={value!r}: expected numbers such as {example}.") from error


def _read_names(file: Path) -> Sequence[str]:
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"class names {str(file)!r} cannot be read ({error}). "
            "Expected a text file with one name per line, or a JSON list."
        ) from error
    if file.suffix != ".json":
        return text.strip().splitlines()
    try:
        names = json.loads(text)
    except ValueError as error:
        raise ModelError(f"class names {str(file)!r}: not JSON ({error}).") from error
    if not isinstance(names, list):
        raise ModelError(f"class names {str(file)!r}: expected a JSON list of names.")
    return names
