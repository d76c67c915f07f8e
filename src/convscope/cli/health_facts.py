"""What an examination of units says, as text and as JSON."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from convscope.cli.console import columns, plain, print_table
from convscope.cli.words import plural

if TYPE_CHECKING:
    from rich.console import Console

    from convscope.results import Ablation, Health, LayerHealth, UnitActivity


_Say = Callable[["LayerHealth"], str]


def health_facts(health: "Health") -> dict[str, Any]:
    """Everything an examination says; unlike pictures, numbers per unit are part of it."""
    head = ("pictures", "classes", "alike", "notes", "provenance")
    return {
        "kind": "health",
        **{name: plain(getattr(health, name)) for name in head},
        "failures": [{"name": name, "reason": reason} for name, reason in plain(health.failures)],
        "layers": [_layer_facts(layer) for layer in health.layers],
    }


def _layer_facts(layer: "LayerHealth") -> dict[str, Any]:
    facts = _fields(layer, without=("activity", "ablation"))
    return {
        **facts,
        "sparsity": layer.sparsity,
        "activity": None if layer.activity is None else _fields(layer.activity),
        "ablation": None if layer.ablation is None else _fields(layer.ablation),
    }


def _fields(item: "LayerHealth | UnitActivity | Ablation", *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Fields by name, with tensors as lists."""
    return {
        name: plain(value.tolist() if hasattr(value, "tolist") else value)
        for name, value in vars(item).items()
        if name not in without
    }


def print_health(console: "Console", health: "Health") -> None:
    """Print a row per layer with what is odd in it, then the sums."""
    asked = [heading for heading, _ in _COLUMNS if any(_cell(layer, heading) for layer in health.layers)]
    table = columns("layer", "units", "behind", *asked, right=("units", *asked))
    table.columns[0].no_wrap = True
    for layer in health.layers:
        cells = [_cell(layer, heading) for heading in asked]
        table.add_row(layer.layer, str(layer.units), layer.measured.removeprefix("after "), *cells)
    print_table(console, table)
    console.print()
    for line in summary(health):
        console.print(line, soft_wrap=False)
    for note in health.notes:
        console.print(note, style="dim")


def summary(health: "Health") -> list[str]:
    """Say in a few lines what was found on what."""
    units = sum(layer.units for layer in health.layers)
    on = f"on {plural(health.pictures, 'picture')}" if health.pictures else "by their weights"
    lines = [f"{units:,} units in {len(health.layers)} layers of {health.provenance.model}, examined {on}:"]
    activities = [layer.activity for layer in health.layers if layer.activity is not None]
    outliers = sum(len(layer.norm_outliers) for layer in health.layers)
    pairs = sum(layer.weight_twin_pairs for layer in health.layers)
    weights = f"{pairs:,} pairs with like weights (cosine ≥ {health.alike:g}), {outliers:,} outlying norms (|z| > 3.5)"
    if activities:
        dead, always, saturated = (
            sum(len(getattr(activity, name)) for activity in activities) for name in ("dead", "always_on", "saturated")
        )
        lines.append(f"{dead:,} dead, {always:,} always on, {saturated:,} saturated,")
        lines.append(
            f"{sum(a.twin_pairs for a in activities):,} pairs that act alike (correlation ≥ {health.alike:g}),"
        )
    return [*lines, weights]


def _cell(layer: "LayerHealth", heading: str) -> str:
    return dict(_COLUMNS)[heading](layer)


def _count(name: str) -> _Say:
    return lambda layer: "" if layer.activity is None else str(len(getattr(layer.activity, name)) or "·")


def _rectified(name: str) -> _Say:
    return lambda layer: "" if layer.activity is None or not layer.rectified else _count(name)(layer)


def _saturated(layer: "LayerHealth") -> str:
    return "" if layer.activity is None or layer.activity.at_end is None else _count("saturated")(layer)


def _acting_alike(layer: "LayerHealth") -> str:
    return "" if layer.activity is None else str(layer.activity.twin_pairs or "·")


def _sparsity(layer: "LayerHealth") -> str:
    return "" if layer.sparsity is None else f"{100 * layer.sparsity:.0f} %"


def _selectivity(layer: "LayerHealth") -> str:
    known = None if layer.activity is None else layer.activity.selectivity
    return "" if known is None else f"{float(known.median()):.2f}"


def _change(layer: "LayerHealth") -> str:
    return "" if layer.ablation is None else f"{float(layer.ablation.change.mean()):.3f}"


def _flips(layer: "LayerHealth") -> str:
    return "" if layer.ablation is None else f"{100 * float(layer.ablation.flips.mean()):.1f} %"


_COLUMNS: tuple[tuple[str, _Say], ...] = (
    ("dead", _count("dead")),
    ("always\non", _rectified("always_on")),
    ("saturated", _saturated),
    ("act\nalike", _acting_alike),
    ("like\nweights", lambda layer: str(layer.weight_twin_pairs or "·")),
    ("odd\nnorms", lambda layer: str(len(layer.norm_outliers) or "·")),
    ("off", _sparsity),
    ("selec-\ntivity", _selectivity),
    ("logit\nchange", _change),
    ("flips", _flips),
)
"""What is said of each layer: units by number, pairs of twins, shares; selectivity is the median over units."""
