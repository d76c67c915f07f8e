"""Running the command line in this process, as the entry point does."""

from dataclasses import dataclass

import pytest

from convscope.cli import main

FACTORY = """
import pathlib
import time

import torch
from torch import nn

def small():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3),
    ).eval()

def slow():
    class Slow(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = small()

        def forward(self, x):
            pathlib.Path(__file__).with_suffix(".runs").touch()
            time.sleep(0.05)
            return self.inner(x)

    return Slow().eval()
"""


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def factory(tmp_path):
    """``file.py:small``: a network of three classes for any size, made in a moment."""
    file = tmp_path / "networks.py"
    file.write_text(FACTORY)
    return f"{file}:small"


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """``run("layers", "--json")``: exit code and what was printed, in an empty working directory."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("CONVSCOPE_DEBUG", raising=False)

    def call(*arguments) -> Outcome:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Outcome(code, printed.out, printed.err)

    return call
