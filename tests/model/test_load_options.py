"""Options of ``load`` from Python and as text, and what is refused in which words."""

import json

import pytest
import torch
from torch import nn

from convscope.errors import ModelError
from convscope.model import load


def tiny():
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))


@pytest.mark.parametrize("size", [224, "224", (224, 224), "224,224", "224x224", [224, 224]])
def test_spellings_of_a_size(size):
    assert load(tiny(), size=size).spec.preprocessing.size == (224, 224)


def test_size_is_height_and_width():
    assert load(tiny(), size="64,96").spec.preprocessing.size == (64, 96)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size=0: expected one positive whole number or two"),
        ({"size": "3,4,5"}, "size='3,4,5': expected one positive"),
        ({"size": "10.5"}, "size='10.5': expected one positive"),
        ({"size": "big"}, "size='big': expected numbers such as 224"),
        (
            {"mean": (0.5, 0.5)},
            "mean has 2 values, but the input has 3 channels. Expected one value, or one per channel",
        ),
        ({"std": "0.5,0.5"}, "std has 2 values, but the input has 3 channels"),
        ({"std": 0}, r"std=\(0.0, 0.0, 0.0\): expected positive numbers"),
        ({"std": (0.5, -0.1, 0.5)}, "expected positive numbers, inputs are divided by it"),
        ({"mean": float("nan")}, "expected finite numbers"),
        ({"mean": (123.7, 116.3, 103.5)}, r"expected units of \[0, 1\] pixels. Divide values for 0..255 by 255"),
        ({"mean": "red"}, "mean='red': expected numbers"),
        ({"channels": 0}, "channels=0: expected a positive whole number"),
        ({"channels": "RGB"}, "channels='RGB': expected a positive whole number"),
        ({"crop": 0}, "crop=0: expected one number above 0 and at most 1"),
        ({"crop": 1.5}, "crop=1.5: expected one number above 0"),
        ({"interpolation": "bicubik"}, "expected one of nearest, bilinear, bicubic, lanczos. Did you mean 'bicubic'"),
        ({"classes": "none.txt"}, "class names 'none.txt' cannot be read"),
        ({"classes": []}, "expected one name per class"),
        ({"classes": ["a", " "]}, "expected one name per class"),
        ({"device": "tpu"}, "device='tpu': expected cpu, cuda, cuda:N or mps"),
        ({"device": "meta"}, "device='meta': expected cpu, cuda"),
        ({"dtype": "float16"}, "dtype='float16': expected one of float32, bfloat16, float64"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(ModelError, match=message) as caught:
        load(tiny(), **options)
    assert "\n" not in str(caught.value)


def test_a_device_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ModelError, match=r"device 'cuda:1' is not available: torch .* sees 0 CUDA devices"):
        load("resnet18", weights=None, device="cuda:1")
    with pytest.raises(ModelError, match=r"device 'mps' is not available on this machine. Use device='cpu'"):
        load("resnet18", weights=None, device="mps")


@pytest.mark.parametrize("dtype", ["bfloat16", "float64", torch.bfloat16])
def test_dtype_of_our_own_networks(dtype):
    model = load("squeezenet1_1", weights=None, dtype=dtype, device="cpu")
    assert str(model.dtype).endswith(str(dtype).removeprefix("torch."))
    again = load(model.spec.origin, **dict(model.spec.origin_options))
    assert (again.dtype, again.digest) == (model.dtype, model.digest)


def test_class_names_from_files_and_text(tmp_path):
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    (tmp_path / "names.json").write_text(json.dumps(["cat", "dog"]))
    for given in (["cat", "dog"], ("cat", "dog"), "cat\ndog\n", tmp_path / "names.txt", str(tmp_path / "names.json")):
        assert load(tiny(), classes=given).spec.classes == ("cat", "dog")
    (tmp_path / "names.json").write_text("{}")
    with pytest.raises(ModelError, match="expected a JSON list of names"):
        load(tiny(), classes=tmp_path / "names.json")


def test_every_option_survives_the_way_through_origin_options():
    model = load(
        "squeezenet1_1",
        weights=None,
        size=(100, 120),
        mean=(0.1, 0.2, 1 / 3),
        std=0.7,
        classes=["one, or so", "two"],
        interpolation="lanczos",
        crop=0.9,
        dtype="float64",
        name="mine",
    )
    options = dict(model.spec.origin_options)
    assert all(isinstance(value, str) for value in options.values())
    again = load(model.spec.origin, **options)
    assert again.spec == model.spec
    assert again.digest == model.digest


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("resnet81", "no network 'resnet81' in torchvision or timm. Did you mean 'resnet18'"),
        ("torchvision:resnet81", "no network 'resnet81' in torchvision. Did you mean 'resnet18'"),
        ("timm:resnett18", "no network 'resnett18' in timm. Did you mean 'resnet18"),
        ("zzzzzzzz", "no network 'zzzzzzzz' in torchvision or timm. `convscope models` lists them"),
        ("fcn_resnet50", "torchvision's fcn_resnet50 does segmentation, not classification"),
        ("torchvision:fasterrcnn_resnet50_fpn", "does detection, not classification"),
        ("net.pth", "'net.pth' holds weights, not a network. Name its architecture"),
    ],
)
def test_unknown_sources(source, message):
    with pytest.raises(ModelError, match=message):
        load(source)
