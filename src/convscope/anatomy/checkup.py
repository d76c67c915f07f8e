"""What about a network would spoil pictures of it: findings, each in one sentence."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from convscope.anatomy.idle import idle_layers
from convscope.anatomy.input_statistics import Mismatch, compare_input
from convscope.errors import ModelError
from convscope.model import OUTPUT, Model
from convscope.probe import Graph, layout, record

Level = Literal["warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing a reader should know before trusting a picture of the network.

    Attributes:
        code: short and stable, such as ``"train-mode"``.
        level: ``"warning"`` where pictures may mislead or calls may fail, ``"note"`` where all is well.
        text: one sentence.
    """

    code: str
    level: Level
    text: str


def check_up(model: Model, traced: Graph | None, untraceable: str) -> tuple[Finding, ...]:
    """Look for everything known to spoil pictures, warnings first. The network is left as it is.

    Args:
        model: the network.
        traced: its graph, or None.
        untraceable: why there is none; empty where there is one.
    """
    checks: tuple[Iterable[Finding], ...] = (
        _modes(model),
        _head(model),
        _answers(model),
        _dropout(traced),
        _input(model, traced),
        _norms(model),
        _weights(model),
        _idle(model),
    )
    found = [finding for check in checks for finding in check]
    if untraceable:
        found.append(
            Finding(
                "not-traceable",
                "warning",
                f"{untraceable} FLOPs and receptive fields are unknown, maps are placed evenly, and activations that "
                "are functions are not listed.",
            )
        )
    return tuple(sorted(found, key=lambda finding: finding.level != "warning"))


def _modes(model: Model) -> Iterator[Finding]:
    training = [name or OUTPUT for name, part in model.module.named_modules() if part.training]
    if training:
        yield Finding(
            "train-mode",
            "warning",
            f"{_count(training, 'module')} in train mode ({_few(training)}); convscope examines the network in eval "
            "mode and puts the mode back. Call .eval() if that is what you want to look at.",
        )
    noisy = [
        name
        for name, part in model.module.named_modules()
        if isinstance(part, nn.modules.dropout._DropoutNd) and part.training and part.p > 0  # noqa: SLF001 - the base of all dropouts
    ]
    if noisy:
        yield Finding(
            "dropout-active",
            "warning",
            f"dropout is active in {_few(noisy)}; convscope switches it off while it looks.",
        )


def _head(model: Model) -> Iterator[Finding]:
    head = layout(model).head
    if head != "logits":
        yield Finding(
            "final-" + head.replace("_", "-"),
            "note",
            f"the network ends in {head}; it is bypassed: targets read the scores before it, whose gradients "
            "do not vanish.",
        )


def _answers(model: Model) -> Iterator[Finding]:
    """Two equal pictures and another one: are the answers numbers, repeatable, and about the picture?"""
    height, width = model.spec.preprocessing.size
    noise = torch.rand(1, model.channels, height, width, generator=torch.Generator().manual_seed(0))
    gray = torch.full_like(noise, 0.5)
    try:
        first, second, other = record(model, torch.cat([gray, gray, noise]), [OUTPUT])[OUTPUT].float()
    except (ModelError, ValueError) as error:
        yield Finding("one-at-a-time", "warning", f"the network runs on one picture but not on three at once: {error}")
        return
    if not all(bool(torch.isfinite(row).all()) for row in (first, second, other)):
        yield Finding(
            "answer-not-finite", "warning", "the network answers with NaN or infinity, even to a gray picture."
        )
        return
    scale = max(float(first.abs().max()), 1e-12)
    if float((first - second).abs().max()) > 1e-3 * scale:
        yield Finding(
            "not-repeatable",
            "warning",
            "two equal pictures of one batch get different answers: something draws random "
            "numbers, or images of a batch mix.",
        )
    elif torch.equal(first, other):
        yield Finding(
            "constant-answer", "warning", "the answer does not depend on the picture: gray and noise give the same."
        )
    if layout(model).head == "logits" and _looks_like_probabilities(torch.stack([first, other])):
        yield Finding(
            "hidden-softmax",
            "warning",
            "the answers add up to 1, so there is a softmax that could not be bypassed; gradients of probabilities "
            "vanish where the network is sure. Return the logits instead.",
        )
    yield from _outputs(model, first)


