"""What can be chosen: methods, models, samples, help, version."""

import json
import re
from importlib.metadata import version
from pathlib import Path

import torch

from convscope.attribution import METHODS
from convscope.image import SAMPLES


def test_every_method_is_listed_with_its_paper_and_parameters(run):
    listed = json.loads(run("methods", "--json").out)
    assert [entry["name"] for entry in listed] == list(METHODS)
    steps = next(entry for entry in listed if entry["name"] == "integrated_gradients")
    assert "arXiv:1703.01365" in steps["about"]
    assert steps["parameters"]["steps"] == "50"
    plain = run("methods").out
    assert all(re.search(rf"^{name}(\(|$)", plain, re.MULTILINE) for name in METHODS)
    assert "smooth_grad(method=gradient, samples=50" in plain


def test_models_by_part_of_a_name_and_by_glob(run):
    listed = json.loads(run("models", "efficientnet_lite0", "--json").out)
    assert listed[0] == {"name": "efficientnet_lite0", "library": "embedded", "local": True}
    names = [entry["name"] for entry in json.loads(run("models", "resnet1*", "--json").out)]
    assert "resnet18" in names
    assert all(name.removeprefix("timm:").startswith("resnet1") for name in names)
    answer = run("models", "lite0", "--local")
    assert answer.out.splitlines()[1].split() == ["efficientnet_lite0", "embedded", "on", "this", "machine"]
    assert "network" in answer.err


def test_models_that_do_not_exist(run):
    answer = run("models", "resnet18x")
    assert answer.code == 2
    assert answer.err.startswith("convscope: no network matches 'resnet18x'. Did you mean 'resnet18'")


def test_samples_are_on_this_machine(run):
    listed = json.loads(run("samples", "--json").out)
    assert [entry["name"] for entry in listed] == [f"sample:{name}" for name in SAMPLES]
    assert all(Path(entry["path"]).is_file() for entry in listed)
    assert "sample:cat" in run("samples").out


def test_version_names_torch_and_the_device(run):
    answer = run("--version")
    assert answer.code == 0
    assert answer.out.startswith(f"convscope {version('convscope')}, torch {torch.__version__}")
    assert re.search(r"device: .*(cpu|NVIDIA)", answer.out)


def test_help_names_every_command_and_how_to_start(run):
    answer = run("--help")
    assert (answer.code, answer.err) == (0, "")
    bare = run()
    assert (bare.code, bare.out.strip(), bare.err) == (2, answer.out.strip(), "")
    for command in ("explain", "layers", "show", "rerun", "methods", "models", "samples"):
        assert re.search(rf"^│ {command} ", answer.out, re.MULTILINE)
    assert "convscope explain sample:cat" in answer.out
