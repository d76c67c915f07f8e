"""What travels with a network's weights: how its input is made and what its answers mean."""

from dataclasses import dataclass, field

from convscope.image import Fit, Interpolation


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes an input, with an exact inverse.

    Attributes:
        size: (height, width) of the input, in pixels.
        mean: per channel, in units of [0, 1] pixels.
        std: per channel, in units of [0, 1] pixels.
        interpolation: for resizing.
        crop: the part of the resized short side that the center crop keeps, in (0, 1].
    """

    size: tuple[int, int] = (224, 224)
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    interpolation: Interpolation = "bilinear"
    crop: float = 0.875

    @property
    def channels(self) -> int:
        """Number of input channels."""
        return len(self.mean)


@dataclass(frozen=True)
class ModelSpec:
    """Name, origin, preprocessing and class names of a network.

    Attributes:
        name: short, for titles and file names.
        origin: the string that ``convscope.load`` turns into this network again; empty for a module made in Python.
        weights: what the weights are and where they came from, for people.
        preprocessing: how its input is made.
        classes: one name per class, or empty where unknown.
        synonyms: further names of a class, ``synonyms[index]``, for ``class:NAME``; empty or as long as ``classes``.
        origin_options: the keyword arguments to ``load`` that go with ``origin``.
    """

    name: str
    origin: str
    weights: str
    preprocessing: Preprocessing
    classes: tuple[str, ...] = ()
    synonyms: tuple[tuple[str, ...], ...] = field(default=(), repr=False)
    origin_options: tuple[tuple[str, str], ...] = ()


__all__ = ["Fit", "Interpolation", "ModelSpec", "Preprocessing"]
