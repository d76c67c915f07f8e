"""`convscope show`: what a stored result says."""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convscope.cli.console import print_json, stdout
from convscope.cli.facts import facts, print_facts

if TYPE_CHECKING:
    from convscope.results import Result

Stored = Annotated[
    Path, typer.Argument(metavar="RESULT", help="The folder of a result, or a file in it.", show_default=False)
]


def show(
    result: Stored,
    *,
    page: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the page anew, as HTML.")] = None,
    png: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it anew, as PNG.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read a result back and print what it says."""
    from convscope.image import write_bytes  # noqa: PLC0415 - imports torch

    stored = read_result(result)
    drawn = []
    if page is not None:
        drawn.append(write_bytes(page, _html(stored)))
    if png is not None:
        drawn.append(write_bytes(png, _png(stored)))
    if json:
        print_json({**facts(stored), "files": drawn})
        return
    print_facts(stored, all_of_it=True)
    for path in drawn:
        stdout().print(path, soft_wrap=True)


def read_result(path: Path) -> "Result":
    """Read a result by its folder, or by its page or another file in it.

    Raises:
        StoreError: it is no result, or damaged.
    """
    from convscope.store import load  # noqa: PLC0415 - imports torch

    return load(path.parent if path.is_file() else path)


def _html(result: "Result") -> bytes:
    from convscope.errors import StoreError  # noqa: PLC0415
    from convscope.report import html  # noqa: PLC0415
    from convscope.results import Explanation  # noqa: PLC0415

    if not isinstance(result, Explanation):
        raise StoreError(f"an {type(result).__name__.lower()} has no page. Use --png FILE.")
    return html(result).encode()


def _png(result: "Result") -> bytes:
    from convscope.report import png  # noqa: PLC0415
    from convscope.results import Explanation  # noqa: PLC0415

    if isinstance(result, Explanation):
        return png(result)
    buffer = BytesIO()
    result.figure().savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()
