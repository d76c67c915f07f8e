"""``manifest.json``: what a stored result is, all of it that is not an array, and checksums of everything."""

import hashlib
import json
from pathlib import Path
from typing import Any

from convscope.errors import StoreError, system_reason
from convscope.store.encode import Json

FORMAT = "convscope result"
SCHEMA_VERSION = 1
MANIFEST = "manifest.json"


def seal(kind: str, result: Json, files: dict[str, bytes]) -> bytes:
    """Make the manifest of a result: its kind, its JSON, and size and SHA-256 of the files beside it."""
    content = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "files": {name: {"bytes": len(data), "sha256": sha256(data)} for name, data in files.items()},
        "result": result,
    }
    return json.dumps({**content, "sha256": _digest(content)}, indent=1, allow_nan=False).encode()


def unseal(directory: Path) -> dict[str, Any]:
    """Read a manifest and check that it is ours, of a version we know, and as it was written.

    Raises:
        StoreError: saying which of these fails.
    """
    path = directory / MANIFEST
    content = _parse(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise StoreError(f"{str(directory)!r} is not a convscope result: its {MANIFEST} is of another program.")
    version = content.get("schema_version")
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise StoreError(
            f"{str(directory)!r} was written by a newer convscope (schema {version}, this one reads "
            f"{SCHEMA_VERSION}). Upgrade with: pip install --upgrade convscope"
        )
    if content.pop("sha256", None) != _digest(content):
        raise StoreError(
            f"{str(path)!r} was changed after it was written (its checksum differs). Make the result again."
        )
    if lacking := {"kind", "files", "result"} - content.keys():
        raise StoreError(f"{str(path)!r} lacks: {', '.join(sorted(lacking))}. Make the result again.")
    return content


def sha256(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def _digest(content: dict[str, Any]) -> str:
    return sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())


def _parse(path: Path) -> Json:
    try:
        content: Json = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise _no_result(path.parent) from error
    except NotADirectoryError as error:
        raise StoreError(f"{str(path.parent)!r} is a file; a result is a folder that holds {MANIFEST}.") from error
    except OSError as error:
        raise StoreError(f"cannot read {str(path)!r}: {system_reason(error)}.") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{str(path)!r} is damaged or cut off ({error}). Make the result again.") from error
    return content


def _no_result(directory: Path) -> StoreError:
    if not directory.exists():
        return StoreError(f"no result at {str(directory)!r}: no such folder.")
    return StoreError(f"{str(directory)!r} is not a convscope result: it holds no {MANIFEST}.")
