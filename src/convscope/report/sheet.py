"""An explanation as one PNG."""

from io import BytesIO

from convscope.plot import figure
from convscope.results import Explanation

_DPI = 150
# Agg cannot draw more than 2¹⁶ pixels a side; long before that viewers give up.
_MOST_PIXELS = 20_000


def png(explanation: Explanation) -> bytes:
    """Return the figure of an explanation as PNG, at 150 dpi, or fewer where a side would pass 20 000 pixels."""
    sheet = figure(explanation)
    dpi = min(_DPI, _MOST_PIXELS / max(sheet.get_size_inches()))
    buffer = BytesIO()
    # Everything that matplotlib would otherwise take from the user's rcParams.
    sheet.savefig(buffer, format="png", dpi=dpi, facecolor="white", bbox_inches=sheet.bbox_inches, transparent=False)
    return buffer.getvalue()
