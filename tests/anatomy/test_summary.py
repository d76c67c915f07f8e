"""The model doctor: counts by hand, known totals, and one network for each finding."""

from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from convscope.anatomy import summarize
from convscope.anatomy.input_statistics import compare_input
from convscope.model import load
from convscope.probe import graph


def by_address(summary):
    return {layer.address: layer for layer in summary.layers}


def test_counts_by_hand(small_model):
    layers = by_address(summarize(small_model))
    # conv1: 6 channels × 16×16 positions, each 3·3·3 products and a bias
    assert layers["conv1"].work.multiply_adds == 6 * 256 * 27
    assert layers["conv1"].work.flops == 2 * 6 * 256 * 27 + 6 * 256
    assert layers["bn1"].work.flops == 2 * 6 * 256
    assert layers["relu~0"].work.flops == 6 * 256
    assert layers["relu~1"].work.flops == 6 * 64
    assert layers["pool"].work.flops == 6 * 64 * 9
    assert layers["block.conv"].work.multiply_adds == 6 * 64 * 54
    assert layers["block.drop"].work.flops == 0
    assert layers["block"].work == layers["block.conv"].work + layers["block.relu"].work
    assert layers["conv2"].work.multiply_adds == 8 * 16 * 54
    assert layers["fc"].work.multiply_adds == 8 * 5
    total = layers["output"].work
    named = sum(
        layers[name].work.flops for name in ("conv1", "bn1", "relu~0", "relu~1", "pool", "block", "conv2", "fc")
    )
    # what no layer of its own does: the sum x + block(x), the functional ReLU, the mean over 4×4 positions
    assert total.flops == named + 6 * 64 + 8 * 16 + 8 * 16


def test_shapes_strides_and_fields_by_hand(small_model):
    layers = by_address(summarize(small_model))
    assert layers["conv2"].shape == (8, 4, 4)
    assert layers["conv2"].field.stride == (4, 4)
    assert layers["conv2"].field.size == (1 + 2 + 2 + 4 + 4, 13)
    assert layers["fc"].shape == (5,)
    assert layers["fc"].field.whole  # behind the mean over positions
    assert layers["conv1"].type == "Conv2d"
    assert [layer.address for layer in summarize(small_model).layers][-1] == "output"


@pytest.mark.parametrize(
    ("name", "giga_multiply_adds", "parameters"),
    [
        ("resnet18", 1.814073344, 11_689_512),  # "1.81 GFLOPS" in torchvision's table, which counts multiply-adds
        ("vgg16", 15.47026432, 138_357_544),  # 15.47
        ("efficientnet_lite0", 0.385187552, 4_652_008),  # 0.40 where batch norm is counted as well
        ("mobilenet_v3_small", 0.0565104, 2_542_856),  # 0.06
    ],
)
def test_known_totals(name, giga_multiply_adds, parameters):
    summary = summarize(load(name, weights="default" if name == "efficientnet_lite0" else None))
    assert summary.work.multiply_adds == round(giga_multiply_adds * 1e9)
    assert summary.parameters == parameters
    assert summary.uncounted == ()
    assert sum(layer.own_parameters for layer in summary.layers) == parameters


