"""From what the user calls a picture to what the network takes."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from convscope.errors import ConvscopeError, ImageError
from convscope.image import find, read, read_frames, to_input
from convscope.model.model import Model
from convscope.model.spec import Fit
from convscope.results import Source
from convscope.shapes import Images

Pictures = str | Path | Tensor | Sequence[str | Path]
"""Files, folders, globs, ``-``, ``sample:cat``, one or many; or a float tensor (n, c, h, w) in [0, 1]."""

Failures = tuple[tuple[str, str], ...]
"""``(name, reason)`` of the inputs that could not be used."""

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is finished, and how much there is."""


def gather(
    model: Model, images: Pictures, *, fit: Fit = "crop", progress: Progress | None = None
) -> tuple[Images, tuple[Source, ...], Failures]:
    """Read pictures and make them inputs of a network, in the order given; one bad file does not stop the others.

    Args:
        model: whose recipe is followed: size, interpolation, crop, channels.
        images: see ``Pictures``.
        fit: how pictures become inputs.
        progress: told how far it has come.

    Returns:
        Images (n, c, h, w) float32 in [0, 1] on the CPU, where each came from, and what could not be used.

    Raises:
        ImageError: none of them could be used, or they end up at different sizes.
    """
    if isinstance(images, Tensor):
        return images.detach().float().cpu(), tuple(Source(f"tensor {index}") for index in range(len(images))), ()
    patterns = [str(images)] if isinstance(images, str | Path) else [str(item) for item in images]
    names, missed = find(patterns)
    failures = list(missed)
    tensors: list[Tensor] = []
    sources: list[Source] = []
    how = model.spec.preprocessing
    tell = progress or (lambda *_: None)
    for index, name in enumerate(names):
        tell("reading", index, len(names))
        try:
            picture = read(name, channels=model.channels)
            tensor, source = to_input(picture, how.size, interpolation=how.interpolation, crop=how.crop, fit=fit)
        except ConvscopeError as error:
            failures.append((name, str(error)))
            continue
        tensors.append(tensor)
        sources.append(source)
    if not tensors:
        reasons = "\n".join(reason for _, reason in failures)  # one line for each
        raise ImageError(reasons or "no picture given. Give a file, a folder, or sample:cat.")
    if len({tensor.shape for tensor in tensors}) > 1:
        sizes = sorted({f"{t.shape[1]}×{t.shape[2]}" for t in tensors})
        raise ImageError(
            f"fit='whole' leaves the pictures at different sizes ({', '.join(sizes)}). "
            "Give them one at a time, or use fit='stretch'."
        )
    return torch.stack(tensors), tuple(sources), tuple(failures)


def gather_frames(model: Model, name: str, *, most: int = 32, fit: Fit = "crop") -> tuple[Images, tuple[Source, ...]]:
    """Read frames of a video or an animated picture, evenly spaced, and make them inputs of a network.

    Returns:
        Images (n, c, h, w) float32 in [0, 1] on the CPU, and where each came from.

    Raises:
        ImageError: it cannot be read, or has no frames.
        MissingExtraError: a video, and PyAV is not installed.
    """
    how = model.spec.preprocessing
    frames = read_frames(name, channels=model.channels, most=most)
    made = [to_input(f, how.size, interpolation=how.interpolation, crop=how.crop, fit=fit) for f in frames]
    return torch.stack([image for image, _ in made]), tuple(source for _, source in made)


def pictures(model: Model, images: Pictures, *, fit: Fit = "crop") -> Images:
    """Read pictures as inputs of a network: (n, c, h, w) float32 in [0, 1], before normalization.

    Args:
        model: whose recipe is followed.
        images: see ``Pictures``.
        fit: how pictures become inputs.

    Raises:
        ImageError: any of them cannot be used.
    """
    tensors, _, failures = gather(model, images, fit=fit)
    if failures:
        raise ImageError(failures[0][1])
    return tensors
