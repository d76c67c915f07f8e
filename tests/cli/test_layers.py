"""`convscope layers`: the doctor's findings on paper and as JSON."""

import json

import pytest


def test_the_tree_of_a_network(run):
    answer = run("layers", "resnet18", "--weights", "none")
    assert answer.code == 0
    assert answer.err == ""
    lines = answer.out.splitlines()
    assert all(len(line) <= 100 for line in lines)
    assert "11,689,512 parameters (frozen, 46.8 MB) · 3.64 GFLOPs (1.81 G multiply-adds) per picture" in answer.out
    rows = {line.split()[0]: line.split()[1:] for line in lines if line}
    assert rows["conv1"] == ["Conv2d", "64×112×112", "9,408", "236", "M", "2", "7"]
    assert rows["layer4.1.relu~1"] == ["ReLU", "512×7×7", "25.1", "k", "32", "435"]
    assert rows["fc"] == ["Linear", "1000", "513,000", "1.02", "M", "all"]
    order = [line.split()[0] for line in lines if line.startswith((" layer1.0", "  layer1.0."))]
    assert order == ["layer1.0", *(f"layer1.0.{name}" for name in ("conv1", "bn1", "relu~0", "conv2", "bn2", "relu~1"))]
    assert "for CAM      layer4" in answer.out
    assert "for units    relu, layer1, layer2, layer3, layer4" in answer.out
    assert "17 ReLU (nn.ReLU)" in answer.out


def test_depth_hides_what_is_inside_and_keeps_the_sums(run):
    shallow = run("layers", "resnet18", "--weights", "none", "--depth", "1").out
    rows = {line.split()[0]: line.split()[1:] for line in shallow.splitlines() if line}
    assert rows["layer4"] == ["Sequential", "512×7×7", "8,393,728", "822", "M", "32", "435"]
    assert "layer4.0" not in rows


def test_addresses_stay_whole_on_a_narrow_terminal(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "76")
    lines = run("layers", "googlenet", "--weights", "none", "--depth", "2").out.splitlines()
    assert max(map(len, lines)) <= 76
    assert " inception3a.branch1  BasicCo…    64×28×28     12,416  19.4 M       8     27" in lines


def test_json_holds_everything(run, factory):
    facts = json.loads(run("layers", factory, "--size", "16x24", "--mean", "0.5", "--json").out)
    assert facts["preprocessing"]["size"] == [16, 24]
    assert facts["preprocessing"]["mean"] == [0.5, 0.5, 0.5]
    first = facts["layers"][0]
    assert (first["address"], first["type"], first["shape"]) == ("0", "Conv2d", [4, 16, 24])
    assert first["work"]["multiply_adds"] == 4 * 16 * 24 * 27
    assert first["field"]["size"] == [3, 3]
    assert facts["layers"][-2]["field"]["size"] == [None, None]  # all of the picture
    assert facts["layers"][-2]["field"]["whole"] is True
    assert facts["parameters"] == 4 * 28 + 8 * 37 + 27
    assert facts["cam_layer"] == "4"
    assert {"std assumed to be 1: none was given, so inputs are not scaled from [0, 1]"} <= set(facts["notes"])


def test_warnings_are_printed(run, tmp_path):
    (tmp_path / "sick.py").write_text(
        "from torch import nn\n"
        "def net():\n"
        "    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)]\n"
        "    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Softmax(dim=1)).train()\n"
    )
    out = run("layers", f"{tmp_path}/sick.py:net", "--size", "16").out
    assert "7 modules are in train mode" in out
    assert "dropout is active in 2" in out
    assert "1 of 1 batch norms have mean 0 and variance 1" in out
    assert "the network ends in softmax; it is bypassed" in out
    assert "verdict" not in out


def test_without_a_graph_columns_stay_empty_and_it_is_said(run, tmp_path):
    (tmp_path / "wild.py").write_text(
        "from torch import nn\n"
        "class Wild(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.conv = nn.Conv2d(3, 4, 3)\n"
        "    def forward(self, x):\n"
        "        y = self.conv(x)\n"
        "        return (y if y.sum() > 0 else -y).mean(dim=(2, 3))\n"
    )
    answer = run("layers", f"{tmp_path}/wild.py:Wild", "--size", "16")
    assert answer.code == 0
    assert "FLOPs unknown" in answer.out
    assert "cannot be traced by torch.export" in " ".join(answer.out.split())
    row = next(line for line in answer.out.splitlines() if line.startswith("conv "))
    assert row.split() == ["conv", "Conv2d", "4×14×14", "112"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resnet1"], "no network 'resnet1' in torchvision or timm. Did you mean 'resnet18'"),
        (["nosuch.py:net"], "to find a factory in. Expected file.py:factory."),
        (["net.pth"], "'net.pth' holds weights, not a network."),
        (["resnet18", "--weights", "none", "--size", "8y8"], "size='8y8': expected numbers such as 224"),
        (["resnet18", "--weights", "none", "--std", "58,57,57"], "Divide values for 0..255 by 255."),
        (["resnet18", "--weights", "none", "--classes", "nosuch.txt"], "class names 'nosuch.txt' cannot be read"),
        (["--device", "tpu"], "device='tpu': expected cpu, cuda, cuda:N or mps."),
        (["--dtype", "float8"], "dtype='float8': expected one of float32, bfloat16, float64."),
        (["--depth", "0"], "Invalid value for '--depth'"),
    ],
)
def test_bad_arguments_are_one_line(run, arguments, words):
    answer = run("layers", *arguments)
    assert answer.code == 2
    assert answer.out == ""
    assert words in answer.err
    assert answer.err.startswith("convscope: ")
    assert answer.err.count("\n") == 1
