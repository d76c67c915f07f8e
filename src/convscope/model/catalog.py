"""Every network that can be loaded by name, and whether its weights are on this machine."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from convscope.errors import ModelError, near_misses
from convscope.model.embedded import NAME, weights_file
from convscope.model.timm_models import local_files, timm_names
from convscope.model.torchvision_models import other_torchvision_task, published, torchvision_names

Library = Literal["embedded", "torchvision", "timm"]


@dataclass(frozen=True)
class Entry:
    """One network of the catalog.

    Attributes:
        name: what ``convscope.load`` takes.
        library: where the architecture comes from.
        local: whether its default weights are on this machine, so that no network connection is needed.
    """

    name: str
    library: Library
    local: bool


def networks(pattern: str = "*", *, library: Library | None = None) -> tuple[Entry, ...]:
    """List the networks that can be loaded by name: the embedded one first, then torchvision's, then timm's.

    A timm architecture whose name torchvision has as well is spelled ``timm:NAME``.

    Args:
        pattern: a glob on the name without its prefix, such as ``"resnet*"``.
        library: only those of one library.
    """
    entries: list[Entry] = []
    if library in {None, "embedded"} and fnmatchcase(NAME, pattern):
        entries.append(Entry(NAME, "embedded", local=weights_file().is_file()))
    if library in {None, "torchvision"}:
        entries += [
            Entry(name, "torchvision", local=published(name)["DEFAULT"].file.is_file())
            for name in torchvision_names()
            if fnmatchcase(name, pattern)
        ]
    if library in {None, "timm"}:
        taken = {NAME, *torchvision_names()}
        entries += [
            Entry(f"timm:{name}" if name in taken else name, "timm", local=_timm_local(name))
            for name in timm_names()
            if fnmatchcase(name, pattern)
        ]
    return tuple(entries)


def library_of(name: str) -> Literal["torchvision", "timm"]:
    """Find which library has a network of this name, torchvision first.

    Raises:
        ModelError: neither; the message names near misses from both.
    """
    if name in torchvision_names():
        return "torchvision"
    if name.partition(".")[0] in timm_names():
        return "timm"
    if task := other_torchvision_task(name):
        raise ModelError(
            f"torchvision's {name} does {task}, not classification. "
            "Wrap it in a factory whose forward returns (n, classes) scores."
        )
    known = [NAME, *torchvision_names(), *timm_names()]
    raise ModelError(
        f"no network {name!r} in torchvision or timm.{near_misses(name, known)} "
        "`convscope models` lists them; your own are given as file.py:factory or package.module:factory."
    )


def check_name(name: str, library: str) -> None:
    """Check that ``library`` (``"torchvision"`` or ``"timm"``) has a network of this name.

    Raises:
        ModelError: it has not; the message names near misses.
    """
    if library == "torchvision":
        known = torchvision_names()
        if name not in known and (task := other_torchvision_task(name)):
            raise ModelError(f"torchvision's {name} does {task}, not classification.")
    else:
        known = timm_names()
    if name not in known and (library == "torchvision" or name.partition(".")[0] not in known):
        raise ModelError(f"no network {name!r} in {library}.{near_misses(name, known)} `convscope models` lists them.")


def _timm_local(name: str) -> bool:
    return any(path.is_file() for path in local_files(name).values())