@pytest.mark.parametrize(
    ("name", "size"), [("resnet18", 64), ("googlenet", 64), ("convnext_tiny", 64), ("timm:vit_tiny_patch16_224", 224)]
)
def test_agrees_with_torchs_own_counter(name, size):
    """torch counts two per multiply-add of convolutions and matrix products, as they are executed."""
    model = load(name, weights=None, size=size)
    images = torch.zeros(1, 3, size, size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.module(images)
    assert 2 * summarize(model).work.multiply_adds == counter.get_total_flops()


def test_transposed_convolution_einsum_and_attention(wrap):
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.up = nn.ConvTranspose2d(3, 5, 4, stride=2, padding=1, bias=False)

        def forward(self, x):
            y = self.up(x).flatten(2)  # (n, 5, 64)
            gram = torch.einsum("nct,ndt->ncd", y, y)
            mixed = F.scaled_dot_product_attention(y, y, y)
            return gram.mean(dim=2) + mixed.mean(dim=2)

    summary = summarize(wrap(Mixed().eval(), size=(4, 4)))
    transposed, einsum, attention = 3 * 16 * 5 * 16, 5 * 5 * 64, 2 * 5 * 5 * 64
    assert summary.work.multiply_adds == transposed + einsum + attention
    assert by_address(summary)["up"].work.multiply_adds == transposed


def test_what_cannot_be_counted_is_named(wrap):
    class Cubed(nn.Module):
        def forward(self, x):
            return torch.fft.rfft(x).abs().mean(dim=(2, 3))

    assert summarize(wrap(Cubed())).uncounted == ("fft_rfft",)


def test_shared_parameters_count_once(wrap):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Conv2d(3, 3, 1)
            self.b = nn.Conv2d(3, 3, 1, bias=False)
            self.b.weight = self.a.weight
            self.head = nn.Linear(3, 2)

        def forward(self, x):
            return self.head(self.a(self.b(self.a(x))).mean(dim=(2, 3)))

    summary = summarize(wrap(Tied().eval()))
    layers = by_address(summary)
    assert summary.parameters == 12 + 8 == sum(layer.own_parameters for layer in summary.layers)
    assert layers["a~0"].own_parameters == 12 and layers["a~0"].shares == ("b",)
    assert layers["a~1"].own_parameters == 0 and layers["a~1"].shares == ("a~0", "b")
    assert layers["b"].own_parameters == 0 and layers["b"].shares == ("a",)
    assert layers["b"].parameters == 9


def test_parameters_of_layers_used_without_a_call_go_to_their_holder():
    summary = summarize(load("swin_t", weights=None))
    layers = by_address(summary)
    assert sum(layer.own_parameters for layer in summary.layers) == summary.parameters
    # attention multiplies by qkv.weight itself: 96·288 + 288 and 96·96 + 96, and its table of (2·7 − 1)² × 3 heads
    assert layers["features.1.0.attn"].own_parameters == 96 * 288 + 288 + 96 * 96 + 96 + 169 * 3


def test_activations_in_every_spelling(small_model, wrap):
    found = {(a.kind, a.spelling): (a.count, a.first) for a in summarize(small_model).activations}
    assert found == {
        ("ReLU", "nn.ReLU"): (3, "relu~0"),
        ("ReLU", "function in SmallNet"): (1, "output"),
    }

    class Spelled(nn.Module):
        def forward(self, x):
            x = torch.clamp(x, min=0)
            x = x.clamp(0, 6)
            x = x * torch.sigmoid(x)
            return F.hardtanh(F.leaky_relu(x), -1, 1).mean(dim=(2, 3)) * torch.sigmoid(x.mean())

    kinds = {activation.kind: activation.count for activation in summarize(wrap(Spelled())).activations}
    assert kinds == {"ReLU": 1, "ReLU6": 1, "SiLU": 1, "LeakyReLU": 1, "Hardtanh(-1, 1)": 1, "Sigmoid": 1}


def test_suggested_layers():
    summary = summarize(load("resnet18", weights=None))
    assert summary.cam_layer == "layer4"
    assert summary.unit_layers == ("relu", "layer1", "layer2", "layer3", "layer4")
    embedded = summarize(load())
    assert embedded.cam_layer == "bn2"
    assert embedded.unit_layers == ("blocks.1.0.bn1", "blocks.2.0.bn1", "blocks.3.0.bn1", "blocks.5.0.bn1", "bn2")


class Undecided(nn.Module):
    """What ``torch.export`` cannot take: the path depends on the picture."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3))
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = self.features(x)
        if x.sum() > 1e6:
            x = x / 2
        return self.head(x.mean(dim=(2, 3)))


def test_works_without_a_graph(wrap):
    summary = summarize(wrap(Undecided().eval(), name="undecided"))
    assert summary.work is None
    assert all(layer.work is None and layer.field is None for layer in summary.layers)
    assert summary.untraceable.startswith("undecided cannot be traced by torch.export")
    assert by_address(summary)["features.0"].shape == (4, 16, 16)
    assert summary.parameters == 4 * 28 + 6 * 37 + 21
    assert [(a.kind, a.count) for a in summary.activations] == [("ReLU", 1)]
    assert summary.cam_layer == "features"
    assert summary.unit_layers == ("features.1", "features")
    assert [finding.code for finding in summary.findings] == ["not-traceable"]


def net(**changes):
    """Three convolutions' worth of network, all of it replaceable."""
    parts = OrderedDict(
        conv=nn.Conv2d(3, 4, 3),
        norm=None,
        act=nn.ReLU(),
        pool=nn.AdaptiveAvgPool2d(1),
        flat=nn.Flatten(),
        fc=nn.Linear(4, 3),
    )
    parts.update(changes)
    torch.manual_seed(0)
    for part in parts.values():
        for module in part.modules() if part is not None else ():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
    return nn.Sequential(OrderedDict((k, v) for k, v in parts.items() if v is not None)).eval()


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def broken(module, name, value):
    with torch.no_grad():
        module.get_parameter(name)[:] = value
    return module


def running(mean, variance):
    module = net(norm=nn.BatchNorm2d(4))
    module.norm.running_mean[:] = torch.as_tensor(mean)
    module.norm.running_var[:] = torch.as_tensor(variance)
    return module


def own_recipe():
    module = net()
    module.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (1.0, 1.0, 1.0)}
    return module


