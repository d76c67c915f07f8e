"""The words keep up with the code: every method has its page, every picture exists, every example runs."""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

import convscope
from convscope.attribution import split_methods
from convscope.cli.app import app

ROOT = Path(__file__).parents[2]
README, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
PAGES = [README, CHINESE, *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page, language):
    return [text for kind, text in BLOCK.findall(page.read_text()) if kind == language and "--8<--" not in text]


def name(page):
    return str(page.relative_to(ROOT))


def commands():
    lines = {line for page in PAGES for text in blocks(page, "sh") for line in text.splitlines()}
    return sorted(line for line in lines if line.startswith("convscope "))


@pytest.mark.parametrize("method", convscope.METHODS)
def test_every_method_has_a_page_a_picture_and_a_place_in_the_navigation(method):
    page = (ROOT / "docs/methods" / f"{method}.md").read_text()
    kind = convscope.METHODS[method]
    assert f"::: {kind.__module__}.{kind.__name__}" in page
    assert "## When to use it" in page
    assert "## When it misleads" in page
    assert f"methods/{method}.webp" in page
    assert f"methods/{method}.md" in (ROOT / "mkdocs.yml").read_text()
    assert f"({method}.md)" in (ROOT / "docs/methods/index.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_linked_files_and_pictures_exist(page):
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.fixture(scope="module")
def embedded():
    return convscope.load()


# The Chinese README has the same code as the English one; see below.
@pytest.mark.parametrize("page", [page for page in PAGES if page != CHINESE and blocks(page, "python")], ids=name)
def test_python_examples_run_in_order(page, tmp_path, monkeypatch, embedded):
    load = convscope.load  # the embedded network is traced once for all pages
    monkeypatch.setattr(convscope, "load", lambda *args, **options: load(*args, **options) if args else embedded)
    monkeypatch.chdir(tmp_path)
    scope = {"__name__": "example"}
    for text in blocks(page, "python"):
        exec(compile(text, name(page), "exec"), scope)  # the examples are our own


@pytest.mark.parametrize(
    "line", [line for line in commands() if not line.startswith(("convscope --", "convscope COMMAND"))]
)
def test_commands_can_be_parsed(line):
    command, *arguments = shlex.split(line.split(" < ")[0], comments=True)[1:]
    typer.main.get_command(app).commands[command].make_context(command, arguments)  # parses, runs nothing


def test_every_command_is_in_the_reference():
    words = (ROOT / "docs/reference/cli.md").read_text()
    assert [name for name in typer.main.get_command(app).commands if f"`convscope {name}" not in words] == []


@pytest.mark.parametrize(
    "spelling", sorted({m for line in commands() for m in re.findall(r'--methods "([^"]+)"', line)})
)
def test_methods_in_commands_can_be_made(spelling):
    assert all(convscope.method(part).name in convscope.METHODS for part in split_methods(spelling))


def test_both_readmes_show_the_same_pictures_and_the_same_code():
    pictures = [re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text()) for page in (README, CHINESE)]
    assert pictures[0] == pictures[1]
    assert blocks(README, "python") == blocks(CHINESE, "python")
    code = [[re.sub(r"\s*#.*", "", text) for text in blocks(page, "sh")] for page in (README, CHINESE)]
    assert code[0] == code[1]


def test_every_gallery_picture_is_small_and_used():
    pictures = [path for path in (ROOT / "docs/assets").rglob("*") if path.suffix in {".webp", ".png", ".jpg"}]
    assert max(path.stat().st_size for path in pictures) < 300_000
    assert sum(path.stat().st_size for path in pictures) < 6_000_000
    words = "".join(page.read_text() for page in PAGES)
    assert [path.name for path in pictures if path.name not in words] == []


def test_navigation_lists_files_that_exist():
    def files(entry):
        if isinstance(entry, str):
            return [entry]
        return [file for part in (entry.values() if isinstance(entry, dict) else entry) for file in files(part)]

    text = (ROOT / "mkdocs.yml").read_text()
    listed = files(yaml.safe_load(text)["nav"])
    assert [file for file in listed if not (ROOT / "docs" / file).is_file()] == []
