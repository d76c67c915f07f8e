"""Every result has one figure: `figure(result)`. Further kinds of results register theirs."""

from functools import singledispatch

from matplotlib.figure import Figure


@singledispatch
def figure(result: object, **options: object) -> Figure:
    """Draw a result as a matplotlib figure.

    Nothing is shown or saved, no pyplot state is touched, and rcParams are neither read nor written.

    Args:
        result: an `Attribution`, `Explanation`, `Filters`, `ActivationMaps` or any other kind in `figure.registry`.
        options: see the function registered for the result's type.

    Raises:
        TypeError: nothing is known about drawing this type.
    """
    known = ", ".join(sorted(kind.__name__ for kind in figure.registry if kind is not object))
    given = f"{type(result).__name__}{' with options' if options else ''}"
    raise TypeError(f"no figure for {given}. Expected one of: {known}.")
