"""The first command of the README, as a stranger types it."""

import subprocess
from pathlib import Path

import pytest

import convscope

ROOT = Path(__file__).parent.parent


@pytest.mark.skipif(
    not (ROOT / ".venv" / "installed").exists(), reason="runs in the environment that the Makefile made"
)
def test_make_demo_explains_a_photograph_and_says_where(tmp_path):
    out = tmp_path / "demo"
    done = subprocess.run(["make", "demo", f"OUT={out}"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert str(out / "page.html") in done.stdout
    assert "cat" in done.stdout
    page = convscope.read_result(out)
    assert page.answers[0][0].name == "tiger cat"
    assert len(page.attributions) == 4
    assert (out / "page.html").read_text().lower().startswith("<!doctype html>")
