"""The command line: parse, call one function, save, print. Nothing heavy is imported before a command needs it."""

from convscope.cli.run import main

__all__ = ["main"]
