"""A folder of files appears whole or not at all, and an old one goes only when the new one is complete."""

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path


def swap_in(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a temporary folder beside ``directory``, sync, and put it in its place.

    After an error or Ctrl-C the old folder, or none, is there, and nothing else.

    Raises:
        OSError: if the system refuses.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(6)
    new, old = (directory.with_name(f".{token}.{role}") for role in ("part", "old"))
    try:
        new.mkdir()
        for name, data in files.items():
            _write(new / name, data)
        _put(new, directory, old)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if directory.exists():
            shutil.rmtree(old, ignore_errors=True)


def _put(new: Path, directory: Path, old: Path) -> None:
    try:
        if directory.exists():
            directory.rename(old)
        new.rename(directory)
    except BaseException:
        if old.exists() and not directory.exists():
            old.rename(directory)
        raise


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
