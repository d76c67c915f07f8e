"""Start the command line, and turn whatever goes wrong into one line and an exit code.

0: all is well. 1: a rerun that differs, or a fault of convscope's own. 2: something the user gave cannot be used.
130: interrupted.
"""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence

import typer

from convscope.cli.app import app
from convscope.errors import ConvscopeError

_UsageError: type[Exception] = typer.BadParameter.__mro__[
    1
]  # what typer raises for a bad command line; it has no public name
_TRACEBACK = "--debug (or CONVSCOPE_DEBUG=1) shows the traceback"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: of the command line, without the program's name; those of this process by default.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given or os.environ.get("CONVSCOPE_DEBUG", "") not in {"", "0"}
    given = [argument for argument in given if argument != "--debug"]
    _prepare_streams()
    try:
        with contextlib.nullcontext() if debug else _quiet_libraries():
            code = typer.main.get_command(app).main(given, prog_name="convscope", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        _abandon_stdout()
        return 1
    except SystemExit as stop:  # typer's and rich's way out of a broken pipe
        return stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        code = 130
    except (ConvscopeError, _UsageError) as error:
        if debug:
            raise
        _complain(_words(error))
        return 2  # without words where typer has printed the help instead
    except Exception as error:
        if debug:
            raise
        _complain(f"unexpected {type(error).__name__}: {' '.join(str(error).split()) or 'no message'}. {_TRACEBACK}.")
        return 1
    if code == 130:
        _complain("interrupted")
    return code if isinstance(code, int) else 0


def _words(error: Exception) -> str:
    """What to print: convscope's own text, or typer's and where to read on."""
    if isinstance(error, ConvscopeError):
        return str(error)
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "convscope"
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    sentence = " ".join(message.split())
    if not sentence:
        return ""
    return f"{sentence}{'' if sentence.endswith(('.', '?')) else '.'} See `{command} --help`."


def _complain(text: str) -> None:
    for line in text.splitlines():
        print(f"convscope: {line}", file=sys.stderr)  # noqa: T201 - the command line's own voice


@contextlib.contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Keep what libraries warn about (each other, mostly) out of the output."""
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _prepare_streams() -> None:
    """A file name or a symbol that the terminal's encoding lacks must not end the program."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def _abandon_stdout() -> None:
    """The reader has gone: what is still buffered would raise again when Python closes its streams."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
