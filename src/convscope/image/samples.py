"""Photographs that are always at hand: those inside the scikit-image wheel, named ``sample:cat``."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from convscope.errors import ImageError, near_misses

PREFIX = "sample:"


@dataclass(frozen=True)
class Sample:
    """One bundled photograph.

    Attributes:
        file: its name in scikit-image's data folder.
        about: what it shows, in one line.
        license: under which it may be shown, and whom to credit.
    """

    file: str
    about: str
    license: str


SAMPLES = {
    "cat": Sample("chelsea.png", "a tabby cat, close up", "CC0, Stefan van der Walt"),
    "coffee": Sample("coffee.png", "a cup of espresso on a wooden table", "CC0, Rachel Michetti"),
    "astronaut": Sample("astronaut.png", "Eileen Collins before a shuttle model", "public domain, NASA"),
    "rocket": Sample("rocket.jpg", "a Falcon 9 lifting off at dusk", "public domain, SpaceX"),
    "motorcycle": Sample(
        "motorcycle_left.png",
        "a motorcycle in a garage",
        "no license stated, Scharstein et al. 2014 (Middlebury Stereo)",
    ),
    "camera": Sample("camera.png", "a man behind a camera on a tripod (gray)", "CC0, Lav Varshney"),
    "coins": Sample("coins.png", "ancient coins from Pompeii (gray)", "no known restrictions, Brooklyn Museum"),
}
"""Every sample by its name after ``sample:``."""


def sample_path(name: str) -> Path:
    """Return the file of a sample, ``"cat"`` or ``"sample:cat"``.

    Raises:
        ImageError: if there is no such sample, or scikit-image no longer ships its file.
    """
    short = name.removeprefix(PREFIX)
    if short not in SAMPLES:
        raise ImageError(
            f"no sample {short!r}.{near_misses(short, SAMPLES)} "
            f"Samples: {', '.join(PREFIX + known for known in SAMPLES)}."
        )
    # The package is looked up, not imported: skimage.data may go to the network, a path cannot.
    spec = find_spec("skimage")
    folder = Path(spec.origin).parent / "data" if spec and spec.origin else Path("skimage/data")
    path = folder / SAMPLES[short].file
    if not path.is_file():
        raise ImageError(
            f"sample {short!r} should be at {path}, but is not there. "
            "Reinstall it with: pip install --force-reinstall scikit-image"
        )
    return path
