"""The page: what the network answered, which pixels made it answer so, and how far to believe it."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from convscope.attribution import AttributionMethod, method, spell
from convscope.audit import trust as measure_trust
from convscope.errors import ImageError, MethodError, ModelError, TargetError
from convscope.model import OUTPUT, Fit, Model, Pictures, Progress, cast, gather, load, made
from convscope.probe import Target, TargetLike, layout, record
from convscope.report import html, png
from convscope.results import Answer, Attribution, Explanation, Trust
from convscope.shapes import Images
from convscope.store import save

DEFAULT_METHODS = ("grad_cam", "guided_backprop", "integrated_gradients", "smooth_grad")
"""One of each school: where, which lines, how much, and which pixels."""

FORMATS = ("html", "png", "npz")

TOGETHER = 8
"""Pictures that go through a method together; bounds the memory of a folder of thousands."""


def explain(
    model: Model | str | None,
    images: Pictures,
    *,
    target: TargetLike = "class:top",
    methods: Sequence[str | AttributionMethod] = DEFAULT_METHODS,
    layer: str | None = None,
    seed: int = 0,
    dtype: torch.dtype | None = None,
    fit: Fit = "crop",
    trust: bool = True,
    top: int = 5,
    progress: Progress | None = None,
) -> Explanation:
    """Explain pictures: top answers, one map per method, and numbers that say how far to trust each.

    Args:
        model: from ``load``, or what ``load`` takes; None is the embedded EfficientNet-Lite0.
        images: files, folders, globs, ``-``, ``sample:cat``, one or many; or a float tensor (n, c, h, w) in [0, 1].
        target: one for all pictures or one per picture; see ``convscope.probe.target``.
        methods: names or spellings from ``METHODS``, or methods.
        layer: for the methods that look at a layer and do not name their own.
        seed: of every random draw.
        dtype: precision in which the network runs; its error is stated in each result.
        fit: how pictures become inputs; see ``convscope.model.Fit``.
        trust: whether to run every method a second time on a randomized network.
        top: number of answers to list.
        progress: told how far it has come.

    Returns:
        The page. Pictures that could not be read are in its ``failures``.

    Raises:
        ImageError: none of the pictures could be used.
        ConvscopeError: the model, target, layer or a method is wrong.
    """
    model = model if isinstance(model, Model) else load(model)
    chosen = [_with_layer(item if isinstance(item, AttributionMethod) else method(item), layer) for item in methods]
    if not chosen:
        raise MethodError("no method to explain with. Give at least one; `convscope methods` lists them.")
    tell = progress or (lambda *_: None)
    runner = model if dtype is None else cast(model, dtype)
    pictures, sources, failures = gather(model, images, fit=fit, progress=tell)
    started = time.perf_counter()
    answers = _answers(model, pictures, top)
    targets = [target] * len(pictures) if not isinstance(target, Sequence) or isinstance(target, str) else list(target)
    columns: list[Attribution] = []
    cards: list[tuple[Trust, ...]] = []
    for number, item in enumerate(chosen):
        tell(f"{item.name}", number, len(chosen))
        result, card = _column(model, item, pictures, targets, seed=seed, dtype=dtype, randomize=trust)
        columns.append(result)
        cards.append(card)
    tell("done", len(chosen), len(chosen))
    options = {
        "methods": [spell(item) for item in chosen],
        "trust": trust,
        "top": top,
        "dtype": None if dtype is None else str(dtype).removeprefix("torch."),
        "origin_options": dict(model.spec.origin_options),
        "notes": list(model.notes),
    }
    return Explanation(
        images=pictures,
        sources=sources,
        answers=answers,
        attributions=tuple(columns),
        trust=tuple(cards),
        failures=failures,
        provenance=made(runner, "explain", started=started, targets=columns[0].targets, seed=seed, options=options),
    )


def write(explanation: Explanation, out: str | Path, formats: Iterable[str] = FORMATS) -> list[Path]:
    """Save a page as a folder, whole or not at all: ``page.html``, ``page.png``, and always the arrays and manifest.

    Args:
        explanation: the page.
        out: the folder.
        formats: of ``"html"``, ``"png"`` and ``"npz"`` (the arrays, without which nothing can be shown again).

    Returns:
        The files, the page first.

    Raises:
        StoreError: the folder cannot be written, or holds something else.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise MethodError(f"no format {unknown[0]!r}. Choose of {', '.join(FORMATS)}.")
    views: dict[str, bytes] = {}
    if "html" in formats:
        views["page.html"] = html(explanation).encode()
    if "png" in formats:
        views["page.png"] = png(explanation)
    folder = save(explanation, out, files=views)
    return [*(folder / name for name in views), folder / "arrays.npz", folder / "manifest.json"]


