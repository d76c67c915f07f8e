"""Where output goes: facts to stdout, the rest to stderr; colors, boxes and progress only on a terminal."""

import dataclasses
import json
import math
import os
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

_PIPE_WIDTH = 120


def stdout() -> Console:
    """The console of the present ``sys.stdout``."""
    return _console(stderr=False)


def stderr() -> Console:
    """The console of the present ``sys.stderr``."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    # A pipe has no width; eighty columns would cut tables for nothing.
    width = None if stream.isatty() or os.environ.get("COLUMNS") else _PIPE_WIDTH
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)


def columns(*headings: str, right: tuple[str, ...] = ()) -> Table:
    """An open table without lines, its headings dim; those named in ``right`` are aligned to the right."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    return table


def print_table(console: Console, table: Table, *, indent: int = 0) -> None:
    """Print a table without the blanks with which rich fills its lines up to the right."""
    with console.capture() as capture:
        console.print(Padding(table, (0, 0, 0, indent)))
    for line in capture.get().splitlines():
        console.file.write(line.rstrip() + "\n")


def print_json(value: object) -> None:
    """Print a result as JSON, alone on stdout."""
    sys.stdout.write(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def plain(value: Any) -> Any:  # noqa: ANN401 - anything that can be said in JSON
    """Turn results into what JSON knows; numbers that are not finite become null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value if not isinstance(value, float) or math.isfinite(value) else None
    return str(value).encode("utf-8", "replace").decode("utf-8")
