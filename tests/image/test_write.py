import os
import stat
from pathlib import Path

import pytest
import torch

from convscope.errors import ImageError, StoreError
from convscope.image import read, write_bytes, write_png


def test_bytes_arrive_and_folders_are_made(tmp_path):
    path = write_bytes(tmp_path / "a" / "b.html", b"one")
    assert path.read_bytes() == b"one"
    write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in path.parent.iterdir()] == ["b.html"]
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


@pytest.mark.parametrize("channels", [1, 3])
def test_png_holds_the_nearest_of_256_levels(tmp_path, channels):
    image = torch.rand(channels, 5, 7) * 1.2 - 0.1
    path = write_png(tmp_path / "x.png", image)
    back = torch.as_tensor(list(read(str(path), channels=channels).pixels.tobytes())).view(5, 7, channels) / 255
    assert torch.allclose(back.permute(2, 0, 1), image.clamp(0, 1), atol=0.5 / 255 + 1e-6)


def test_png_of_two_channels_is_an_error(tmp_path):
    with pytest.raises(ImageError, match=r"^a PNG has 1 or 3 channels, got 2\. Choose the channels to show\.$"):
        write_png(tmp_path / "x.png", torch.zeros(2, 4, 4))


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(28, "No space left on device")])
@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, stop, moment):
    path = tmp_path / "page.html"
    path.write_bytes(b"old")

    def interrupt(*_):
        raise stop

    monkeypatch.setattr(*((os, "fsync") if moment == "fsync" else (Path, "replace")), interrupt)
    with pytest.raises((KeyboardInterrupt, StoreError)) as error:
        write_bytes(path, b"new")
    if isinstance(error.value, StoreError):
        assert str(error.value).startswith(f"cannot write {str(path)!r}: no space left on device. Give a path")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["page.html"]


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(StoreError, match=r"file/x\.png': (not a directory|file exists)\. Give a path that you may"):
        write_bytes(tmp_path / "file" / "x.png", b"")
    with pytest.raises(StoreError, match=r"': it is a folder\. Give the path of a file\.$"):
        write_bytes(tmp_path, b"")
    with pytest.raises(StoreError, match=r"^cannot write '/dev/null': it is not a regular file\."):
        write_bytes("/dev/null", b"")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_folder_without_permission(tmp_path):
    was = os.geteuid()
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    if was == 0:  # root writes anywhere: become nobody, who may not even enter the folder
        os.seteuid(65534)
    try:
        with pytest.raises(StoreError, match=r"x\.png': permission denied\. Give a path that you may write to\.$"):
            write_bytes(locked / "x.png", b"")
    finally:
        os.seteuid(was)


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real.png").write_bytes(b"old")
    (tmp_path / "link.png").symlink_to("real.png")
    write_bytes(tmp_path / "link.png", b"new")
    assert (tmp_path / "link.png").is_symlink()
    assert (tmp_path / "real.png").read_bytes() == b"new"
