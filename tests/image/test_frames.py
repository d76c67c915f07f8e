"""Frames of videos and animated pictures made on the spot."""

import builtins

import av
import numpy as np
import pytest
from PIL import Image

from convscope.errors import ImageError, MissingExtraError
from convscope.image import read_frames


def levels(frames):
    return [round(float(np.asarray(frame.pixels).mean())) for frame in frames]


def gray(level):
    return Image.new("RGB", (32, 24), (level, level, level))


@pytest.fixture
def gif(tmp_path):
    path = tmp_path / "steps.gif"
    first, *others = [gray(10 * index) for index in range(20)]
    first.save(path, save_all=True, append_images=others, duration=40)
    return str(path)


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "steps.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        for index in range(20):
            container.mux(stream.encode(av.VideoFrame.from_image(gray(10 * index))))
        container.mux(stream.encode())
    return str(path)


def test_all_frames_of_a_short_picture_are_taken_in_order(gif):
    assert levels(read_frames(gif, most=40)) == [10 * index for index in range(20)]


@pytest.mark.parametrize("most", [1, 2, 3, 5, 7, 19])
def test_a_few_frames_are_spread_evenly_from_the_first(gif, most):
    found = [level // 10 for level in levels(read_frames(gif, most=most))]
    assert len(found) == most
    assert found[0] == 0
    gaps = np.diff(found)
    assert most == 1 or (gaps.min() > 0 and gaps.max() <= gaps.min() + 2 and found[-1] >= 16)


def test_a_video_is_read(clip):
    frames = read_frames(clip, most=40)
    assert len(frames) == 20
    assert frames[3].source.name == f"{clip}, frame 3"
    np.testing.assert_allclose(levels(frames), [10 * index for index in range(20)], atol=4)


def test_gray_networks_get_gray_frames(gif):
    assert read_frames(gif, channels=1, most=2)[1].channels == 1


def test_without_pyav_the_line_that_installs_it_is_given(clip, monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "av":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"pip install 'convscope\[video\]'"):
        read_frames(clip)


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("broken.mp4", b"no video at all", "not a video, damaged or cut off"),
        ("text.gif", b"hello", "not an animated picture, and not a video by its name"),
        ("absent.mp4", None, "no such file"),
    ],
)
def test_bad_input_is_one_line(tmp_path, name, content, text):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=text) as caught:
        read_frames(str(path))
    assert "\n" not in str(caught.value)


def test_no_frames_cannot_be_asked_for(gif):
    with pytest.raises(ImageError, match="cannot take 0 frames"):
        read_frames(gif, most=0)
