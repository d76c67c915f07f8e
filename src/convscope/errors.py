"""The exception tree: everything convscope raises on purpose.

```
ConvscopeError
├── ImageError         a picture cannot be found, read or used
├── ModelError         a network or its weights cannot be loaded or run
├── AddressError       an address names nothing in this network
├── TargetError        a target cannot be read off this network
├── MethodError        a method is unknown, misconfigured or undefined for this network
├── StoreError         a result cannot be written or read
└── MissingExtraError  an optional dependency is not installed
```

Every message is one line: what is wrong, what was given, what would be valid, and what to do next. The command
line prints it and exits with code 2.
"""

import difflib
from collections.abc import Iterable


class ConvscopeError(Exception):
    """Root of all errors that convscope raises for what a caller gave it."""


class ImageError(ConvscopeError):
    """A picture cannot be found, read or used."""


class ModelError(ConvscopeError):
    """A network or its weights cannot be loaded or run."""


class AddressError(ConvscopeError):
    """An address names nothing in this network."""


class TargetError(ConvscopeError):
    """A target cannot be read off this network."""


class MethodError(ConvscopeError):
    """A method is unknown, misconfigured, or undefined for this network."""


class StoreError(ConvscopeError):
    """A result cannot be written or read."""


class MissingExtraError(ConvscopeError):
    """An optional dependency is not installed."""

    def __init__(self, feature: str, package: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs {package}, which is not installed. Install it with: pip install 'convscope[{extra}]'"
        )


def near_misses(word: str, known: Iterable[str], count: int = 3) -> str:
    """Return ``" Did you mean 'a' or 'b'?"`` for the known words closest to ``word``, or an empty string."""
    lowered = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), lowered, n=count, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(lowered[name]) for name in close)}?" if close else ""


def system_reason(error: OSError) -> str:
    """Return what the operating system said, for the middle of a sentence: ``"permission denied"``."""
    return (error.strerror or str(error)).lower()
