"""Results on disk: a folder with ``manifest.json``, ``arrays.npz`` and, if given, views of it."""

import os
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import numpy as np

from convscope.errors import StoreError, system_reason
from convscope.results import ActivationMaps, Attribution, EffectiveField, Explanation, Field, Filters, Health, Result
from convscope.store.encode import Arrays, decode, encode
from convscope.store.manifest import MANIFEST, seal, sha256, unseal
from convscope.store.swap import swap_in

ARRAYS = "arrays.npz"

KINDS: Mapping[str, type[Result]] = MappingProxyType(
    {
        "activation_maps": ActivationMaps,
        "attribution": Attribution,
        "effective_field": EffectiveField,
        "explanation": Explanation,
        "field": Field,
        "filters": Filters,
        "health": Health,
    }
)
"""What can be stored: the ``kind`` in the manifest and its class. A new result type is one entry here."""


def save(result: Result, directory: str | Path, *, files: Mapping[str, bytes] = MappingProxyType({})) -> Path:
    """Store a result so that ``load`` gives it back bit for bit.

    The folder appears whole or not at all. An older result in its place is kept until the new is complete.

    Args:
        result: of a type in ``KINDS``.
        directory: to be made, or empty, or an older result with no files of anyone else's in it.
        files: views to store beside it by their plain name, such as ``{"page.html": ...}``.

    Returns:
        The folder.

    Raises:
        StoreError: if the folder is not ours to replace or cannot be written, or the result holds something
            that cannot be stored.
    """
    directory = Path(directory)
    # A link keeps pointing where it did: the folder that it points to is replaced.
    target = Path(os.path.realpath(directory))
    parts = _serialize(result, files)
    try:
        _check_replaceable(target)
        swap_in(target, parts)
    except OSError as error:
        raise StoreError(
            f"cannot write the result to {str(directory)!r}: {system_reason(error)}. "
            "Choose a folder inside one that you may write to."
        ) from error
    return directory


def check_destination(directory: str | Path) -> None:
    """Check, before long work, that ``save`` could put a result there.

    Raises:
        StoreError: if the folder is not ours to replace, or lies where nothing can be written.
    """
    target = Path(os.path.realpath(directory))
    try:
        _check_replaceable(target)
        above = next(folder for folder in target.parents if folder.exists())
        reason = "" if above.is_dir() else f"{str(above)!r} is a file"
        reason = reason or ("" if os.access(above, os.W_OK | os.X_OK) else f"no permission to write to {str(above)!r}")
    except OSError as error:
        reason = system_reason(error)
    if reason:
        raise StoreError(
            f"cannot write the result to {str(directory)!r}: {reason}. "
            "Choose a folder inside one that you may write to."
        )


def load(directory: str | Path) -> Result:
    """Read back what ``save`` stored.

    Raises:
        StoreError: if it is no result, was cut off or changed, lacks a part, or is of a newer convscope.
    """
    directory = Path(directory)
    content = unseal(directory)
    kind = content.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise StoreError(f"{str(directory)!r} holds a {kind!r}; this convscope reads: {', '.join(KINDS)}.")
    arrays = _load_arrays(directory, content)
    try:
        result = decode(content["result"], KINDS[kind], arrays)
    except StoreError as error:
        raise StoreError(f"cannot read the result at {str(directory)!r}: {error}. Make it again.") from error
    return cast("Result", result)


def _serialize(result: Result, files: Mapping[str, bytes]) -> dict[str, bytes]:
    kinds = [name for name, kind in KINDS.items() if type(result) is kind]
    if not kinds:
        raise StoreError(f"cannot store a {type(result).__name__}; expected one of: {', '.join(KINDS)}.")
    for name in files:
        if name in (MANIFEST, ARRAYS, "", ".", "..") or Path(name).name != name:
            raise StoreError(f"cannot store a file as {name!r}: expected a plain name, not {MANIFEST} or {ARRAYS}.")
    arrays: Arrays = {}
    try:
        tree = encode(result, type(result), arrays)
    except StoreError as error:
        raise StoreError(f"cannot store the {kinds[0]}: {error}.") from error
    beside = {ARRAYS: _npz(arrays), **files}
    # The manifest comes last: a folder that has it has everything.
    return {**beside, MANIFEST: seal(kinds[0], tree, beside)}


def _npz(arrays: Arrays) -> bytes:
    """What ``numpy.load`` reads, entry by entry: ``numpy.savez`` cannot take an array named ``file``."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            # A fixed date: the same result gives the same bytes.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
    return buffer.getvalue()


def _load_arrays(directory: Path, content: dict[str, Any]) -> Arrays:
    path = directory / ARRAYS
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read {str(path)!r}: {system_reason(error)}. Make the result again.") from error
    if sha256(data) != content["files"][ARRAYS]["sha256"]:
        raise StoreError(
            f"{str(path)!r} was cut off or changed after it was written (its checksum differs). Make the result again."
        )
    try:
        with np.load(BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, zipfile.BadZipFile) as error:
        raise StoreError(f"{str(path)!r} holds something other than plain arrays ({error}).") from error


def _check_replaceable(directory: Path) -> None:
    if not directory.exists():
        return
    if not directory.is_dir():
        raise StoreError(f"cannot write the result to {str(directory)!r}: it is a file. Choose another name.")
    if directory == Path.cwd():
        raise StoreError(
            f"cannot write the result to {str(directory)!r}: it is the current folder. "
            "Give the name of a new folder in it."
        )
    present = {entry.name for entry in directory.iterdir()}
    if not present:
        return
    if foreign := present - _own_files(directory):
        raise StoreError(
            f"cannot write the result to {str(directory)!r}: it holds files that are not convscope's "
            f"({', '.join(sorted(foreign)[:3])}{', ...' if len(foreign) > 3 else ''}). Choose another folder."
        )


def _own_files(directory: Path) -> set[str]:
    if not (directory / MANIFEST).exists():
        return set()
    try:
        return {MANIFEST, *unseal(directory)["files"]}
    except StoreError as error:
        raise StoreError(
            f"cannot replace what is in {str(directory)!r}: {error} Delete it, or choose another folder."
        ) from error
