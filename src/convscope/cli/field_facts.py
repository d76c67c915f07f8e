"""What a receptive field says, as text and as JSON."""

import math
from typing import TYPE_CHECKING, Any

from convscope.cli.console import columns, plain, print_table
from convscope.cli.words import pair

if TYPE_CHECKING:
    from rich.console import Console

    from convscope.results import EffectiveField, Field, FieldBox


def field_facts(field: "Field") -> dict[str, Any]:
    """Everything a field says that is not an array; an infinite size is null."""
    return {
        "kind": "field",
        "address": field.address,
        "image_size": list(field.image_size),
        "boxes": plain(field.boxes),
        "effective": None if field.effective is None else effective_field_facts(field.effective),
        "provenance": plain(field.provenance),
    }


def effective_field_facts(field: "EffectiveField") -> dict[str, Any]:
    """Everything an effective field says that is not an array."""
    kept = ("address", "box", "inputs", "samples", "silent", "energy_area", "energy_fraction", "two_sigma_area")
    facts = {name: plain(getattr(field, name)) for name in (*kept, "side_ratio", "gaussian")}
    return {"kind": "effective_field", **facts, "provenance": plain(field.provenance)}


def print_field(console: "Console", field: "Field") -> None:
    """Print the fields of all layers, then the effective one."""
    height, width = field.image_size
    console.print(field.address, style="bold", end="")
    console.print(f" · {field.provenance.model}, input {height}×{width}\n", soft_wrap=True)
    table = columns("layer", "at", "size", "stride", "start", "rows", "columns", "picture", right=("size", "picture"))
    for box in field.boxes:
        table.add_row(*_cells(box, height * width))
    print_table(console, table)
    if field.effective is not None:
        console.print()
        print_effective_field(console, field.effective)


def print_effective_field(console: "Console", field: "EffectiveField") -> None:
    """Print what of a field counts."""
    from convscope.plot import number, percent  # noqa: PLC0415

    table = columns("", "")
    table.show_header = False
    table.columns[0].style = "dim"
    table.add_row(
        "95 % of the gradient energy", f"in {percent(field.energy_fraction)} of the field's {field.box.area:,} pixels"
    )
    table.add_row("two-sigma side (Luo et al. 2016)", f"{percent(field.side_ratio)} of the field's")
    if field.gaussian is None:
        table.add_row("Gaussian", "no fit")
    else:
        fit = field.gaussian
        center = ", ".join(number(at, 4) for at in fit.center)
        table.add_row(
            "Gaussian",
            f"σ {' × '.join(number(s, 3) for s in fit.sigma)} pixels around {center}, R² {fit.r_squared:.2f}",
        )
    table.add_row("measured on", field.inputs + (f", silent on {field.silent}" if field.silent else ""))
    print_table(console, table)


def _cells(box: "FieldBox", pixels: int) -> tuple[str, ...]:
    from convscope.plot import percent  # noqa: PLC0415

    top, left, bottom, right = box.box
    rows, cols = (f"{a}–{b - 1}" if b > a else "none" for a, b in ((top, bottom), (left, right)))
    notes = "; ".join(box.notes)
    whole = math.isinf(box.size[0]) and bool(notes)
    return (
        box.layer,
        f"{box.position[0]},{box.position[1]} of {box.map_size[0]}×{box.map_size[1]}",
        ("" if box.exact else "≤ ") + pair(*box.size) + (f" ({notes})" if whole else ""),
        pair(*box.stride) if any(box.stride) else "",
        f"{box.start[0]:g}, {box.start[1]:g}" if any(box.stride) else "",
        rows,
        cols,
        percent(box.area / pixels),
    )
