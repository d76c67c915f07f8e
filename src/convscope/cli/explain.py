"""`convscope explain`: from pictures to the page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from convscope.cli.console import print_json, stderr, stdout
from convscope.cli.facts import facts, print_facts
from convscope.cli.network import Channels, Classes, Device, Mean, NameOption, Size, Std, Weights, load_network
from convscope.cli.progress import progress

if TYPE_CHECKING:
    from convscope.model import Fit

_FITS = ("crop", "stretch", "whole")
_FORMATS = ("html", "png", "npz")
_OUT = Path("convscope-explain")
_PANEL = "Explanation"


def explain(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE", help="Files, folders, globs, - for standard input, or sample:cat.", show_default=False
        ),
    ],
    *,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            "-t",
            metavar="TARGET",
            help="What to explain: class:top (default), 'class:tabby cat', 'class:281 - class:285', LAYER:CHANNEL. "
            "Once for all pictures, or once per picture.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            metavar="M, M...",
            help='Methods, such as "grad_cam, smooth_grad(samples=20)"; see `convscope methods`.',
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER", help="For methods that look at one. Chosen by itself otherwise.", rich_help_panel=_PANEL
        ),
    ] = None,
    fit: Annotated[
        str,
        typer.Option(
            metavar="crop|stretch|whole",
            help="How pictures become inputs: the network's own recipe, squeezed, or whole with their aspect kept.",
            rich_help_panel=_PANEL,
        ),
    ] = "crop",
    top: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of answers to list.", rich_help_panel=_PANEL)
    ] = 5,
    seed: Annotated[int, typer.Option(metavar="N", help="Of every random draw.", rich_help_panel=_PANEL)] = 0,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust/--no-trust",
            help="Compare with a randomized network, which doubles the time.",
            rich_help_panel=_PANEL,
        ),
    ] = True,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where to put the page.", rich_help_panel="Output")
    ] = _OUT,
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="F,F...",
            help="Of html, png and npz (the arrays, always there).",
            rich_help_panel="Output",
        ),
    ] = "html,png,npz",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel="Output")] = False,
    model: NameOption = None,
    weights: Weights = "default",
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    channels: Channels = None,
    classes: Classes = None,
    device: Device = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE",
            help="Run in bfloat16 (fast) or float64 (exact); the difference from float32 is stated.",
            rich_help_panel="Network",
        ),
    ] = None,
) -> int:
    """Explain pictures: what the network answers, which pixels made it answer so, and how far to trust it."""
    wanted, fitted = _checked_formats(formats), _checked_fit(fit)
    with progress("loading") as tell:
        from convscope import page  # noqa: PLC0415 - imports torch
        from convscope.attribution import split_methods  # noqa: PLC0415
        from convscope.model.options import read_dtype  # noqa: PLC0415
        from convscope.store import check_destination  # noqa: PLC0415

        check_destination(out)
        network = load_network(
            model,
            weights=weights,
            size=size,
            mean=mean,
            std=std,
            channels=channels,
            classes=classes,
            device=device,
        )
        explanation = page.explain(
            network,
            images,
            target=target[0] if target and len(target) == 1 else target or "class:top",
            methods=page.DEFAULT_METHODS if methods is None else split_methods(methods),
            layer=layer,
            seed=seed,
            dtype=None if dtype is None else read_dtype(dtype),
            fit=cast("Fit", fitted),
            trust=trust,
            top=top,
            progress=tell,
        )
        tell("writing the page", 0, 1)
        files = page.write(explanation, out, wanted)
    if json:
        print_json({**facts(explanation), "files": [str(file) for file in files]})
    else:
        print_facts(explanation)
        stdout().print(f"\n{files[0]}", soft_wrap=True)
    for _, reason in explanation.failures:
        stderr().print(f"convscope: {reason}", soft_wrap=True)
    return 2 if explanation.failures else 0


def _checked_formats(text: str) -> tuple[str, ...]:
    wanted = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))
    if not wanted or not set(wanted) <= set(_FORMATS):
        raise typer.BadParameter(
            f"expected {', '.join(_FORMATS)}, one or several joined by commas; got {text!r}.", param_hint="--format"
        )
    return wanted


def _checked_fit(text: str) -> str:
    if text not in _FITS:
        raise typer.BadParameter(f"expected {', '.join(_FITS)}; got {text!r}.", param_hint="--fit")
    return text
