"""`convscope samples`."""

from typing import Annotated

import typer

from convscope.cli.console import columns, print_json, print_table, stdout


def samples(*, json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the bundled photographs."""
    from convscope.image import SAMPLES  # noqa: PLC0415 - imports torch
    from convscope.image.samples import PREFIX, sample_path  # noqa: PLC0415

    if json:
        print_json(
            [
                {"name": f"{PREFIX}{name}", "about": sample.about, "license": sample.license, "path": sample_path(name)}
                for name, sample in SAMPLES.items()
            ]
        )
        return
    table = columns("name", "shows", "license")
    for name, sample in SAMPLES.items():
        table.add_row(f"{PREFIX}{name}", sample.about, sample.license)
    print_table(stdout(), table)
