"""What activation maps say, as text and as JSON."""

from typing import TYPE_CHECKING, Any

from convscope.cli.console import columns, plain, print_table
from convscope.cli.words import pair

if TYPE_CHECKING:
    from rich.console import Console

    from convscope.results import ActivationMaps

_MOST = 6


def activation_facts(maps: "ActivationMaps") -> dict[str, Any]:
    """Everything that activation maps say that is not a map; an infinite field is null."""
    layers = []
    for layer in maps.layers:
        facts = {
            name: plain(getattr(layer, name))
            for name in ("layer", "channels", "count", "stride", "start", "field", "exact", "kind")
        }
        numbers = {
            name: None if value is None else plain(value.tolist())
            for name, value in (("means", layer.means), ("peaks", layer.peaks), ("contributions", layer.contributions))
        }
        layers.append({**facts, "map_size": list(layer.values.shape[2:]), **numbers})
    return {
        "kind": "activation_maps",
        "pictures": plain(maps.sources),
        "sort": maps.sort,
        "targets": plain(maps.targets),
        "scores": None if maps.scores is None else plain(maps.scores.tolist()),
        "layers": layers,
        "failures": [{"name": name, "reason": reason} for name, reason in maps.failures],
        "provenance": plain(maps.provenance),
    }


def print_activations(console: "Console", maps: "ActivationMaps") -> None:
    """Print each layer with its strongest channels."""
    from convscope.plot import number, target_words  # noqa: PLC0415

    names = ", ".join(source.name for source in maps.sources[:3])
    console.print(names + (f" and {len(maps.sources) - 3} more" if len(maps.sources) > 3 else ""), style="bold", end="")
    console.print(f" · {maps.provenance.model}", soft_wrap=True)
    for target in dict.fromkeys(maps.targets):
        words = target_words(target, {int(index): name for index, name in maps.classes.items()})
        console.print(f"contributions to {words}", style="dim")
    what = {"mean": "mean", "contribution": "contribution"}.get(maps.sort, "peak")
    table = columns("layer", "map", "stride", "field", f"channels ({what})", right=("map", "stride", "field"))
    for layer in maps.layers:
        keys = {"mean": layer.means, "contribution": layer.contributions}.get(maps.sort)
        numbers = (layer.peaks if keys is None else keys).mean(dim=0).tolist()
        shown = ", ".join(f"{c} ({number(v)})" for c, v in list(zip(layer.channels, numbers, strict=True))[:_MOST])
        more = f" … {len(layer.channels)} of {layer.count}" if len(layer.channels) > _MOST else f" of {layer.count}"
        field = pair(*layer.field) if any(layer.field) else "unknown"
        table.add_row(layer.layer, pair(*map(float, layer.values.shape[2:])), pair(*layer.stride), field, shown + more)
    print_table(console, table)
