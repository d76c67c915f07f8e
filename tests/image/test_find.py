import os

import pytest

from convscope.image import find


@pytest.fixture
def album(tmp_path, monkeypatch):
    for name in ("b.jpg", "a.PNG", "notes.txt", ".hidden.jpg", "deep/er/c.webp", ".git/d.png", "odd[1].jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_gives_its_pictures_sorted_at_any_depth_without_hidden_ones(album):
    names, failures = find([str(album)])
    assert names == tuple(str(album / name) for name in ("a.PNG", "b.jpg", "deep/er/c.webp", "odd[1].jpg"))
    assert failures == ()


def test_order_is_kept_and_nothing_comes_twice(album):
    names, failures = find(["sample:cat", "-", "b.jpg", "*.jpg", "notes.txt"])
    assert names == ("sample:cat", "-", "b.jpg", "odd[1].jpg", "notes.txt")
    assert failures == ()


def test_a_file_whose_name_looks_like_a_glob_is_a_file(album):
    assert find(["odd[1].jpg"]) == (("odd[1].jpg",), ())


def test_globs_reach_any_depth_and_expand_folders(album):
    assert find(["**/*.webp"]) == (("deep/er/c.webp",), ())
    assert find(["de*"]) == (("deep/er/c.webp",), ())


def test_home_is_expanded(album, monkeypatch):
    monkeypatch.setenv("HOME", str(album))
    assert find(["~/b.jpg"]) == ((str(album / "b.jpg"),), ())


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("b.jpeg", "cannot read 'b.jpeg': no such file or folder. Did you mean 'b.jpg'?"),
        ("nowhere/x.png", "cannot read 'nowhere/x.png': no such file or folder."),
        ("b.jpg/x.png", "cannot read 'b.jpg/x.png': no such file or folder."),
        ("*.tiff", "cannot read '*.tiff': no file matches."),
        ("sample:cta", "no sample 'cta'. Did you mean 'cat'? Samples: sample:cat, sample:coffee, "),
        ("empty", "cannot read 'empty': the folder holds no pictures. Looked for *.jpg, *.jpeg, "),
        ("dangling", "cannot read 'dangling': it is a link to 'gone.jpg', which does not exist."),
        (
            "https://a.b/c.jpg",
            "cannot read 'https://a.b/c.jpg': convscope downloads nothing. Save the picture and",
        ),
    ],
)
def test_a_bad_input_is_named_and_the_others_go_on(album, pattern, reason):
    (album / "dangling").symlink_to("gone.jpg")
    names, failures = find(["b.jpg", pattern, "sample:coffee"])
    assert names == ("b.jpg", "sample:coffee")
    [(failed, text)] = failures
    assert failed == pattern
    assert text.startswith(reason)
    assert "\n" not in text


def test_one_empty_folder_among_the_matches_of_a_glob_does_not_stop_the_rest(album):
    (album / "every").mkdir()
    (album / "every" / "z.png").write_bytes(b"x")
    names, failures = find(["e*"])
    assert names == ("every/z.png",)
    assert [name for name, _ in failures] == ["empty"]


def test_a_folder_that_may_not_be_listed_is_an_error(album, monkeypatch):
    # Root may list anything, so the refusal is the system's in name only.
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    names, [(failed, reason)] = find(["deep"])
    assert names == ()
    assert failed == "deep"
    assert reason == "cannot read folder 'deep': permission denied."


def test_results_of_convscope_in_a_folder_are_not_pictures(tmp_path):
    (tmp_path / "photo.png").write_bytes(b"")
    result = tmp_path / "convscope-explain"
    result.mkdir()
    for name in ("manifest.json", "arrays.npz", "page.png"):
        (result / name).write_bytes(b"")
    assert find([str(tmp_path)]) == ((str(tmp_path / "photo.png"),), ())
