"""`convscope rerun`: make a stored result again and see whether it is the same."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convscope.cli.compare import Difference, differences
from convscope.cli.console import columns, print_json, print_table, stdout
from convscope.cli.progress import progress
from convscope.cli.show import Stored, read_result
from convscope.cli.words import plural

if TYPE_CHECKING:
    from convscope.results import Explanation


def rerun(
    result: Stored,
    *,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="Keep the new page there.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Make a result again and compare: the same bit for bit on the same machine, else exit code 1."""
    before = _explanation(result)
    with progress("making it again"):
        from convscope import page  # noqa: PLC0415 - imports torch
        from convscope.store import check_destination  # noqa: PLC0415

        if out is not None:
            check_destination(out)
        after = page.rerun(before)
        files = [] if out is None else page.write(after, out)
    found = differences(before, after)
    if json:
        print_json({"identical": not found, "differences": found, "files": files})
    else:
        _print(before, after, found)
        for path in files[:1]:
            stdout().print(path, soft_wrap=True)
    return 1 if found else 0


def _explanation(path: Path) -> "Explanation":
    from convscope.errors import StoreError  # noqa: PLC0415
    from convscope.results import Explanation  # noqa: PLC0415 - imports torch

    stored = read_result(path)
    if not isinstance(stored, Explanation):
        raise StoreError(
            f"{str(path)!r} holds an {type(stored).__name__.lower()}; only what `convscope explain` "
            "made can be made again."
        )
    return stored


def _print(before: "Explanation", after: "Explanation", found: tuple[Difference, ...]) -> None:
    console = stdout()
    if not found:
        methods, pictures = plural(len(before.attributions), "method"), plural(len(before.images), "picture")
        console.print(f"identical: {methods}, {pictures}, every number the same bit for bit")
        return
    table = columns(
        "differs", "largest difference", "of the largest value", right=("largest difference", "of the largest value")
    )
    for difference in found:
        table.add_row(difference.what, f"{difference.largest:.3g}", f"{difference.relative:.1e}")
    print_table(console, table)
    for what, old, new in (
        ("versions", before.provenance.versions, after.provenance.versions),
        ("device", before.provenance.device, after.provenance.device),
    ):
        if old != new:
            console.print(f"{what} then: {_spell(old)}; now: {_spell(new)}", style="dim")


def _spell(value: object) -> str:
    return ", ".join(f"{name} {version}" for name, version in value.items()) if isinstance(value, dict) else str(value)
