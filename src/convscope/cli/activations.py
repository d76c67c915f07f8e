"""`convscope activations`: what each layer makes of a picture."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from convscope.cli.activation_facts import activation_facts, print_activations
from convscope.cli.console import print_json, stderr, stdout
from convscope.cli.network import (
    Classes,
    Device,
    InputChannels,
    Mean,
    NameOption,
    Size,
    Std,
    Weights,
    load_network,
    whole_numbers,
)
from convscope.cli.progress import progress

if TYPE_CHECKING:
    from convscope.model import Fit
    from convscope.plot import AnimationFormat
    from convscope.results import ActivationMaps

_OUT = Path("convscope-activations")
_PANEL = "Maps"


def activations(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="Files, folders, globs, - for standard input, or sample:cat; with --frames a video.",
            show_default=False,
        ),
    ],
    *,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            "--layer",
            "-l",
            metavar="LAYER",
            help="A layer, a channel (LAYER:42) or a glob; may be repeated. One per resolution by default.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(min=1, metavar="K", help="Channels per layer: 64 of one, 8 of several.", rich_help_panel=_PANEL),
    ] = None,
    channels: Annotated[
        str | None,
        typer.Option(metavar="N,N...", help="Show these channels, such as 1,5,9 or 0-7.", rich_help_panel=_PANEL),
    ] = None,
    grid: Annotated[
        str | None,
        typer.Option(metavar="RxC", help="Show so many rows and columns, such as 8x8.", rich_help_panel=_PANEL),
    ] = None,
    sort: Annotated[
        str,
        typer.Option(
            metavar="max|mean|contribution",
            help="Which channels come first: largest activation, mean, or activation × gradient of the target.",
            rich_help_panel=_PANEL,
        ),
    ] = "max",
    target: Annotated[
        str,
        typer.Option(
            "--target",
            "-t",
            metavar="TARGET",
            help="Of the contributions: class:top, LAYER:CHANNEL, …",
            rich_help_panel=_PANEL,
        ),
    ] = "class:top",
    overlay: Annotated[
        bool,
        typer.Option(
            "--overlay", help="Lay maps over the picture, aligned by receptive field.", rich_help_panel=_PANEL
        ),
    ] = False,
    shared_scale: Annotated[
        bool,
        typer.Option("--shared-scale", help="One color scale for all channels of a layer.", rich_help_panel=_PANEL),
    ] = False,
    journey: Annotated[
        bool,
        typer.Option("--journey", help="Draw all layers in one picture, a row each.", rich_help_panel=_PANEL),
    ] = False,
    frames: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Take N frames of a video or animated picture.", rich_help_panel=_PANEL),
    ] = None,
    animate: Annotated[
        str | None,
        typer.Option(metavar="webp|gif", help="Make a moving picture of several.", rich_help_panel="Output"),
    ] = None,
    rate: Annotated[
        float, typer.Option(min=0.1, max=60, metavar="N", help="Its pictures per second.", rich_help_panel="Output")
    ] = 8.0,
    fit: Annotated[
        str,
        typer.Option(metavar="crop|stretch|whole", help="How pictures become inputs.", rich_help_panel=_PANEL),
    ] = "crop",
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where to put pictures.", rich_help_panel="Output")
    ] = _OUT,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel="Output")] = False,
    model: NameOption = None,
    weights: Weights = "default",
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    input_channels: InputChannels = None,
    classes: Classes = None,
    device: Device = None,
) -> int:
    """Show what each layer makes of a picture: the maps of its strongest channels."""
    rows_columns = None if grid is None else _grid(grid)
    moving = _moving(animate, frames)
    if fit not in {"crop", "stretch", "whole"}:
        raise typer.BadParameter(f"expected crop, stretch, whole; got {fit!r}.", param_hint="--fit")
    with progress("loading") as tell:
        from convscope import anatomy, store  # noqa: PLC0415 - imports torch

        store.check_destination(out)
        network = load_network(
            model,
            weights=weights,
            size=size,
            mean=mean,
            std=std,
            channels=input_channels,
            classes=classes,
            device=device,
        )
        maps = anatomy.activation_maps(
            network,
            images,
            layer or None,
            channels=None if channels is None else whole_numbers(channels, "--channels"),
            top=rows_columns[0] * rows_columns[1] if rows_columns else top,
            sort=sort,
            target=target,
            fit=cast("Fit", fit),
            frames=frames,
            progress=tell,
        )
        tell("drawing", 0, 1)
        options = {
            "overlay": overlay,
            "scale": "shared" if shared_scale else "channel",
            "columns": rows_columns[1] if rows_columns else None,
        }
        drawn = dict(_drawn(maps, options, one=journey or not layer, moving=moving, rate=rate))
        folder = store.save(maps, out, files=drawn)
    files = [*(folder / name for name in drawn), folder / store.ARRAYS, folder / store.MANIFEST]
    if json:
        print_json({**activation_facts(maps), "files": files})
    else:
        print_activations(stdout(), maps)
        stdout().print()
        for file in files[: len(drawn)]:
            stdout().print(file, soft_wrap=True)
    for _, reason in maps.failures:
        stderr().print(f"convscope: {reason}", soft_wrap=True)
    return 2 if _files(maps) else 0


def _files(maps: "ActivationMaps") -> list[tuple[str, str]]:
    """The failures that are files, not layers of a glob that have no maps."""
    return [failure for failure in maps.failures if not failure[1].startswith("layer ")]


def _drawn(
    maps: "ActivationMaps", options: dict[str, Any], *, one: bool, moving: "AnimationFormat | None", rate: float
) -> Iterator[tuple[str, bytes]]:
    """Every picture to write, by file name: the journey, or a grid for each layer; for each picture, or moving."""
    from convscope.plot import animation  # noqa: PLC0415
    from convscope.report import png  # noqa: PLC0415

    names = [None] if one or len(maps.layers) == 1 else [item.layer for item in maps.layers]
    for name in names:
        stem = "activations" if name is None else re.sub(r"[^\w.\-]+", "_", name)
        if moving is not None and len(maps.images) > 1:
            yield f"{stem}.{moving}", animation(maps, kind=moving, rate=rate, layer=name, **options)
            continue
        for image in range(len(maps.images)):
            number = "" if len(maps.images) == 1 else f"-{image}"
            yield f"{stem}{number}.png", png(maps, layer=name, image=image, **options)


def _moving(text: str | None, frames: int | None) -> "AnimationFormat | None":
    if text not in {None, "webp", "gif"}:
        raise typer.BadParameter(f"expected webp or gif; got {text!r}.", param_hint="--animate")
    return cast("AnimationFormat | None", text or ("webp" if frames else None))


def _grid(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d*)[x×]([1-9]\d*)", text.strip().lower())
    if match is None:
        raise typer.BadParameter(f"expected ROWSxCOLUMNS such as 8x8; got {text!r}.", param_hint="--grid")
    return int(match[1]), int(match[2])
