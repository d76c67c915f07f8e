"""Temporary: ``explain``, ``write``, ``rerun`` live in ``convscope.page`` (``convscope.explain`` is the function)."""

from convscope.page import DEFAULT_METHODS, FORMATS, explain, rerun, write

__all__ = ["DEFAULT_METHODS", "FORMATS", "explain", "rerun", "write"]
