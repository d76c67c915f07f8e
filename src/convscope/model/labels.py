"""Names of ImageNet's classes, from the packages that are installed anyway."""

import csv
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from convscope.errors import ModelError

Synonyms = tuple[tuple[str, ...], ...]


@cache
def imagenet_classes() -> tuple[str, ...]:
    """The 1000 class names of ImageNet-1k in torchvision's spelling."""
    from torchvision.models import ResNet18_Weights  # noqa: PLC0415 - a second to import, not needed by all

    return tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


@cache
def imagenet_synonyms() -> Synonyms:
    """For each ImageNet-1k class its WordNet lemmas one by one and as the usual comma-separated line.

    ``("tabby", "tabby cat", "tabby, tabby cat")``. Read from timm's data files without importing timm.
    """
    spec = find_spec("timm")
    if spec is None or not spec.submodule_search_locations:
        raise ModelError("timm is not installed; it belongs to convscope: pip install timm")
    folder = Path(next(iter(spec.submodule_search_locations))) / "data" / "_info"
    synsets = (folder / "imagenet_synsets.txt").read_text("utf-8").split()
    with (folder / "imagenet_synset_to_lemma.txt").open(encoding="utf-8", newline="") as file:
        lemmas = dict(csv.reader(file, delimiter="\t"))
    return tuple(names_in(lemmas[synset]) for synset in synsets)


def names_in(lemmas: str) -> tuple[str, ...]:
    """Split WordNet's ``"tabby, tabby cat"`` into its names, with the whole line as the last one."""
    return tuple(dict.fromkeys([*lemmas.split(", "), lemmas]))
