"""Nothing half-written, nothing of anyone else's replaced, nothing damaged taken for a result."""

import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from convscope.errors import StoreError
from convscope.results import Result
from convscope.store import load, manifest, save


@pytest.fixture
def stored(tmp_path, attribution):
    return save(attribution, tmp_path / "run", files={"page.html": b"old page"})


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def reseal(folder, **changes):
    """Change the manifest and make its checksum fit, as another version of convscope would have written it."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text()) | changes
    content.pop("sha256")
    path.write_text(json.dumps({**content, "sha256": manifest._digest(content)}))


def test_an_older_result_is_replaced_whole(stored, attribution):
    save(attribution, stored)
    assert names(stored) == ["arrays.npz", "manifest.json"]
    assert names(stored.parent) == ["run"]


def test_an_empty_folder_is_filled_and_parents_are_made(tmp_path, attribution):
    (tmp_path / "empty").mkdir()
    save(attribution, tmp_path / "empty")
    save(attribution, tmp_path / "a" / "b" / "c")
    assert names(tmp_path / "empty") == names(tmp_path / "a" / "b" / "c") == ["arrays.npz", "manifest.json"]
    assert names(tmp_path) == ["a", "empty"]


def test_a_link_to_a_result_stays_a_link(stored, attribution):
    link = stored.parent / "latest"
    link.symlink_to("run")
    save(attribution, link, files={"new.txt": b""})
    assert link.is_symlink()
    assert "new.txt" in names(stored)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(28, "No space left on device")])
@pytest.mark.parametrize("call", range(4))
@pytest.mark.parametrize("exists", [True, False])
def test_wherever_it_is_interrupted_the_old_result_is_whole_and_nothing_else_is_left(
    stored, attribution, monkeypatch, stop, call, exists
):
    if not exists:
        shutil.rmtree(stored)
    # The system calls that writing makes, in order: three files are synced, then folders renamed.
    calls = iter(range(100))
    real_fsync, real_rename = os.fsync, Path.rename

    def sync(descriptor):
        return fail() if next(calls) == call else real_fsync(descriptor)

    def rename(path, target):
        # Interrupted at the new folder's move, once the old one has been put aside.
        return fail() if path.suffix == ".part" and call == 3 else real_rename(path, target)

    def fail():
        raise stop

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises((KeyboardInterrupt, StoreError)):
        save(attribution, stored, files={"page.html": b"new page"})
    monkeypatch.undo()
    assert names(stored.parent) == (["run"] if exists else [])
    if exists:
        load(stored)
        assert (stored / "page.html").read_bytes() == b"old page"


@pytest.mark.parametrize(
    ("make", "pattern"),
    [
        (lambda run: run.write_text("mine"), r"run': it is a file\. Choose another name\.$"),
        (
            lambda run: (run.mkdir(), (run / "thesis.tex").write_text("mine")),
            r"run': it holds files that are not convscope's \(thesis\.tex\)\. Choose another folder\.$",
        ),
        (
            lambda run: (run.mkdir(), (run / "manifest.json").write_text("{}")),
            r"its manifest\.json is of another program\. Delete it, or choose another folder\.$",
        ),
    ],
)
def test_what_is_not_ours_is_never_replaced(tmp_path, attribution, make, pattern):
    run = tmp_path / "run"
    make(run)
    before = run.read_bytes() if run.is_file() else {entry: entry.read_bytes() for entry in run.iterdir()}
    with pytest.raises(StoreError, match=pattern):
        save(attribution, run)
    assert before == (run.read_bytes() if run.is_file() else {entry: entry.read_bytes() for entry in run.iterdir()})


def test_a_file_of_the_users_among_ours_is_never_lost(stored, attribution):
    (stored / "remarks.md").write_text("mine")
    with pytest.raises(StoreError, match=r"files that are not convscope's \(remarks\.md\)"):
        save(attribution, stored)
    assert (stored / "remarks.md").read_text() == "mine"


def test_the_current_folder_is_not_pulled_from_under_the_user(tmp_path, attribution, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=r"it is the current folder\. Give the name of a new folder in it\.$"):
        save(attribution, ".")


def test_places_that_cannot_be_written(tmp_path, attribution):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/run': (not a directory|file exists)\. Choose a folder inside one"):
        save(attribution, tmp_path / "file" / "run")
    was = os.geteuid()
    (tmp_path / "locked").mkdir(mode=0o555)
    if was == 0:  # root writes anywhere: become nobody, who may not even enter the folder
        os.seteuid(65534)
    try:
        with pytest.raises(StoreError, match=r"locked/run': permission denied\. Choose a folder inside one that you"):
            save(attribution, tmp_path / "locked" / "run")
    finally:
        os.seteuid(was)


@pytest.mark.parametrize("name", ["manifest.json", "arrays.npz", "../escape.html", "a/b.html", "", ".."])
def test_files_beside_the_result_have_plain_names(tmp_path, attribution, name):
    with pytest.raises(StoreError, match=r"^cannot store a file as '.*': expected a plain name"):
        save(attribution, tmp_path / "run", files={name: b""})


def test_only_known_results_are_stored(tmp_path):
    with pytest.raises(
        StoreError,
        match=r"^cannot store a Result; expected one of: [a-z_, ]*attribution, [a-z_, ]*explanation[a-z_, ]*\.$",
    ):
        save(Result(), tmp_path / "run")


def pickled():
    buffer = io.BytesIO()
    np.savez(buffer, images=np.array([{}], object))
    return buffer.getvalue()


def cut(name, length):
    return lambda run: (run / name).write_bytes((run / name).read_bytes()[:length])


def without(run, *path):
    content = json.loads((run / "manifest.json").read_text())
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    (run / "manifest.json").write_text(json.dumps(content))
    reseal(run)


def swap_arrays(run, data):
    (run / "arrays.npz").write_bytes(data)
    content = json.loads((run / "manifest.json").read_text())
    content["files"]["arrays.npz"]["sha256"] = manifest.sha256(data)
    (run / "manifest.json").write_text(json.dumps(content))
    reseal(run)


def edit(run, old, new):
    path = run / "manifest.json"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def empty_npz():
    buffer = io.BytesIO()
    np.savez(buffer)
    return buffer.getvalue()


DAMAGE = {
    "no folder": (shutil.rmtree, r"no result at '.*run': no such folder\.$"),
    "no manifest": (
        lambda run: (run / "manifest.json").unlink(),
        "is not a convscope result: it holds no manifest.json",
    ),
    "no arrays": (lambda run: (run / "arrays.npz").unlink(), r"arrays\.npz': no such file or directory\. Make the"),
    "manifest cut": (cut("manifest.json", 300), r"manifest\.json' is damaged or cut off \("),
    "manifest empty": (cut("manifest.json", 0), r"manifest\.json' is damaged or cut off \("),
    "manifest binary": (lambda run: (run / "manifest.json").write_bytes(b"\xff\xfe\0"), r"is damaged or cut off \("),
    "manifest nested": (lambda run: (run / "manifest.json").write_text("[" * 100_000), r"is damaged or cut off \("),
    "arrays cut": (cut("arrays.npz", 900), r"arrays\.npz' was cut off or changed after it was written \(its checksum"),
    "another's": (lambda run: (run / "manifest.json").write_text("[]"), r"its manifest\.json is of another program\.$"),
    "edited": (
        lambda run: edit(run, "class:7", "class:8"),
        r"was changed after it was written \(its checksum differs\)",
    ),
    "newer": (
        lambda run: reseal(run, schema_version=2),
        r"was written by a newer convscope \(schema 2, this one reads 1\)\. Upgrade with: pip install --upgr",
    ),
    "other kind": (
        lambda run: reseal(run, kind="dream"),
        "holds a 'dream'; this convscope reads: ",
    ),
    "no kind": (lambda run: without(run, "kind"), r"manifest\.json' lacks: kind\."),
    "lacks field": (
        lambda run: without(run, "result", "provenance", "seed"),
        r"^cannot read the result at '.*run': Provenance at 'provenance' lacks: seed\. Make it again\.$",
    ),
    "odd field": (
        lambda run: (edit(run, '"signed"', '"sined"'), reseal(run)),
        r"Attribution at 'the root' has unknown parts: sined\. Make it again\.$",
    ),
    "lacks array": (lambda run: swap_arrays(run, empty_npz()), r"the array 'images' of 'images' is missing\. Make it"),
    "pickle": (lambda run: swap_arrays(run, pickled()), r"arrays\.npz' holds something other than plain arrays \("),
    "not npz": (lambda run: swap_arrays(run, b"hello"), r"arrays\.npz' holds something other than plain arrays \("),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_result_is_one_line_that_says_what(stored, case):
    damage, pattern = DAMAGE[case]
    damage(stored)
    with pytest.raises(StoreError, match=pattern) as error:
        load(stored)
    assert "\n" not in str(error.value)


def test_a_file_is_not_a_result(stored):
    with pytest.raises(StoreError, match=r"page\.html' is a file; a result is a folder that holds manifest\.json\.$"):
        load(stored / "page.html")


def test_a_field_with_a_default_may_be_absent(stored):
    without(stored, "result", "provenance", "options")
    assert load(stored).provenance.options == {}