class OneAtATime(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = net()

    def forward(self, x):
        return self.inner(x.view(1, 3, 16, 16))


FINDINGS = {
    "train-mode": (lambda: net().train(), "6 modules are in train mode"),
    "dropout-active": (lambda: net(drop=nn.Dropout(0.5)).train(), "dropout is active in drop"),
    "dropout-always": (lambda: net(drop=Function(lambda x: F.dropout(x, 0.5))), "active even in eval mode (drop)"),
    "not-repeatable": (lambda: net(drop=Function(lambda x: F.dropout(x, 0.5))), "get different answers"),
    "final-softmax": (lambda: net(soft=nn.Softmax(dim=1)), "ends in softmax; it is bypassed"),
    "final-sigmoid": (lambda: net(soft=nn.Sigmoid()), "ends in sigmoid; it is bypassed"),
    "hidden-softmax": (lambda: net(soft=nn.Softmax(dim=1), last=Function(lambda x: x * 1.0)), "could not be bypassed"),
    "answer-not-finite": (lambda: net(log=Function(lambda x: (x - 100).log())), "NaN or infinity, even to a gray"),
    "constant-answer": (lambda: broken(net(), "fc.weight", 0.0), "does not depend on the picture"),
    "zero-weights": (lambda: broken(net(), "fc.weight", 0.0), "all weights are zero in fc"),
    "not-finite": (lambda: broken(net(), "conv.weight", float("nan")), "NaN or infinity in conv.weight"),
    "input-mean": (own_recipe, "mean is 0, but the module's pretrained_cfg says 0.5"),
    "own-normalization": (lambda: nn.Sequential(nn.BatchNorm2d(3), net()).eval(), "the first convolution (batch_norm)"),
    "input-range": (lambda: running([3.0, -2.0, 1.0, 2.0], [400.0, 300.0, 500.0, 200.0]), "norm spreads"),
    "untrained-norm": (lambda: running(0.0, 1.0), "1 of 1 batch norms have mean 0 and variance 1"),
    "zero-variance": (lambda: running(1.0, 0.0), "running variance 0 in all channels of norm"),
    "dead-channels": (lambda: running(1.0, [0.0, 1.0, 1.0, 0.0]), "2 channels never changed in training"),
    "batch-statistics": (lambda: net(norm=nn.BatchNorm2d(4, track_running_stats=False)), "influence each other"),
    "partly-frozen": (lambda: net().requires_grad_(False) and _thaw(net()), "2 of 4 parameter tensors are frozen"),
    "one-at-a-time": (OneAtATime, "not on three at once"),
    "class-names": (lambda: net(fc=nn.Linear(4, 7)), "3 class names for 7 outputs"),
    "positions-in-answer": (lambda: nn.Sequential(nn.Conv2d(3, 3, 5)).eval(), "each class has 12×12 positions"),
    "idle": (lambda: net(fc=_WithSpare()), "fc.spare never runs in a forward pass"),
}  # fmt: skip


def _thaw(module):
    module.conv.requires_grad_(False)
    return module


class _WithSpare(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.spare = nn.Linear(4, 3), nn.Linear(4, 9)

    def forward(self, x):
        return self.used(x)


@pytest.mark.parametrize("code", FINDINGS)
def test_findings(code, wrap):
    build, words = FINDINGS[code]
    summary = summarize(wrap(build(), classes=("a", "b", "c")))
    found = {finding.code: finding.text for finding in summary.findings}
    assert code in found, found
    assert words in found[code]
    assert "\n" not in found[code]


def test_a_sound_network_has_no_findings(wrap):
    assert summarize(wrap(net(), classes=("a", "b", "c"))).findings == ()


def test_the_embedded_network_is_fed_what_it_was_trained_on():
    """Batch norm remembers: a forgotten mean and std is noticed, the network's own is not."""
    codes = {finding.code for finding in summarize(load()).findings}
    assert codes == {"dead-channels"}
    for wrong in ({"mean": "0", "std": "1"}, {"mean": "0.485,0.456,0.406", "std": "0.229,0.224,0.225"}, {"mean": "0"}):
        model = load(**wrong)
        assert compare_input(model, graph(model)).layer == "bn1", wrong


def test_warnings_come_first(wrap):
    levels = [finding.level for finding in summarize(wrap(_thaw(net()).train())).findings]
    assert levels == sorted(levels, reverse=True)
    assert {"warning", "note"} == set(levels)


def test_leaves_no_trace(small_net, wrap, trace_of):
    small_net.train()
    model = wrap(small_net)
    before = trace_of(model)
    summarize(model)
    assert trace_of(model) == before
    assert small_net.training