def rerun(result: Explanation, model: Model | None = None, *, target: TargetLike | None = None) -> Explanation:
    """Make a page again from its own pictures and provenance; bit for bit the same on the same machine.

    Args:
        result: such as ``convscope.store.load`` returns.
        model: needed only for a network that was made in Python.
        target: needed only for targets that were made in Python, such as directions.

    Raises:
        ModelError: the network cannot be found again, or its weights are not those of the result.
        TargetError: a target was made in Python and is not given.
    """
    then = result.provenance
    if model is None:
        if not then.origin:
            raise ModelError(
                f"{then.model!r} was made in Python, so its name leads nowhere. Give it: rerun(result, model)."
            )
        model = load(then.origin, device=then.device, **then.options.get("origin_options", {}))
    if target is None and any("direction(" in name for name in then.targets):
        raise TargetError(f"{then.targets[0]!r} was made in Python. Give it: rerun(result, model, target=...).")
    precision = then.options.get("dtype")
    dtype = None if precision is None else getattr(torch, precision)
    runner = model if dtype is None else cast(model, dtype)
    if runner.digest != then.weights_digest:
        raise ModelError(
            f"the weights of {model.name} have digest {runner.digest}, the result was made with {then.weights_digest}. "
            "Load the weights it was made with, or explain the pictures anew."
        )
    threads = torch.get_num_threads()
    torch.set_num_threads(then.threads)  # the last bits of a sum depend on how it is split
    try:
        again = explain(
            model,
            result.images,
            target=list(then.targets) if target is None else target,
            methods=then.options["methods"],
            seed=then.seed,
            dtype=dtype,
            trust=then.options["trust"],
            top=then.options["top"],
        )
    finally:
        torch.set_num_threads(threads)
    return replace(again, sources=result.sources, failures=result.failures)


def _with_layer(item: AttributionMethod, layer: str | None) -> AttributionMethod:
    """Give a layer to a method, or to the method it wraps, where it has none of its own."""
    changes: dict[str, Any] = {}
    for parameter in fields(item):  # type: ignore[arg-type]
        value = getattr(item, parameter.name)
        if parameter.name == "layer" and value is None and layer is not None:
            changes["layer"] = layer
        elif isinstance(value, AttributionMethod):
            changes[parameter.name] = _with_layer(value, layer)
    return replace(item, **changes)  # type: ignore[type-var]


def _answers(model: Model, images: Images, top: int) -> tuple[tuple[Answer, ...], ...]:
    logits = torch.cat([record(model, part, [OUTPUT])[OUTPUT].float().cpu() for part in torch.split(images, TOGETHER)])
    logits = logits.flatten(2).mean(dim=2) if logits.ndim > 2 else logits
    single = logits.shape[1] == 1 or layout(model).head == "sigmoid"
    probabilities = logits.sigmoid() if single else logits.softmax(dim=1)
    order = logits.argsort(dim=1, descending=True, stable=True)[:, :top]
    names = model.spec.classes
    return tuple(
        tuple(
            Answer(int(i), names[i] if names else f"class {i}", float(probabilities[row, i]), float(logits[row, i]))
            for i in indices
        )
        for row, indices in enumerate(order)
    )


def _column(
    model: Model,
    item: AttributionMethod,
    images: Images,
    targets: Sequence[Any],
    *,
    seed: int,
    dtype: torch.dtype | None,
    randomize: bool,
) -> tuple[Attribution, tuple[Trust, ...]]:
    if len(targets) != len(images):
        raise ImageError(f"{len(targets)} targets for {len(images)} pictures. Give one target, or one per picture.")
    parts: list[Attribution] = []
    cards: list[Trust] = []
    runner = model if dtype is None else cast(model, dtype)
    for first in range(0, len(images), TOGETHER):
        rows = slice(first, first + TOGETHER)
        part = item(model, images[rows], targets[rows], seed=seed, dtype=dtype)
        # "class:top" is settled now; a target made in Python is more than its name.
        settled = [
            asked if isinstance(asked, Target) else name
            for asked, name in zip(targets[rows], part.targets, strict=True)
        ]
        parts.append(part)
        cards.extend(measure_trust(item, runner, part, targets=settled, randomize=randomize))
    return _joined(parts), tuple(cards)


def _joined(parts: Sequence[Attribution]) -> Attribution:
    """Make one result of the results for consecutive pictures."""
    first = parts[0]
    if len(parts) == 1:
        return first
    facts = {
        key: tuple(item for part in parts for item in part.facts[key]) if isinstance(value, tuple) else value
        for key, value in first.facts.items()
    }
    targets = tuple(name for part in parts for name in part.targets)
    return replace(
        first,
        images=torch.cat([part.images for part in parts]),
        values=torch.cat([part.values for part in parts]),
        scores=torch.cat([part.scores for part in parts]),
        targets=targets,
        cells=None if first.cells is None else torch.cat([part.cells for part in parts if part.cells is not None]),
        facts=facts,
        provenance=replace(first.provenance, targets=targets, seconds=sum(part.provenance.seconds for part in parts)),
    )
