"""`convscope field` and `convscope health`: from the address and the folder to the picture."""

import json

import numpy as np
import pytest
from PIL import Image

from convscope.results import Field, Health
from convscope.store import load


@pytest.fixture
def photos(tmp_path):
    """Five pictures in two folders."""
    folder = tmp_path / "photos"
    for index in range(5):
        place = folder / ("dark" if index % 2 else "bright")
        place.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(index).integers(0, 120 if index % 2 else 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{index}.png")
    return folder


def picture_width(path):
    with Image.open(path) as picture:
        return picture.width


def test_field_prints_and_draws(run, factory, photos):
    done = run("field", factory, "3:2@4,5", "--size", 16, "--image", photos / "dark/1.png", "--column")
    assert (done.code, done.err) == (0, "")
    rows = [line.split() for line in done.out.splitlines()]
    assert ["3", "4,5", "of", "8×8", "8", "2", "0.5,", "0.5", "5–12", "7–14", "25", "%"] in rows
    assert [row[0] for row in rows if len(row) > 5 and row[0] != "layer"][-3:] == ["0", "2", "3"]
    stored = load("convscope-field")
    assert isinstance(stored, Field)
    assert stored.boxes[-1].box == (5, 7, 13, 15)
    assert picture_width("convscope-field/field.png") > 500


def test_field_as_json(run, factory, photos):
    said = json.loads(
        run("field", factory, "3:2", "--size", 16, "--effective", "--on", photos, "--json", "-o", "out").out
    )
    assert said["address"] == "3:2@4,4"
    assert said["boxes"][0]["size"] == [8, 8]
    assert said["effective"]["inputs"] == "5 pictures"
    assert 0 < said["effective"]["energy_fraction"] <= 1
    assert said["files"][0] == "out/field.png"
    head = json.loads(run("field", "class:1", "-m", factory, "--size", 16, "--json").out)
    assert head["boxes"][0]["size"] == [None, None]
    assert head["boxes"][0]["notes"]


def test_a_field_is_shown_again(run, factory):
    made = run("field", factory, "3@1,1", "--size", 16, "--effective", "--samples", 4)
    shown = run("show", "convscope-field")
    assert shown.code == 0
    for line in made.out.splitlines()[:-2]:
        assert line in shown.out
    assert json.loads(run("show", "convscope-field", "--json").out)["effective"]["samples"] == 4


def test_health_prints_and_draws(run, factory, photos):
    done = run("health", factory, photos, "--size", 16, "--labels", "folder", "--ablate", 2, "--ablate-on", 3)
    assert (done.code, done.err) == (0, "")
    assert "12 units in 2 layers of small, examined on 5 pictures:" in done.out
    stored = load("convscope-health")
    assert isinstance(stored, Health)
    assert stored.classes == ("bright", "dark")
    assert stored.layers[0].activity.selectivity is not None
    assert stored.layers[1].ablation.pictures == 3
    assert picture_width("convscope-health/health.png") > 500
    assert "12 units in 2 layers of small, examined on 5 pictures:" in run("show", "convscope-health").out


def test_health_as_json(run, factory, photos, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("file,what\n0.png,x\n1.png,y\n2.png,x\n")
    said = json.loads(
        run("health", "-m", factory, photos, "--size", 16, "--labels", f"{table}:what", "--layers", "3", "--json").out
    )
    assert said["pictures"] == 5
    assert said["classes"] == ["x", "y"]
    (layer,) = said["layers"]
    assert layer["units"] == len(layer["norms"]) == len(layer["activity"]["mean"]) == 8
    assert layer["ablation"] is None


def test_health_by_the_weights(run, factory):
    done = run("health", factory, "--size", 16)
    assert done.code == 0
    assert "examined by their weights:" in done.out
    assert "no pictures were given: only the weights were examined" in done.out
    assert "dead" not in done.out


def test_one_bad_picture_does_not_stop_the_others(run, factory, photos):
    (photos / "bad.png").write_text("no picture")
    done = run("health", factory, photos, "gone.png", "--size", 16)
    assert done.code == 2
    assert "examined on 5 pictures" in done.out
    assert len(done.err.splitlines()) == 2
    assert "bad.png" in done.err
    assert "gone.png" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("field", "FACTORY", "3:9"), "3 of small has channels 0 to 7, got 9."),
        (("field", "FACTORY", "3@8,0"), "3 has 8×8 positions for a 16×16 picture, got 8,0."),
        (("field", "FACTORY", "4.conv"), "no layer '4.conv' in small."),
        (("field", "FACTORY", "3", "--on", "sample:cat"), "the pictures to measure on need --effective."),
        (("field", "FACTORY", "3", "--image", "gone.png"), "cannot read 'gone.png': no such file or folder."),
        (("field", "FACTORY", "3", "4"), "expected [MODEL] ADDRESS; got"),
        (("health", "FACTORY", "--layers", "9"), "no layer of small with weights matches '9'."),
        (("health", "FACTORY", "--ablate", "2"), "ablation shows what answers lose, so it needs pictures."),
        (("health", "FACTORY", "--labels", "folder"), "labels are those of pictures; give some."),
        (("health", "FACTORY", "sample:cat", "--labels", "species"), "expected folder or FILE.csv[:COLUMN]; got"),
        (("health", "FACTORY", "gone.png"), "cannot read 'gone.png': no such file or folder."),
        (("health", "gone.png"), "cannot read 'gone.png': no such file or folder."),
        (("health", "gone/"), "cannot read 'gone/': no such file or folder."),
        (("health", "gone"), "no network 'gone' in torchvision or timm."),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(run, factory, arguments, words):
    given = [factory if argument == "FACTORY" else argument for argument in arguments]
    done = run(*given, *(("--size", "16") if "FACTORY" in arguments else ()))
    assert done.code == 2
    assert done.out == ""
    assert len(done.err.splitlines()) == 1
    assert words in done.err


def test_a_picture_too_small_for_the_network(run, factory):
    done = run("field", factory, "3", "--size", 1)
    assert done.code == 2
    assert "does not run on a 3×1×1 picture" in done.err
