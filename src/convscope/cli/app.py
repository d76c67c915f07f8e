"""The commands, one file each."""

from typing import Annotated

import typer

from convscope.cli.activations import activations
from convscope.cli.explain import explain
from convscope.cli.field import field
from convscope.cli.filters import filters
from convscope.cli.health import health
from convscope.cli.layers import layers
from convscope.cli.methods import methods
from convscope.cli.models import models
from convscope.cli.rerun import rerun
from convscope.cli.samples import samples
from convscope.cli.show import show
from convscope.cli.version import print_version

app = typer.Typer(
    name="convscope",
    help="Look inside convolutional networks: which pixels decided, and whether the picture can be trusted.",
    epilog="Start with: convscope explain sample:cat",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> bool:
    if value:
        print_version()
        raise typer.Exit
    return value


@app.callback()
def begin(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Name convscope, torch and the device, and exit.", callback=_version, is_eager=True
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and what libraries warn about.")] = False,
) -> None:
    """Look inside convolutional networks."""


for command in (explain, filters, activations, field, health, layers, show, rerun, methods, models, samples):
    app.command(no_args_is_help=command in (explain, filters, activations, field))(command)
