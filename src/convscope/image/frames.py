"""The frames of a video or of an animated picture, a few of them spread evenly over its length."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image as PILImage
from PIL import ImageSequence, UnidentifiedImageError

from convscope.errors import ImageError, MissingExtraError, system_reason
from convscope.image.find import missing
from convscope.image.picture import Picture, from_pil

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".mpg", ".mpeg", ".ogv")
"""What is read as a video. Anything else with several frames is read as an animated picture."""


def read_frames(name: str, *, channels: int = 3, most: int = 32) -> tuple[Picture, ...]:
    """Read at most ``most`` frames, evenly spaced from the first to the last.

    Args:
        name: path of a video (needs the ``video`` extra) or of an animated GIF, WebP or PNG.
        channels: that the network takes, 1 or 3.
        most: how many frames to keep, at least 1.

    Raises:
        ImageError: no such file, no frames, damaged, or of a kind that cannot be read.
        MissingExtraError: a video, and PyAV is not installed.
    """
    if most < 1:
        raise ImageError(f"cannot take {most} frames of {name!r}: expected at least 1.")
    path = Path(name).expanduser()
    if not path.is_file():
        raise missing(name)
    video = path.suffix.lower() in VIDEO_SUFFIXES
    kept = _spread(_video(path, name) if video else _animated(path, name), most)
    if not kept:
        raise ImageError(f"cannot read {name!r}: it has no frames. Give a video or an animated picture.")
    return tuple(from_pil(frame, channels=channels, name=f"{name}, frame {index}") for index, frame in kept)


def _spread(frames: Iterable[PILImage.Image], most: int) -> list[tuple[int, PILImage.Image]]:
    """Keep evenly spaced frames of a stream of unknown length, never more than twice as many as wanted."""
    kept: list[tuple[int, PILImage.Image]] = []
    step = 1
    for index, frame in enumerate(frames):
        if index % step:
            continue
        kept.append((index, frame.copy()))
        if len(kept) > 2 * most:
            kept, step = kept[::2], 2 * step
    if len(kept) <= most:
        return kept
    places = [round(place * (len(kept) - 1) / max(1, most - 1)) for place in range(most)]
    return [kept[place] for place in places]


def _animated(path: Path, name: str) -> Iterator[PILImage.Image]:
    try:
        with PILImage.open(path) as image:
            yield from (frame.convert("RGB") for frame in ImageSequence.Iterator(image))
    except UnidentifiedImageError as error:
        raise ImageError(
            f"cannot read {name!r}: not an animated picture, and not a video by its name "
            f"(*{', *'.join(VIDEO_SUFFIXES)})."
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        detail = system_reason(error) if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
        raise ImageError(f"cannot read {name!r}: the picture is damaged or cut off ({detail}).") from error


def _video(path: Path, name: str) -> Iterator[PILImage.Image]:
    try:
        import av  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError("reading a video", "PyAV", "video") from error
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ImageError(f"cannot read {name!r}: it holds no pictures, only {len(container.streams)} streams.")
            for frame in container.decode(video=0):
                yield frame.to_image()  # type: ignore[no-untyped-call]
    except (av.FFmpegError, OSError) as error:
        detail = " ".join(str(error).split())
        raise ImageError(f"cannot read {name!r}: not a video, damaged or cut off ({detail}).") from error
