"""`convscope field`: how much of a picture a unit sees."""

from pathlib import Path
from typing import Annotated

import typer

from convscope.cli.console import print_json, stdout
from convscope.cli.field_facts import field_facts, print_field
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
)
from convscope.cli.progress import progress

_OUT = Path("convscope-field")
_PANEL = "Field"


def field(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="[MODEL] ADDRESS",
            help="LAYER, LAYER:CHANNEL@ROW,COLUMN or class:NAME; before it the network, if not the embedded one.",
            show_default=False,
        ),
    ],
    *,
    image: Annotated[
        str | None,
        typer.Option("--image", "-i", metavar="IMAGE", help="Draw the field on this picture.", rich_help_panel=_PANEL),
    ] = None,
    column: Annotated[
        bool, typer.Option("--column", help="Show also the layers below, at the same place.", rich_help_panel=_PANEL)
    ] = False,
    effective: Annotated[
        bool, typer.Option("--effective", help="Measure which pixels count.", rich_help_panel=_PANEL)
    ] = False,
    on: Annotated[
        list[str] | None,
        typer.Option(
            "--on",
            metavar="IMAGES",
            help="Measure on these files, folders or samples instead of noise; may be repeated.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None,
    samples: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of noise inputs.", rich_help_panel=_PANEL)
    ] = 64,
    seed: Annotated[int, typer.Option(metavar="N", help="Of every random draw.", rich_help_panel=_PANEL)] = 0,
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
    """Show how much of a picture a unit sees, and which pixels of it count."""
    network_name, address = name_and(what, model, "ADDRESS")
    if on and not effective:
        raise typer.BadParameter("the pictures to measure on need --effective.", param_hint="--on")
    with progress("loading") as tell:
        from convscope import anatomy, store  # noqa: PLC0415 - imports torch
        from convscope.report import png  # noqa: PLC0415

        store.check_destination(out)
        network = load_network(
            network_name,
            weights=weights,
            size=size,
            mean=mean,
            std=std,
            channels=channels,
            classes=classes,
            device=device,
        )
        found = anatomy.field(
            network,
            address,
            image=image,
            column=column,
            effective=effective,
            pictures=on,
            samples=samples,
            seed=seed,
            progress=tell,
        )
        tell("drawing", 0, 1)
        folder = store.save(found, out, files={"field.png": png(found)})
    if json:
        print_json(
            {**field_facts(found), "files": [folder / "field.png", folder / store.ARRAYS, folder / store.MANIFEST]}
        )
        return
    print_field(stdout(), found)
    stdout().print(f"\n{folder / 'field.png'}", soft_wrap=True)
