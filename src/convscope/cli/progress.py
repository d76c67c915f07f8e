"""How far long work has come: one line on stderr, if that is a terminal, that vanishes when the work is done."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from convscope.cli.console import stderr

Tell = Callable[[str, int, int], None]
"""Told what is being done, how much of it is finished, and how much there is."""


@contextmanager
def progress(first: str) -> Iterator[Tell]:
    """Show a progress bar until the block ends.

    Args:
        first: what is being done until the first call.
    """
    console = stderr()
    if not console.is_terminal:
        yield lambda *_: None
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task(first, total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
