"""`convscope layers`: the model doctor on paper."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convscope.cli.console import columns, plain, print_json, print_table, stdout
from convscope.cli.network import Channels, Classes, Device, Mean, Name, Size, Std, Weights, load_network
from convscope.cli.progress import progress
from convscope.cli.words import pair, short
from convscope.cli.words import size as spell_size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from convscope.anatomy import LayerSummary, Summary


def layers(
    model: Name = None,
    *,
    depth: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Show layers nested up to N deep; sums include what is inside."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    weights: Weights = "default",
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    channels: Channels = None,
    classes: Classes = None,
    device: Device = None,
    dtype: Annotated[
        str | None, typer.Option(metavar="TYPE", help="float32, bfloat16 or float64.", rich_help_panel="Network")
    ] = None,
) -> None:
    """Examine a network: its layers, what they see and cost, where to look, and what would spoil the pictures."""
    with progress("loading the network") as tell:
        network = load_network(
            model,
            weights=weights,
            size=size,
            mean=mean,
            std=std,
            channels=channels,
            classes=classes,
            device=device,
            dtype=dtype,
        )
        from convscope.anatomy import summarize  # noqa: PLC0415 - imports torch

        tell("examining it", 0, 1)
        summary = summarize(network)
    if json:
        print_json(_facts(summary))
        return
    console = stdout()
    _print_head(console, summary)
    _print_layers(console, summary, depth)
    _print_advice(console, summary)


def _facts(summary: "Summary") -> dict[str, Any]:
    facts: dict[str, Any] = plain({key: value for key, value in vars(summary).items() if key != "layers"})
    return {**facts, "layers": [_layer_facts(layer) for layer in summary.layers]}


def _layer_facts(layer: "LayerSummary") -> dict[str, Any]:
    seen = layer.field
    facts: dict[str, Any] = plain({key: value for key, value in vars(layer).items() if key != "field"})
    keys = ("size", "stride", "start", "map_size", "whole", "exact", "notes")
    return {**facts, "field": None if seen is None else plain({key: getattr(seen, key) for key in keys})}


def _print_head(console: "Console", summary: "Summary") -> None:
    how = summary.preprocessing
    console.print(summary.model, style="bold", end="")
    console.print(f" · {summary.weights} · digest {summary.digest}", soft_wrap=True)
    console.print(
        f"input {spell_size((how.channels, *how.size))}, mean {_numbers(how.mean)}, std {_numbers(how.std)}"
        f" · {f'{summary.classes} class names' if summary.classes else 'no class names'}"
        f" · {summary.device}, {summary.dtype}"
    )
    frozen = summary.parameters - summary.trainable
    state = "frozen" if frozen == summary.parameters else f"{frozen:,} frozen" if frozen else "trainable"
    work = (
        f"{short(summary.work.flops)}FLOPs ({short(summary.work.multiply_adds)} multiply-adds) per picture"
        if summary.work
        else "FLOPs unknown"
    )
    console.print(f"{summary.parameters:,} parameters ({state}, {short(summary.bytes)}B) · {work}\n")


@dataclass(frozen=True)
class _Node:
    """A layer call and the calls made inside it."""

    layer: "LayerSummary"
    children: "tuple[_Node, ...]"


def _tree(summary: "Summary") -> tuple[_Node, ...]:
    """Nest the calls, which come in the order in which they finish: each adopts those before it that it contains."""
    finished: list[_Node] = []
    for layer in summary.layers[:-1]:
        inside = f"{layer.layer}."
        children = tuple(node for node in finished if node.layer.layer.startswith(inside))
        finished = [node for node in finished if not node.layer.layer.startswith(inside)]
        finished.append(_Node(layer, children))
    return tuple(finished)


def _rows(nodes: tuple[_Node, ...], depth: int | None, level: int = 0) -> "Iterator[tuple[int, LayerSummary]]":
    for node in nodes:
        yield level, node.layer
        if depth is None or level + 1 < depth:
            yield from _rows(node.children, depth, level + 1)


def _print_layers(console: "Console", summary: "Summary", depth: int | None) -> None:
    from rich.text import Text  # noqa: PLC0415

    headings = ("layer", "type", "output", "params", "FLOPs", "stride", "field")
    table = columns(*headings, right=("output", "params", "FLOPs", "stride", "field"))
    for column in table.columns:  # only the type may be shortened: addresses are there to be copied
        column.no_wrap = column.header != "type"
    table.columns[1].overflow = "ellipsis"
    for level, layer in _rows(_tree(summary), depth):
        table.add_row(Text(" " * level) + _address(layer.address), *_cells(layer))
    print_table(console, table)
    console.print(
        "\nfor one picture; layers that hold others sum them up; a multiply-add is 2 FLOPs; field: "
        "size of the receptive field in pixels\n",
        style="dim",
    )


def _address(address: str) -> "Text":
    from rich.text import Text  # noqa: PLC0415

    parent, dot, name = address.rpartition(".")
    return Text(parent + dot, style="dim") + Text(name)


def _cells(layer: "LayerSummary") -> tuple[str, ...]:
    seen = layer.field
    shape = "" if layer.shape is None else spell_size(layer.shape)
    parameters = (
        "shared" if layer.shares and not layer.own_parameters else f"{layer.parameters:,}" if layer.parameters else ""
    )
    work = short(layer.work.flops) if layer.work and layer.work.flops else ""
    if seen is None:
        return layer.type, shape, parameters, work, "", ""
    stride = pair(*seen.stride) if all(seen.stride) else ""
    return layer.type, shape, parameters, work, stride, ("" if seen.exact else "≤ ") + pair(*seen.size)


def _print_advice(console: "Console", summary: "Summary") -> None:
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    kinds = ", ".join(f"{kind.count} {kind.kind} ({kind.spelling})" for kind in summary.activations)
    table.add_row("activations", kinds or "none found")
    table.add_row("for CAM", summary.cam_layer or "no layer with positions")
    table.add_row("for units", ", ".join(summary.unit_layers) or "no layer with maps")
    if summary.uncounted:
        table.add_row("FLOPs without", ", ".join(summary.uncounted))
    for finding in summary.findings:
        table.add_row(finding.level, finding.text, style="yellow" if finding.level == "warning" else "")
    for note in summary.notes:
        table.add_row("note", note)
    if not any(finding.level == "warning" for finding in summary.findings):
        table.add_row("verdict", "nothing that would spoil a picture was found")
    print_table(console, table)


def _numbers(values: tuple[float, ...]) -> str:
    return f"{values[0]:g}" if len(set(values)) == 1 else "/".join(f"{value:g}" for value in values)
