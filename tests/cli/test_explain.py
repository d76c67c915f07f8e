"""`convscope explain`, `show` and `rerun`: from pictures to the page, and back."""

import io
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from convscope import page
from convscope.attribution import Gradient
from convscope.store import load, save


@pytest.fixture
def picture(tmp_path):
    """``picture("a.png", seed)``: a file with 40 × 30 random pixels."""

    def make(name, seed=0):
        values = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(values).save(tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture
def explain(run, factory):
    """``explain(*arguments)`` with the small network on 16 × 16 pixels and one quick method."""

    def call(*arguments, methods="grad_cam", network=factory):
        quick = ("--methods", methods, "--no-trust", "--format", "npz")
        return run("explain", *quick, "--model", network, "--size", "16", *arguments)

    return call


def size_of(file):
    with Image.open(file) as image:
        return image.size


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_embedded_network_recognizes_the_cat(run, tmp_path):
    answer = run("explain", "sample:cat", "--methods", "grad_cam, gradient", "--no-trust", "--out", "cat")
    assert answer.code == 0
    assert answer.err == ""
    lines = answer.out.splitlines()
    assert lines[0] == "sample:cat"
    assert any(line.split()[-3:] == ["tiger", "cat", "282"] for line in lines)
    assert lines[-1] == "cat/page.html"
    assert files(tmp_path / "work/cat") == ["arrays.npz", "manifest.json", "page.html", "page.png"]
    assert "data:image/png" in (tmp_path / "work/cat/page.html").read_text()
    assert size_of(tmp_path / "work/cat/page.png")[0] > 800


def test_several_pictures_a_folder_and_a_glob(explain, picture, tmp_path):
    folder = tmp_path / "album"
    folder.mkdir()
    for index, name in enumerate(("b.png", "a.jpg")):
        picture(f"album/{name}", index)
    picture("x1.png", 5)
    answer = explain(folder, tmp_path / "x?.png", "--json", "--top", "2")
    assert answer.code == 0
    facts = json.loads(answer.out)
    names = [entry["source"]["name"] for entry in facts["pictures"]]
    assert names == [str(folder / "a.jpg"), str(folder / "b.png"), str(tmp_path / "x1.png")]
    assert all(len(entry["answers"]) == 2 for entry in facts["pictures"])
    assert facts["files"][0] == "convscope-explain/arrays.npz"
    assert facts["methods"][0]["method"] == "grad_cam"
    assert len(facts["methods"][0]["scores"]) == 3


def test_one_bad_picture_does_not_stop_the_others(explain, picture, tmp_path):
    good = picture("good.png")
    (tmp_path / "words.jpg").write_text("not a picture at all")
    answer = explain(good, tmp_path / "words.jpg", tmp_path / "missing.png")
    assert answer.code == 2
    assert answer.out.startswith(str(good))
    complaints = sorted(answer.err.splitlines())
    assert len(complaints) == 2
    assert complaints[0].startswith(f"convscope: cannot read '{tmp_path}/missing.png': no such file or folder.")
    assert complaints[1].startswith(f"convscope: cannot read '{tmp_path}/words.jpg': not a picture")
    assert len(load(tmp_path / "work/convscope-explain").sources) == 1


def test_standard_input(explain, picture, monkeypatch):
    data = picture("in.png").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    answer = explain("-")
    assert answer.code == 0
    assert answer.out.splitlines()[0] == "-"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    empty = explain("-")
    assert (empty.code, empty.err) == (2, "convscope: cannot read '-': it is empty (0 bytes).\n")


def test_options_reach_the_methods(explain, picture, tmp_path):
    answer = explain(
        picture("a.png"), "--target", "class:2 - class:0", "--layer", "0", "--fit", "stretch", "--seed", "7", "--json",
        methods="grad_cam, smooth_grad(samples=3)",
    )  # fmt: skip
    facts = json.loads(answer.out)
    cam, smooth = facts["methods"]
    assert cam["layers"] == ["0"]
    assert cam["targets"] == ["class:2 - class:0"]
    assert smooth["method"] == "smooth_grad(samples=3)"
    assert facts["pictures"][0]["source"]["box"] == [0, 0, 40, 30]
    assert facts["provenance"]["seed"] == 7


def test_one_target_per_picture(explain, picture):
    a, b = picture("a.png", 1), picture("b.png", 2)
    facts = json.loads(explain(a, b, "-t", "class:1", "-t", "class:2", "--json").out)
    assert facts["methods"][0]["targets"] == ["class:1", "class:2"]
    answer = explain(a, b, "-t", "class:1", "-t", "class:2", "-t", "class:0")
    assert answer.code == 2
    assert "3 targets for 2 pictures" in answer.err


BAD = {
    "missing path": (["/no/such.png"], "cannot read '/no/such.png': no such file or folder."),
    "address of the web": (["https://x.org/cat.jpg"], "convscope downloads nothing"),
    "unknown sample": (["sample:kat"], "no sample 'kat'. Did you mean 'cat'?"),
    "empty folder": (["{tmp}/empty"], "the folder holds no pictures"),
    "no match": (["{tmp}/*.gif"], "no file matches"),
    "unknown layer": (["sample:cat", "--layer", "33"], "no layer '33' in small. Did you mean '3'"),
    "unknown method": (["sample:cat", "--methods", "grad_cma"], "no method 'grad_cma'. Did you mean 'grad_cam'"),
    "unknown parameter": (["sample:cat", "--methods", "smooth_grad(sample=3)"], "Did you mean 'samples'?"),
    "no method": (["sample:cat", "--methods", ""], "no method to explain with"),
    "bad target": (["sample:cat", "--target", "a:b"], "not an address: 'a:b'"),
    "no such class": (["sample:cat", "--target", "class:cat"], "has no class names, so 'class:cat' means nothing"),
    "fit": (["sample:cat", "--fit", "hole"], "expected crop, stretch, whole; got 'hole'. See"),
    "format": (["sample:cat", "--format", "html,svg"], "one or several joined by commas; got 'html,svg'"),
    "top": (["sample:cat", "--top", "0"], "Invalid value for '--top'"),
    "option": (["sample:cat", "--fitt", "crop"], "No such option: --fitt"),
    "out in a file": (["sample:cat", "--out", "{tmp}/networks.py/x"], "is a file. Choose a folder inside one"),
    "out is a file": (["sample:cat", "--out", "{tmp}/networks.py"], "it is a file. Choose another name."),
    "out is someone's folder": (["sample:cat", "--out", "{tmp}/theirs"], "not convscope's (diary.txt)"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_nothing_is_written(explain, tmp_path, case):
    arguments, words = BAD[case]
    (tmp_path / "empty").mkdir()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/diary.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    answer = explain(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert answer.code == 2
    assert answer.out == ""
    assert words in answer.err
    assert answer.err.startswith("convscope: ")
    assert answer.err.count("\n") == 1
    assert [path for path in sorted(tmp_path.rglob("*")) if "__pycache__" not in path.parts] == before


def test_show_and_draw_again(run, explain, picture, tmp_path):
    explain(picture("a.png"), "--out", "kept")
    shown = run("show", "kept")
    assert shown.code == 0
    assert "grad_cam" in shown.out
    assert "weights digest" in shown.out
    facts = json.loads(run("show", "kept/arrays.npz", "--json").out)
    assert facts["kind"] == "explanation"
    assert facts["methods"][0]["targets"][0].startswith("class:")
    drawn = run("show", "kept", "--page", "again.html", "--png", "again.png", "--json")
    assert json.loads(drawn.out)["files"] == ["again.html", "again.png"]
    assert "</html>" in (tmp_path / "work/again.html").read_text()
    assert min(size_of(tmp_path / "work/again.png")) > 100


def test_show_what_is_no_result(run, tmp_path):
    answer = run("show", tmp_path)
    assert answer.code == 2
    assert answer.err == f"convscope: '{tmp_path}' is not a convscope result: it holds no manifest.json.\n"
    assert run("show", "nowhere").err == "convscope: no result at 'nowhere': no such folder.\n"


def test_rerun_is_identical_bit_for_bit(run, explain, picture, tmp_path):
    explain(
        picture("a.png"), picture("b.png", 1), "--out", "kept", methods="grad_cam, smooth_grad(samples=4), gradient"
    )
    answer = run("rerun", "kept", "--out", "again")
    assert answer.code == 0
    assert answer.out.startswith("identical: 3 methods, 2 pictures, every number the same bit for bit")
    assert json.loads(run("rerun", "kept", "--json").out) == {"identical": True, "differences": [], "files": []}
    kept, again = load(tmp_path / "work/kept"), load(tmp_path / "work/again")
    assert all(bool((a.values == b.values).all()) for a, b in zip(kept.attributions, again.attributions, strict=True))
    assert again.sources == kept.sources


def test_rerun_says_what_differs_and_by_how_much(run, explain, picture, monkeypatch):
    explain(picture("a.png"), "--out", "kept")
    again = page.rerun

    def differently(result):
        made = again(result)
        changed = made.attributions[0].values + 0.25
        return replace(made, attributions=(replace(made.attributions[0], values=changed),))

    monkeypatch.setattr(page, "rerun", differently)
    answer = run("rerun", "kept", "--json")
    assert answer.code == 1
    facts = json.loads(answer.out)
    (found,) = facts["differences"]
    assert found["what"] == "grad_cam: map"
    assert found["largest"] == pytest.approx(0.25, abs=1e-6)
    assert "grad_cam: map" in run("rerun", "kept").out


def test_rerun_refuses_other_weights(run, explain, picture, tmp_path):
    explain(picture("a.png"), "--out", "kept")
    file = tmp_path / "networks.py"
    file.write_text(file.read_text().replace("manual_seed(0)", "manual_seed(1)"))
    answer = run("rerun", "kept")
    assert answer.code == 2
    assert "the weights of small have digest" in answer.err


def test_rerun_refuses_a_network_made_in_python(run, small_model, tmp_path, pictures):
    page.write(page.explain(small_model, pictures(1, 3, 16, 16), methods=["gradient"], trust=False), "kept", ["npz"])
    answer = run("rerun", "kept")
    assert answer.code == 2
    assert "was made in Python" in answer.err


def test_rerun_of_an_attribution(run, small_model, pictures):
    save(Gradient()(small_model, pictures(2, 3, 16, 16)), "one")
    shown = run("show", "one", "--png", "one.png")
    assert shown.out.startswith("gradient, at the input\n")
    assert shown.out.splitlines()[-1] == "one.png"
    assert run("show", "one", "--page", "one.html").err == "convscope: an attribution has no page. Use --png FILE.\n"
    assert "only what `convscope explain` made can be made again" in run("rerun", "one").err
