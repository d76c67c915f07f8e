"""`convscope methods`."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from convscope.cli.console import print_json, stdout

if TYPE_CHECKING:
    from convscope.attribution import AttributionMethod


def methods(*, json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the methods that explain a picture, with their parameters."""
    from rich.padding import Padding  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from convscope.attribution import METHODS  # noqa: PLC0415 - imports torch

    if json:
        print_json(
            [{"name": name, "about": _about(kind), "parameters": _parameters(kind)} for name, kind in METHODS.items()]
        )
        return
    console = stdout()
    for name, kind in METHODS.items():
        spelled = ", ".join(f"{key}={value}" for key, value in _parameters(kind).items())
        console.print(Text(name, style="bold") + Text(f"({spelled})" if spelled else "", style="dim"), soft_wrap=False)
        console.print(Padding(Text(_about(kind)), (0, 0, 0, 4)))
    console.print('\nUse: convscope explain PICTURE --methods "grad_cam, smooth_grad(samples=20)"', style="dim")


def _about(kind: "type[AttributionMethod]") -> str:
    return (kind.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " ")


def _parameters(kind: "type[AttributionMethod]") -> dict[str, str]:
    from convscope.attribution import spell  # noqa: PLC0415 - imports torch

    return {field.name: _spelled(_default(field), spell) for field in dataclasses.fields(cast("Any", kind))}


def _default(field: "dataclasses.Field[Any]") -> object:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _spelled(value: Any, spell: "Callable[[AttributionMethod], str]") -> str:  # noqa: ANN401 - any default value
    if value is dataclasses.MISSING:
        return "required"
    return spell(value) if hasattr(value, "compute") else repr(value)
