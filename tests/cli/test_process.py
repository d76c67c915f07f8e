"""The command line as a process of its own: what is imported, signals, pipes, tracebacks."""

import os
import signal
import subprocess
import sys
import time

import pytest

from convscope.cli import main

PYTHON = [sys.executable, "-W", "error"]
CONVSCOPE = [sys.executable, "-c", "import sys; from convscope.cli import main; sys.exit(main())"]


def test_help_imports_nothing_heavy():
    script = (
        "import sys; from convscope.cli import main; code = main(['--help']); "
        "heavy = {'torch', 'timm', 'torchvision', 'matplotlib', 'numpy', 'PIL', 'jinja2'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run([*PYTHON, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "explain" in done.stdout


def test_interrupted_in_the_middle_nothing_is_left(factory, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    slow = factory.replace(":small", ":slow")
    command = [*CONVSCOPE, "explain", "sample:cat", "--model", slow, "--size", "16", "--no-trust"]
    process = subprocess.Popen(
        [*command, "--methods", "smooth_grad(samples=1000, batch=1)"],
        cwd=work,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "networks.runs").exists():  # it is in the middle of its work
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert err == "convscope: interrupted\n"
    assert list(work.iterdir()) == []


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    command = [*CONVSCOPE, "methods", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_plain_text_in_a_pipe_whatever_the_encoding(tmp_path):
    done = subprocess.run(
        [*CONVSCOPE, "samples"],
        capture_output=True, cwd=tmp_path, timeout=60, check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "TERM": "xterm-256color"},
    )  # fmt: skip
    assert b"\x1b[" not in done.stdout
    assert b"sample:cat" in done.stdout


@pytest.fixture
def faulty(tmp_path):
    (tmp_path / "faulty.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.conv = nn.Conv2d(3, 4, 3)\n"
        "    def forward(self, x):\n"
        "        raise ZeroDivisionError('a fault\\nof two lines')\n"
    )
    return f"{tmp_path}/faulty.py:Net"


def test_an_unexpected_fault_is_one_line_and_tells_how_to_see_more(run, faulty, monkeypatch):
    answer = run("layers", faulty)
    assert answer.code == 1
    assert answer.err == (
        "convscope: unexpected ZeroDivisionError: a fault of two lines. "
        "--debug (or CONVSCOPE_DEBUG=1) shows the traceback.\n"
    )
    with pytest.raises(ZeroDivisionError):
        main(["layers", faulty, "--debug"])
    monkeypatch.setenv("CONVSCOPE_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main(["layers", faulty])


def test_what_libraries_warn_about_stays_inside(run, tmp_path):
    (tmp_path / "loud.py").write_text(
        "import logging, warnings\n"
        "from torch import nn\n"
        "def net():\n"
        "    warnings.warn('deprecated')\n"
        "    logging.getLogger('lib').warning('careful')\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    )
    answer = run("layers", f"{tmp_path}/loud.py:net", "--size", "16", "--json")
    assert answer.code == 0
    assert answer.err == ""


def test_unknown_commands_name_near_misses(run):
    answer = run("explin", "sample:cat")
    assert answer.code == 2
    assert answer.err == "convscope: No such command 'explin'. Did you mean 'explain'? See `convscope --help`.\n"
