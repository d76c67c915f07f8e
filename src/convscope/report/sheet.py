"""A result as one PNG."""

from io import BytesIO
from typing import Any

from convscope.plot import figure
from convscope.results import Result

_DPI = 150
# Agg cannot draw more than 2¹⁶ pixels a side; long before that viewers give up.
_MOST_PIXELS = 20_000


def png(result: Result, **options: Any) -> bytes:  # noqa: ANN401 - each figure has its own
    """Return the figure of a result as PNG, at 150 dpi, or fewer where a side would pass 20 000 pixels.

    Args:
        result: of any kind that has a figure.
        options: of that figure.
    """
    sheet = figure(result, **options)
    dpi = min(_DPI, _MOST_PIXELS / max(sheet.get_size_inches()))
    buffer = BytesIO()
    # Everything that matplotlib would otherwise take from the user's rcParams.
    sheet.savefig(buffer, format="png", dpi=dpi, facecolor="white", bbox_inches=sheet.bbox_inches, transparent=False)
    return buffer.getvalue()
