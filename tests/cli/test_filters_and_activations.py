"""`convscope filters` and `convscope activations`: from the command to the picture, and bad input in one line."""

import json

import pytest
from PIL import Image


def test_filters_are_drawn_stored_and_listed(run, factory, tmp_path):
    out = tmp_path / "filters"
    done = run("filters", factory, "0", "--sort", "norm", "--size", "16", "--out", str(out), "--json")
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    assert (facts["view"], facts["shape"], facts["layer_kind"]) == ("color", [4, 3, 3, 3], "conv")
    keys = [entry["key"] for entry in facts["filters"]]
    assert keys == sorted(keys, reverse=True)
    with Image.open(out / "filters.png") as picture:
        assert min(picture.size) > 300
    shown = run("show", str(out), "--json")
    assert json.loads(shown.out)["filters"] == facts["filters"]


def test_activations_are_drawn_stored_and_listed(run, factory, tmp_path):
    out = tmp_path / "maps"
    done = run(
        "activations", "sample:cat", "--model", factory, "--size", "16", "-l", "4", "--grid", "2x3", "--sort",
        "contribution", "--overlay", "--shared-scale", "--out", str(out), "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    (layer,) = facts["layers"]
    assert (len(layer["channels"]), layer["map_size"], layer["stride"]) == (6, [8, 8], [2.0, 2.0])
    assert facts["targets"][0].startswith("class:")
    assert (out / "activations.png").exists()
    shown = run("show", str(out))
    assert "sample:cat" in shown.out


def test_a_row_of_layers_is_the_journey_and_several_pictures_move(run, factory, tmp_path):
    out = tmp_path / "maps"
    done = run(
        "activations", "sample:cat", "sample:coffee", "--model", factory, "--size", "16", "--animate", "gif",
        "--channels", "0-2", "--out", str(out),
    )  # fmt: skip
    assert done.code == 0, done.err
    with Image.open(out / "activations.gif") as moving:
        assert moving.n_frames == 2


def test_frames_of_an_animated_picture_are_taken(run, factory, tmp_path):
    first, *others = [Image.new("RGB", (20, 20), (index * 40, 0, 0)) for index in range(5)]
    first.save(tmp_path / "red.gif", save_all=True, append_images=others)
    out = tmp_path / "maps"
    done = run(
        "activations", str(tmp_path / "red.gif"), "--model", factory, "--size", "16", "-l", "0", "--frames", "3",
        "--out", str(out),
    )  # fmt: skip
    assert done.code == 0, done.err
    with Image.open(out / "activations.webp") as moving:
        assert moving.n_frames == 3


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (["filters", "1"], "layer '1' of small is a ReLU, which has no filters to draw."),
        (["filters", "0", "--only", "4"], "no filter 4 in '0': it has filters 0 to 3."),
        (["filters", "0", "--only", "x"], "expected numbers such as 1,5,9 or 0-7; got 'x'"),
        (["filters", "3", "--view", "color"], "does not read the picture"),
        (["filters", "3", "--view", "rgb"], "no view 'rgb' of filters."),
        (["activations", "sample:cat", "-l", "7"], "which has no positions to draw"),
        (["activations", "sample:cat", "-l", "0", "--channels", "9"], "no channel 9 in '0': it has channels 0 to 3."),
        (["activations", "sample:cat", "--grid", "8"], "expected ROWSxCOLUMNS such as 8x8; got '8'"),
        (["activations", "sample:cat", "--sort", "min"], "no order 'min' for channels."),
        (["activations", "sample:cat", "--animate", "mp4"], "expected webp or gif; got 'mp4'"),
        (["activations", "absent.mp4", "--frames", "3"], "cannot read 'absent.mp4': no such file"),
    ],
)
def test_bad_input_is_one_line_and_code_2(run, factory, tmp_path, command, text):
    done = run(*command, "--model", factory, "--size", "16", "--out", str(tmp_path / "out"))
    assert done.code == 2
    assert text in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