def _outputs(model: Model, answer: Tensor) -> Iterator[Finding]:
    classes, outputs = len(model.spec.classes), len(answer)
    if classes and classes != outputs:
        yield Finding("class-names", "warning", f"{classes} class names for {outputs} outputs.")
    if answer.ndim > 1:
        positions = "×".join(map(str, answer.shape[1:]))
        yield Finding(
            "positions-in-answer",
            "note",
            f"each class has {positions} positions; class:NAME is their mean, class:NAME@ROW,COLUMN one of them.",
        )


def _looks_like_probabilities(answers: Tensor) -> bool:
    sums = answers.flatten(2).mean(dim=2).sum(dim=1) if answers.ndim > 2 else answers.sum(dim=1)
    return answers.shape[1] > 1 and bool((answers >= 0).all()) and bool((sums - 1).abs().max() < 1e-3)


def _dropout(traced: Graph | None) -> Iterator[Finding]:
    steps = [] if traced is None else [s for s in traced.steps if s.op.endswith("dropout") and _drops(s.args)]
    if steps:
        where = [step.scope[-1][0] if step.scope else OUTPUT for step in steps]
        yield Finding(
            "dropout-always",
            "warning",
            f"{_count(steps, 'dropout call')} active even in eval mode ({_few(where)}): F.dropout without "
            "training=self.training. Every run gives another answer.",
        )


def _drops(args: tuple[object, ...]) -> bool:
    return len(args) > 2 and args[1] != 0.0 and args[2] is True


def _input(model: Model, traced: Graph | None) -> Iterator[Finding]:
    preprocessing, recipe = model.spec.preprocessing, getattr(model.module, "pretrained_cfg", None) or {}
    for name in ("mean", "std"):
        recorded, used = recipe.get(name), getattr(preprocessing, name)
        # A network for another number of channels is not the one that the recipe was written for.
        if (
            recorded
            and len(recorded) == len(used)
            and any(abs(a - b) > 0.02 for a, b in zip(recorded, used, strict=True))
        ):
            yield Finding(
                f"input-{name}",
                "warning",
                f"{name} is {_numbers(used)}, but the module's pretrained_cfg says {_numbers(recorded)}.",
            )
    if traced is None:
        return
    own = _own_normalization(traced)
    if own:
        plain = set(preprocessing.mean) == {0.0} and set(preprocessing.std) == {1.0}
        yield Finding(
            "own-normalization",
            "note" if plain or recipe or model.spec.origin.startswith("torchvision:") else "warning",
            f"the network itself rescales its input before the first convolution ({', '.join(own)})"
            + ("." if plain else f", after mean {_numbers(preprocessing.mean)} and std {_numbers(preprocessing.std)}."),
        )
    mismatch = compare_input(model, traced)
    if mismatch is not None:
        yield Finding("input-range", "warning", _mismatch_text(model, mismatch))


def _own_normalization(traced: Graph) -> tuple[str, ...]:
    """Arithmetic on the way from the input to the first convolution, linear layer or attention."""
    followed, found = {traced.input}, dict[str, None]()
    for step in traced.steps:
        if followed.isdisjoint(step.inputs):
            continue
        if step.op.startswith(("conv", "linear", "matmul")):
            break
        followed.add(step.name)
        if step.op in {"sub", "div", "mul", "add", "batch_norm", "instance_norm", "layer_norm", "rsub"}:
            found[step.op] = None
    return tuple(found)


