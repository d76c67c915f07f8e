"""What a result says, as text and as JSON: shared by the commands that make, show and repeat results."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from convscope.cli.activation_facts import activation_facts, print_activations
from convscope.cli.console import columns, plain, print_table, stdout
from convscope.cli.field_facts import effective_field_facts, field_facts, print_effective_field, print_field
from convscope.cli.filter_facts import filter_facts, print_filters
from convscope.cli.health_facts import health_facts, print_health

if TYPE_CHECKING:
    from rich.console import Console

    from convscope.results import Attribution, Explanation, Result


def facts(result: "Result") -> dict[str, Any]:
    """Everything a result says that is not an array."""
    say, _ = _KINDS[type(result).__name__]
    said: dict[str, Any] = say(result)
    return said


def print_facts(result: "Result", *, all_of_it: bool = False) -> None:
    """Print a result for people.

    Args:
        result: of any kind that can be stored.
        all_of_it: with provenance, as for a result that was not made just now.
    """
    _, show = _KINDS[type(result).__name__]
    show(stdout(), result)
    if all_of_it:
        _print_provenance(stdout(), result)


def _explanation_facts(explanation: "Explanation") -> dict[str, Any]:
    pictures = [
        {"source": plain(source), "answers": plain(answers)}
        for source, answers in zip(explanation.sources, explanation.answers, strict=True)
    ]
    methods = [
        {**_attribution_facts(attribution), "seconds": attribution.provenance.seconds, "trust": plain(trust)}
        for attribution, trust in zip(explanation.attributions, explanation.trust, strict=True)
    ]
    return {
        "kind": "explanation",
        "pictures": pictures,
        "methods": methods,
        "failures": [{"name": name, "reason": reason} for name, reason in plain(explanation.failures)],
        "provenance": plain(explanation.provenance),
    }


def _lone_attribution_facts(attribution: "Attribution") -> dict[str, Any]:
    return {"kind": "attribution", **_attribution_facts(attribution), "provenance": plain(attribution.provenance)}


def _attribution_facts(attribution: "Attribution") -> dict[str, Any]:
    maps = attribution.maps
    return {
        "method": attribution.method,
        "layers": plain(attribution.layers),
        "targets": plain(attribution.targets),
        "scores": plain(attribution.scores.tolist()),
        "reduction": attribution.reduction,
        "signed": attribution.signed,
        "low": plain(maps.flatten(1).amin(dim=1).tolist()),
        "high": plain(maps.flatten(1).amax(dim=1).tolist()),
        "facts": plain(attribution.facts),
    }


def _print_explanation(console: "Console", explanation: "Explanation") -> None:
    for index in range(len(explanation.images)):
        _print_picture(console, explanation, index)


def _print_picture(console: "Console", explanation: "Explanation", index: int) -> None:
    from convscope.plot import class_names, layer_words, number, percent, seen_words, target_words, verdicts  # noqa: PLC0415

    source, names = explanation.sources[index], class_names(explanation.answers[index])
    if index:
        console.print()
    console.print(source.name, style="bold", soft_wrap=True)
    for line in filter(None, (f"the network sees {seen}" if (seen := seen_words(source)) else "", *source.notes)):
        console.print(f"  {line}", style="dim")
    answers = columns("", "answer", "class", right=("", "class"))
    for answer in explanation.answers[index]:
        answers.add_row(percent(answer.probability), answer.name, str(answer.index))
    answers.show_header = False
    print_table(console, answers, indent=2)
    maps = columns("method", "looks at", "target", "score", "how far to trust it", right=("score",))
    for attribution, trust in zip(explanation.attributions, explanation.trust, strict=True):
        maps.add_row(
            attribution.method,
            layer_words(attribution.layers).removeprefix("at "),
            target_words(attribution.targets[index], names),
            number(float(attribution.scores[index]), 4),
            "\n".join((*(f"{v.mark} {v.words} ({v.value})" for v in verdicts(trust[index])), *trust[index].notes)),
        )
    console.print()
    print_table(console, maps, indent=2)


def _print_attribution(console: "Console", attribution: "Attribution") -> None:
    from convscope.plot import layer_words, number  # noqa: PLC0415

    console.print(f"{attribution.method}, {layer_words(attribution.layers)}", style="bold")
    table = columns("picture", "target", "score", "map from", "to", right=("picture", "score", "map from", "to"))
    for index, (target, score, values) in enumerate(
        zip(attribution.targets, attribution.scores, attribution.maps, strict=True)
    ):
        table.add_row(
            str(index), target, number(float(score), 4), number(float(values.min())), number(float(values.max()))
        )
    print_table(console, table)
    for name, value in plain(attribution.facts).items():
        console.print(f"{name.replace('_', ' ')}: {value}", style="dim")


def _print_provenance(console: "Console", result: Any) -> None:  # noqa: ANN401 - every result has a provenance
    made = result.provenance
    table = columns("", "")
    table.show_header = False
    table.columns[0].style = "dim"
    rows = {
        "network": f"{made.model} ({made.origin or 'a module made in Python'}), weights digest {made.weights_digest}",
        "made": f"{made.created}, in {made.seconds:.1f} s, seed {made.seed}",
        "on": f"{made.device}, {made.dtype}, {made.threads} threads, "
        + ", ".join(f"{name} {version}" for name, version in made.versions.items()),
    }
    for name, text in rows.items():
        table.add_row(name, text)
    for _, reason in getattr(result, "failures", ()):
        table.add_row("left out", reason)
    console.print()
    print_table(console, table)


_KINDS: Mapping[str, tuple[Callable[[Any], dict[str, Any]], Callable[["Console", Any], None]]] = {
    "ActivationMaps": (activation_facts, print_activations),
    "Attribution": (_lone_attribution_facts, _print_attribution),
    "EffectiveField": (effective_field_facts, print_effective_field),
    "Explanation": (_explanation_facts, _print_explanation),
    "Field": (field_facts, print_field),
    "Filters": (filter_facts, print_filters),
    "Health": (health_facts, print_health),
}
"""For each kind of result, by the name of its class: its facts for JSON, and how it is printed."""
