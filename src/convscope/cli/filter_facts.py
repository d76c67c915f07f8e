"""What the filters of a layer say, as text and as JSON."""

from typing import TYPE_CHECKING, Any

from convscope.cli.console import columns, plain, print_table
from convscope.cli.words import plural
from convscope.cli.words import size as spell_size

if TYPE_CHECKING:
    from rich.console import Console

    from convscope.results import Filters

_MOST = 12


def filter_facts(filters: "Filters") -> dict[str, Any]:
    """Everything that filters say that is not an array."""
    kept = ("layer", "kind", "view", "unit", "shape", "groups", "sort", "mixer", "notes", "provenance")
    norms = filters.values.flatten(1).norm(dim=1)
    peaks = filters.values.flatten(1).abs().amax(dim=1)
    keys = [None] * len(filters.shown) if filters.keys is None else filters.keys.tolist()
    rows = zip(filters.shown, norms.tolist(), peaks.tolist(), keys, strict=True)
    each = [{"filter": index, "norm": norm, "peak": peak, "key": key} for index, norm, peak, key in rows]
    return {"kind": "filters", **{f"{n}": plain(getattr(filters, n)) for n in kept if n != "kind"},
            "layer_kind": filters.kind, "filters": plain(each)}  # fmt: skip


def print_filters(console: "Console", filters: "Filters") -> None:
    """Print what the filters are, and the first of them."""
    from convscope.plot import number  # noqa: PLC0415

    count, *shape = filters.shape
    grouped = f" in {filters.groups} groups" if filters.groups > 1 else ""
    console.print(filters.layer, style="bold", end="")
    console.print(
        f" · {filters.provenance.model} · {filters.kind}, {plural(count, 'filter')}"
        f" of {spell_size(tuple(shape))}{grouped}"
        f"{f' · mixed by {filters.mixer}' if filters.mixer else ''}",
        soft_wrap=True,
    )
    facts = filter_facts(filters)["filters"]
    sorted_by = filters.sort if filters.sort not in {"index", "norm"} else ""
    table = columns(
        "filter", "norm", "largest", *([sorted_by] if sorted_by else []), right=("filter", "norm", "largest")
    )
    for fact in facts[:_MOST]:
        key = "none" if fact["key"] is None else number(fact["key"], 3)
        table.add_row(
            str(fact["filter"]), number(fact["norm"], 3), number(fact["peak"], 3), *([key] if sorted_by else [])
        )
    print_table(console, table)
    if len(facts) > _MOST:
        console.print(f"and {len(facts) - _MOST} more; --json lists them all", style="dim")
    for note in (f"values: {filters.unit}", *filters.notes):
        console.print(note, style="dim")
