"""`convscope models`."""

from collections import Counter
from typing import Annotated

import typer

from convscope.cli.console import columns, print_json, print_table, stderr, stdout
from convscope.cli.words import plural


def models(
    pattern: Annotated[
        str, typer.Argument(help="Part of a name, or a glob such as 'resnet*'.", show_default=False)
    ] = "*",
    *,
    local: Annotated[bool, typer.Option("--local", help="Only those whose weights are on this machine.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the networks that can be loaded by name."""
    from convscope.errors import ModelError, near_misses  # noqa: PLC0415
    from convscope.model import networks  # noqa: PLC0415 - imports torch

    glob = pattern if any(mark in pattern for mark in "*?[") else f"*{pattern}*"
    entries = [entry for entry in networks(glob) if entry.local or not local]
    if not entries:
        hint = "" if local else near_misses(pattern, (entry.name for entry in networks()))
        where = " with weights on this machine" if local else ""
        raise ModelError(f"no network{where} matches {pattern!r}.{hint} `convscope models` lists them all.")
    if json:
        print_json(entries)
        return
    table = columns("name", "from", "weights")
    for entry in entries:
        table.add_row(entry.name, entry.library, "on this machine" if entry.local else "to be downloaded")
    print_table(stdout(), table)
    counts = Counter(entry.library for entry in entries)
    stderr().print(
        f"{plural(len(entries), 'network')} ({', '.join(f'{n} {library}' for library, n in counts.items())})",
        style="dim",
    )
