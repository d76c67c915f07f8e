"""Published networks spell most of their ReLUs as functions: guided backpropagation must not be the gradient there."""

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from convscope.attribution import Deconvnet, Gradient, GuidedBackprop

# Calls of a rectifier in one forward pass, counted in the architecture.
COUNTS = {
    "googlenet": {"Relu": 57}, "densenet121": {"Relu": 121}, "resnet18": {"Relu": 17}, "squeezenet1_1": {"Relu": 26},
    "mobilenet_v2": {"Hardtanh": 35}, "tf_efficientnet_lite0": {"Hardtanh": 33},
    "mobilenet_v3_small": {"Relu": 14, "Hardswish": 19},
}  # fmt: skip


def network(name):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if not hasattr(torchvision.models, name):
            return timm.create_model(name, num_classes=10).eval()
        options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
        return getattr(torchvision.models, name)(num_classes=10, **options).eval()


class RulesByReplacement(TorchFunctionMode):
    """Another way to the same: every ReLU call is replaced by one that carries its own backward pass."""

    def __init__(self, rule):
        super().__init__()
        self.rule, self.calls = rule, 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in {F.relu, torch.relu, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_}:
            self.calls += 1
            return self.rule.apply(args[0])
        if func in {F.hardtanh, F.relu6}:
            self.calls += 1
            return self.rule.apply(args[0]).clamp(max=6) if self.rule is Guided else self.rule.apply(args[0], 6.0)
        return func(*args, **(kwargs or {}))


class Guided(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x > 0)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, signal):
        return signal.clamp(min=0) * ctx.saved_tensors[0]


class Deconvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, top=None):
        return x.clamp(min=0, max=top)

    @staticmethod
    def backward(ctx, signal):
        return signal.clamp(min=0), None


@pytest.mark.parametrize("name", COUNTS)
def test_every_rectifier_is_covered_and_the_map_is_no_gradient(wrap, pictures, name):
    model, images = wrap(network(name), size=(64, 64), mean=0.45, std=0.25), pictures(1, 3, 64, 64)
    gradient = Gradient()(model, images, "class:3").values
    for method, rule in ((GuidedBackprop(), Guided), (Deconvnet(), Deconvolution)):
        found = method(model, images, "class:3")
        total = sum(COUNTS[name].values())
        kinds = ", ".join(f"{count} {kind}" for kind, count in COUNTS[name].items())
        assert found.facts["coverage"] == f"{total}/{total} activation calls covered ({kinds})"
        joined = torch.stack([found.values.flatten(), gradient.flatten()])
        assert torch.corrcoef(joined)[0, 1] < 0.9
        if "Hardswish" in COUNTS[name]:
            continue
        leaf = images.clone().requires_grad_()
        with RulesByReplacement(rule) as replaced:
            logit = model.module(model.normalize(leaf))[0, 3]
        (expected,) = torch.autograd.grad(logit, leaf)
        assert replaced.calls == total
        torch.testing.assert_close(found.values, expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max()))


def test_a_network_in_train_mode_is_covered_the_same(wrap, pictures):
    net = network("googlenet")
    model, images = wrap(net, size=(64, 64)), pictures(1, 3, 64, 64)
    expected = GuidedBackprop()(model, images, "class:3")
    net.train()
    found = GuidedBackprop()(model, images, "class:3")
    assert torch.equal(found.values, expected.values)
    assert found.facts == expected.facts
    assert all(part.training for part in net.modules() if isinstance(part, nn.Module))
