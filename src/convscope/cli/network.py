"""The options that describe a network, the same for every command, and how they become a ``Model``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from convscope.model import Model

_PANEL = "Network"

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODEL]",
        help="Network: a name from `convscope models`, package.module:factory or file.py:factory. "
        "The embedded efficientnet_lite0 by default.",
        show_default=False,
    ),
]
NameOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="A name from `convscope models`, package.module:factory or file.py:factory. "
        "The embedded efficientnet_lite0 by default.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
Weights = Annotated[
    str,
    typer.Option(help="default, none (random), a name, or a .pth, .pt or .safetensors file.", rich_help_panel=_PANEL),
]
Size = Annotated[
    str | None, typer.Option(metavar="HxW", help="Size of the input, such as 224 or 224x320.", rich_help_panel=_PANEL)
]
Mean = Annotated[
    str | None,
    typer.Option(
        metavar="M[,M...]", help="Subtracted from [0, 1] pixels, one number or one per channel.", rich_help_panel=_PANEL
    ),
]
Std = Annotated[
    str | None, typer.Option(metavar="S[,S...]", help="What they are divided by after that.", rich_help_panel=_PANEL)
]
Channels = Annotated[str | None, typer.Option(metavar="N", help="Number of input channels.", rich_help_panel=_PANEL)]
InputChannels = Annotated[
    str | None,
    typer.Option(metavar="N", help="Number of input channels (--channels elsewhere).", rich_help_panel=_PANEL),
]
Classes = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Class names: a .txt (one per line) or .json (list) file.", rich_help_panel=_PANEL
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="DEVICE", help="cpu, cuda, cuda:1 or mps. CUDA by default where there is any.", rich_help_panel=_PANEL
    ),
]


def name_and(what: list[str], option: str | None, noun: str) -> tuple[str | None, str]:
    """Split ``[MODEL] LAYER``: the network's name, unless ``--model`` gave it, and what stands last.

    Raises:
        typer.BadParameter: there are more words than that.
    """
    if len(what) > (1 if option else 2):
        expected = f"{noun}, since --model is given" if option else f"[MODEL] {noun}"
        raise typer.BadParameter(f"expected {expected}; got {' '.join(what)!r}.", param_hint=f"[MODEL] {noun}")
    return (what[0] if len(what) == 2 else option), what[-1]


def whole_numbers(text: str, option: str) -> tuple[int, ...]:
    """Read ``1,5,9`` or ``0-7``.

    Raises:
        typer.BadParameter: something else.
    """
    numbers: list[int] = []
    for part in text.replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not (last.isdigit() and int(last) >= int(first))):
            raise typer.BadParameter(f"expected numbers such as 1,5,9 or 0-7; got {text!r}.", param_hint=option)
        numbers.extend(range(int(first), int(last or first) + 1))
    return tuple(numbers)


def load_network(
    name: str | None,
    *,
    weights: str,
    size: str | None,
    mean: str | None,
    std: str | None,
    channels: str | None,
    classes: Path | None,
    device: str | None,
    dtype: str | None = None,
) -> "Model":
    """Load a network as the command line describes it.

    Raises:
        ModelError: see ``convscope.load``.
    """
    from convscope.model import load  # noqa: PLC0415 - imports torch

    return load(
        name,
        weights=weights,
        size=size,
        mean=mean,
        std=std,
        channels=channels,
        classes=classes,
        device=device,
        dtype=dtype,
    )
