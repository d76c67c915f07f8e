"""`convscope health`: which units do their work."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convscope.cli.console import print_json, stderr, stdout
from convscope.cli.health_facts import health_facts, print_health
from convscope.cli.network import Channels, Classes, Device, Mean, NameOption, Size, Std, Weights, load_network
from convscope.cli.progress import progress

if TYPE_CHECKING:
    from collections.abc import Sequence

_OUT = Path("convscope-health")
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
_PANEL = "Health"


def health(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL] [IMAGES...]",
            help="The network, if not the embedded one, and files, folders, globs or samples. The first word is a "
            "network unless it is a file or folder that exists, a glob, - or a sample. Without pictures only weights "
            "are examined.",
            show_default=False,
        ),
    ] = None,
    *,
    layer: Annotated[
        str,
        typer.Option("--layers", "-l", metavar="GLOB", help="Layers with weights, or a block.", rich_help_panel=_PANEL),
    ] = "*",
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="folder|FILE.csv[:COLUMN]",
            help="Where the classes of the pictures stand, for class selectivity.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    ablate: Annotated[
        int,
        typer.Option(min=0, metavar="K", help="Set K units per layer to zero, one at a time.", rich_help_panel=_PANEL),
    ] = 0,
    ablate_on: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of pictures to do that on.", rich_help_panel=_PANEL)
    ] = 8,
    alike: Annotated[
        float, typer.Option(metavar="C", help="Cosine from which units count as twins.", rich_help_panel=_PANEL)
    ] = 0.95,
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
) -> int:
    """Examine the units of a network: dead, always on, saturated, duplicate, and which ones matter."""
    name, images = _split(what or [], model)
    if labels is not None and not images:
        raise typer.BadParameter("labels are those of pictures; give some.", param_hint="--labels")
    with progress("loading") as tell:
        from convscope import anatomy, image, store  # noqa: PLC0415 - imports torch
        from convscope.report import png  # noqa: PLC0415

        store.check_destination(out)
        found, missed = image.find(images)
        known = None if labels is None else _labels(found, labels)
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
        result = anatomy.unit_health(
            network,
            (found or images) or None,
            layers=layer,
            labels=known,
            ablate=ablate,
            ablate_on=ablate_on,
            alike=alike,
            progress=tell,
        )
        tell("drawing", 0, 1)
        folder = store.save(result, out, files={"health.png": png(result)})
    if json:
        print_json(
            {**health_facts(result), "files": [folder / "health.png", folder / store.ARRAYS, folder / store.MANIFEST]}
        )
    else:
        print_health(stdout(), result)
        stdout().print(f"\n{folder / 'health.png'}", soft_wrap=True)
    failures = [*(missed if found else ()), *result.failures]
    for _, reason in failures:
        stderr().print(f"convscope: {reason}", soft_wrap=True)
    return 2 if failures else 0


def _split(what: list[str], option: str | None) -> tuple[str | None, list[str]]:
    """The network's name and the pictures."""
    if option is not None or not what or _is_pictures(what[0]):
        return option, what
    return what[0], what[1:]


def _is_pictures(word: str) -> bool:
    path = Path(word)
    meant = word == "-" or word.startswith("sample:") or any(mark in word for mark in "*?[") or word.endswith("/")
    return meant or path.suffix.lower() in _SUFFIXES or (path.exists() and path.suffix != ".py")


def _labels(names: "Sequence[str]", where: str) -> tuple[str | None, ...]:
    from convscope.image import labels_from_csv, labels_from_folders  # noqa: PLC0415

    if where == "folder":
        return labels_from_folders(names)
    table, column = (where, None) if where.endswith(".csv") else (where.rpartition(":")[0], where.rpartition(":")[2])
    if not table:
        raise typer.BadParameter(f"expected folder or FILE.csv[:COLUMN]; got {where!r}.", param_hint="--labels")
    return labels_from_csv(names, table, column=column)
