"""Results on disk: arrays and a manifest, written whole or not at all, read back bit for bit."""

from convscope.store.disk import ARRAYS, KINDS, check_destination, load, save
from convscope.store.manifest import MANIFEST, SCHEMA_VERSION

__all__ = ["ARRAYS", "KINDS", "MANIFEST", "SCHEMA_VERSION", "check_destination", "load", "save"]