def _mismatch_text(model: Model, mismatch: Mismatch) -> str:
    used = model.spec.preprocessing
    return (
        f"on photographs {mismatch.layer} spreads {mismatch.spread:.2g} times as wide as in training, and is "
        f"{mismatch.shift:.2g} standard deviations off: mean {_numbers(used.mean)} and std {_numbers(used.std)} look "
        "wrong (or it was not trained on photographs)."
    )


def _norms(model: Model) -> Iterator[Finding]:
    kind = nn.modules.batchnorm._BatchNorm  # noqa: SLF001 - the base of all batch norms
    norms = {name: part for name, part in model.module.named_modules() if isinstance(part, kind)}
    mixing = [name for name, part in norms.items() if part.running_var is None]
    if mixing:
        yield Finding(
            "batch-statistics",
            "warning",
            f"batch norm without running statistics in {_few(mixing)}: the images of a batch "
            "influence each other. Look at one at a time.",
        )
    means = {name: part.running_mean for name, part in norms.items() if part.running_mean is not None}
    variances = {name: part.running_var for name, part in norms.items() if part.running_var is not None}
    fresh = [name for name in means if _all_equal(means[name], 0.0) and _all_equal(variances[name], 1.0)]
    if fresh:
        yield Finding(
            "untrained-norm",
            "warning",
            f"{len(fresh)} of {len(means)} batch norms have mean 0 and variance 1, as before any training "
            f"({_few(fresh)}).",
        )
    zeroed = [name for name, variance in variances.items() if _all_equal(variance, 0.0)]
    if zeroed:
        yield Finding(
            "zero-variance", "warning", f"running variance 0 in all channels of {_few(zeroed)}: a broken checkpoint?"
        )
    dead = {name: int((variance == 0).count_nonzero()) for name, variance in variances.items() if name not in zeroed}
    if total := sum(dead.values()):
        places = [name for name, count in dead.items() if count]
        yield Finding(
            "dead-channels",
            "note",
            f"{total} channels never changed in training (running variance 0, in {_few(places)}): "
            "nothing excites these units.",
        )


def _all_equal(values: Tensor, expected: float) -> bool:
    return bool((values == expected).all())


def _weights(model: Model) -> Iterator[Finding]:
    tensors = [*model.module.named_parameters(), *model.module.named_buffers()]
    broken = [name for name, value in tensors if value.is_floating_point() and not bool(torch.isfinite(value).all())]
    if broken:
        yield Finding("not-finite", "warning", f"NaN or infinity in {_few(broken)}.")
    zero = [
        name
        for name, part in model.module.named_modules()
        if isinstance(part, nn.Linear | nn.modules.conv._ConvNd) and not bool(part.weight.any())  # noqa: SLF001 - the base of all convolutions
    ]
    if zero:
        yield Finding("zero-weights", "warning", f"all weights are zero in {_few(zero)}.")
    parameters = list(model.module.parameters())
    frozen = [parameter for parameter in parameters if not parameter.requires_grad]
    if frozen and len(frozen) < len(parameters):
        yield Finding(
            "partly-frozen",
            "note",
            f"{len(frozen)} of {len(parameters)} parameter tensors are frozen; that changes no picture.",
        )


def _idle(model: Model) -> Iterator[Finding]:
    idle = idle_layers(model)
    if idle:
        yield Finding("idle", "note", f"{_few(idle)} never {'runs' if len(idle) == 1 else 'run'} in a forward pass.")


def _few(items: Iterable[str], count: int = 3) -> str:
    names = list(dict.fromkeys(items))
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")


def _count(items: Sequence[object], noun: str) -> str:
    return f"{len(items)} {noun} is" if len(items) == 1 else f"{len(items)} {noun}s are"


def _numbers(values: Iterable[float]) -> str:
    texts = [f"{value:g}" for value in values]
    return texts[0] if len(set(texts)) == 1 else ", ".join(texts)
