"""An explanation as one file: `html` for a browser or a notebook, `png` for everything else."""

from convscope.report.page import html
from convscope.report.sheet import png

__all__ = ["html", "png"]
