"""`convscope filters`: what the filters of a layer look like."""

from pathlib import Path
from typing import Annotated

import typer

from convscope.cli.console import print_json, stdout
from convscope.cli.filter_facts import filter_facts, print_filters
from convscope.cli.network import (
    Channels,
    Classes,
    Device,
    Mean,
    NameOption,
    Size,
    Std,
    Weights,
    load_network,
    name_and,
    whole_numbers,
)
from convscope.cli.progress import progress

_OUT = Path("convscope-filters")
_PANEL = "Filters"


def filters(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="[MODEL] LAYER",
            help="A convolution or linear layer; before it the network, if not the embedded one.",
            show_default=False,
        ),
    ],
    *,
    view: Annotated[
        str | None,
        typer.Option(
            metavar="color|single|collated|spectrum|pairs",
            help="RGB pictures, one tile per filter and channel, all as one image, Fourier spectra, or depthwise "
            "filters with the pointwise weights that use them. color where the layer reads the picture, else collated.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None,
    sort: Annotated[
        str,
        typer.Option(metavar="index|norm|hue|orientation|similarity", help="Which come first.", rich_help_panel=_PANEL),
    ] = "index",
    only: Annotated[
        str | None,
        typer.Option(metavar="N,N...", help="Show these filters, such as 1,5,9 or 0-7.", rich_help_panel=_PANEL),
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option(metavar="N,N...", help="Show these channels of each (single, collated).", rich_help_panel=_PANEL),
    ] = None,
    own_scale: Annotated[
        bool, typer.Option("--own-scale", help="Let each filter fill its own color scale.", rich_help_panel=_PANEL)
    ] = False,
    gray: Annotated[
        bool, typer.Option("--gray", help="Draw weights in gray instead of red and blue.", rich_help_panel=_PANEL)
    ] = False,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where to put the picture.", rich_help_panel="Output")
    ] = _OUT,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel="Output")] = False,
    model: NameOption = None,
    weights: Weights = "default",
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    channels: Channels = None,
    classes: Classes = None,
    device: Device = None,
) -> None:
    """Show the filters of a layer: as colors, tile by tile, all at once, or as spectra."""
    name, layer = name_and(what, model, "LAYER")
    shown = None if only is None else whole_numbers(only, "--only")
    picked = None if inputs is None else whole_numbers(inputs, "--inputs")
    with progress("loading") as tell:
        from convscope import anatomy, store  # noqa: PLC0415 - imports torch
        from convscope.report import png  # noqa: PLC0415

        store.check_destination(out)
        network = load_network(
            name,
            weights=weights,
            size=size,
            mean=mean,
            std=std,
            channels=channels,
            classes=classes,
            device=device,
        )
        found = anatomy.filters(network, layer, view=view, sort=sort, only=shown, channels=picked)
        tell("drawing", 0, 1)
        colors = "gray" if gray else "diverging"
        drawn = png(found, scale="filter" if own_scale else "shared", colors=colors)
        folder = store.save(found, out, files={"filters.png": drawn})
    files = [folder / "filters.png", folder / store.ARRAYS, folder / store.MANIFEST]
    if json:
        print_json({**filter_facts(found), "files": files})
        return
    print_filters(stdout(), found)
    stdout().print(f"\n{files[0]}", soft_wrap=True)
