"""Guided backpropagation and deconvnet against a backward pass written by hand, for every spelling of ReLU."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from convscope.attribution import Deconvnet, GuidedBackprop
from convscope.errors import MethodError

RULES = {"guided": GuidedBackprop(), "deconvnet": Deconvnet()}
each_rule = pytest.mark.parametrize("rule", RULES)


class Net(nn.Module):
    """conv, ReLU, overlapping pool, conv, ReLU, y + conv(ReLU(y)), ReLU, linear. ``act`` is the ReLU's spelling."""

    def __init__(self, act) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 5, 3, padding=1)
        self.b = nn.Conv2d(5, 5, 3)
        self.c = nn.Conv2d(5, 5, 1)
        self.fc = nn.Linear(5, 3)
        self.act = act

    def forward(self, x):
        x = F.max_pool2d(self.act(self.a(x)), 3, stride=2, padding=1)
        y = self.b(x)
        x = self.act(y + self.c(self.act(y.clone())))
        return self.fc(x.mean(dim=(2, 3)))


class Modules(nn.Module):
    """A module of its own for each call."""

    def __init__(self, kind) -> None:
        super().__init__()
        self.kind, self.at = kind, 0
        self.parts = nn.ModuleList(kind() for _ in range(3))

    def forward(self, x):
        self.at += 1
        return self.parts[(self.at - 1) % 3](x)


# Spelling -> (function, the kind of node it leaves in the graph).
SPELLINGS = {
    "nn.ReLU": (lambda: Modules(nn.ReLU), "Relu"),
    "nn.ReLU(inplace)": (lambda: Modules(lambda: nn.ReLU(inplace=True)), "Relu"),
    "nn.ReLU, reused": (nn.ReLU, "Relu"),
    "nn.ReLU(inplace), reused": (lambda: nn.ReLU(inplace=True), "Relu"),
    "F.relu": (lambda: F.relu, "Relu"),
    "F.relu(inplace)": (lambda: lambda x: F.relu(x, inplace=True), "Relu"),
    "torch.relu": (lambda: torch.relu, "Relu"),
    "torch.relu_": (lambda: torch.relu_, "Relu"),
    "x.relu": (lambda: lambda x: x.relu(), "Relu"),
    "x.relu_": (lambda: lambda x: x.relu_(), "Relu"),
    "clamp(min=0)": (lambda: lambda x: x.clamp(min=0), "Clamp"),
    "clamp_(min=0)": (lambda: lambda x: x.clamp_(min=0), "Clamp"),
    "clamp_min": (lambda: lambda x: x.clamp_min(0), "ClampMin"),
    "torch.clamp(0, inf)": (lambda: lambda x: torch.clamp(x, 0, float("inf")), "Clamp"),
    "maximum": (lambda: lambda x: torch.maximum(x, torch.zeros_like(x)), "Maximum"),
    "maximum, zeros first": (lambda: lambda x: torch.maximum(torch.zeros(()), x), "Maximum"),
    "fmax": (lambda: lambda x: torch.fmax(x, torch.zeros_like(x)), "Fmax"),
    "threshold": (lambda: lambda x: F.threshold(x, 0.0, 0.0), "Threshold"),
    "nn.Threshold(inplace)": (lambda: nn.Threshold(0.0, 0.0, inplace=True), "Threshold"),
    "ReLU6": (lambda: Modules(nn.ReLU6), "Hardtanh"),
    "F.relu6(inplace)": (lambda: lambda x: F.relu6(x, inplace=True), "Hardtanh"),
    "hardtanh(0, 6)": (lambda: lambda x: F.hardtanh(x, 0.0, 6.0), "Hardtanh"),
    "clamp(0, 6)": (lambda: lambda x: x.clamp(0, 6), "Clamp"),
}
each_spelling = pytest.mark.parametrize("spelling", SPELLINGS)


def make(wrap, act):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        net = Net(act).double()
    return wrap(net, size=(9, 8), mean=0.4, std=0.3)


@pytest.fixture
def images(pictures):
    return pictures(2, 3, 9, 8, dtype=torch.float64).float()


def back_through_convolution(signal, layer, like):
    """Each output position hands its signal to the inputs it was computed from, by the same weights."""
    (pad, _), size = layer.padding, layer.kernel_size[0]
    padded = torch.zeros(*like.shape[:2], like.shape[2] + 2 * pad, like.shape[3] + 2 * pad, dtype=like.dtype)
    for row in range(signal.shape[2]):
        for column in range(signal.shape[3]):
            patch = torch.einsum("no,oikl->nikl", signal[:, :, row, column], layer.weight.detach())
            padded[:, :, row : row + size, column : column + size] += patch
    return padded[:, :, pad : pad + like.shape[2], pad : pad + like.shape[3]]


def back_through_pool(signal, given):
    """Overlapping 3 × 3 windows, stride 2, padding 1: each hands its signal to where its maximum lies."""
    result = torch.zeros_like(given)
    for n, c, row, column in torch.cartesian_prod(*map(torch.arange, signal.shape)).tolist():
        top, left = max(2 * row - 1, 0), max(2 * column - 1, 0)
        window = given[n, c, top : 2 * row + 2, left : 2 * column + 2]
        best = divmod(int(window.argmax()), window.shape[1])
        result[n, c, top + best[0], left + best[1]] += signal[n, c, row, column]
    return result


def by_hand(model, images, index, rule):
    """The network forwards, and its rule backwards, step by step."""
    net = model.module

    def back_through_relu(signal, given):
        passed = signal.clamp(min=0)
        return passed * (given > 0) if rule == "guided" else passed

    with torch.no_grad():
        inputs = (images.double() - 0.4) / 0.3
        first = net.a(inputs)
        pooled = F.max_pool2d(first.relu(), 3, stride=2, padding=1)
        y = net.b(pooled)
        total = y + net.c(y.relu())
        assert max(first.max(), y.max(), total.max()) < 6  # so that ReLU6 cuts nothing off
        count = total.shape[2] * total.shape[3]
        signal = (net.fc.weight[index] / count)[None, :, None, None].expand_as(total).clone()
        signal = back_through_relu(signal, total)
        signal = signal + back_through_relu(back_through_convolution(signal, net.c, y), y)
        signal = back_through_convolution(signal, net.b, pooled)
        signal = back_through_relu(back_through_pool(signal, first.relu()), first)
        return (back_through_convolution(signal, net.a, inputs) / 0.3).float()


@each_rule
@each_spelling
def test_every_spelling_equals_the_backward_pass_by_hand(wrap, images, rule, spelling):
    act, kind = SPELLINGS[spelling]
    model = make(wrap, act())
    result = RULES[rule](model, images, "class:1")
    expected = by_hand(model, images, 1, rule)
    assert expected.abs().amax(dim=(1, 2, 3)).min() > 1e-4
    torch.testing.assert_close(result.values, expected, rtol=1e-5, atol=1e-8)
    assert result.facts["coverage"] == f"3/3 activation calls covered (3 {kind})"
    assert "note" not in result.facts


@each_rule
def test_the_rule_is_no_plain_gradient(wrap, images, rule):
    model = make(wrap, F.relu)
    leaf = images.double().requires_grad_()
    (plain,) = torch.autograd.grad(model.module(model.normalize(leaf))[:, 1].sum(), leaf)
    assert (RULES[rule](model, images, "class:1").values - plain).abs().max() > 0.1 * plain.abs().max()


@each_rule
def test_identical_across_spellings_to_the_last_bit(wrap, images, rule):
    results = [RULES[rule](make(wrap, act()), images, "class:2").values for act, _ in SPELLINGS.values()]
    assert all(torch.equal(result, results[0]) for result in results)


@each_rule
def test_relu6_cuts_the_signal_above_only_where_the_rule_looks_forward(wrap, pictures, rule):
    net = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    nn.init.constant_(net[0].weight, 10.0)
    images = torch.tensor([[[[0.0, 0.3], [0.7, 1.0]]]])
    result = RULES[rule](wrap(net, size=(2, 2), channels=1), images, "class:0").values
    passes = [[0, 1], [0, 0]] if rule == "guided" else [[1, 1], [1, 1]]
    assert torch.equal(result, 2.5 * torch.tensor([[passes]], dtype=torch.float32))


COUNTS = {
    "class:1": "3/3 activation calls covered (3 Relu)",
    "c:0": "2/2 activation calls covered (2 Relu)",
    "b:0": "1/1 activation calls covered (1 Relu)",
    "b:0 + class:1": "3/3 activation calls covered (3 Relu)",
    "a:2": "no activation between target and picture",
}


@each_rule
@pytest.mark.parametrize("target", COUNTS)
def test_only_what_lies_between_target_and_picture_is_counted(wrap, images, rule, target):
    assert RULES[rule](make(wrap, F.relu), images, target).facts["coverage"] == COUNTS[target]


def test_mixed_kinds_are_counted_apart(wrap, images):
    kinds = iter([F.relu, F.relu6, F.silu] * 9)

    def mixed(x):
        return next(kinds)(x)

    facts = GuidedBackprop()(make(wrap, mixed), images, "class:1").facts
    assert facts["coverage"].startswith("3/3 activation calls covered (")
    assert set(facts["coverage"].split("(")[1].rstrip(")").split(", ")) == {"1 Relu", "1 Hardtanh", "1 Silu"}
    assert facts["note"] == "no paper defines guided for Silu; see the documentation for the rule used"


SMOOTH = {
    "Silu": F.silu,
    "Gelu": F.gelu,
    "Hardswish": F.hardswish,
    "LeakyRelu": lambda x: F.leaky_relu(x, 0.2),
    "Elu": F.elu,
    "Mish": F.mish,
    "Softplus": F.softplus,
    "PreluKernel": lambda x: F.prelu(x, torch.tensor([0.3], dtype=x.dtype)),
}


@each_rule
@pytest.mark.parametrize("kind", SMOOTH)
def test_smooth_activations_follow_the_stated_rule(wrap, rule, kind):
    """guided: max(R, 0) · f'(x). deconvnet: max(R, 0)."""
    net = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Module(), nn.Conv2d(4, 1, 1), nn.Flatten()).double()
    net[1].forward = SMOOTH[kind]
    weight = torch.tensor([1.0, -2.0, 3.0, -4.0], dtype=torch.float64)
    net[0].weight.data[:] = torch.tensor([2.0, 2.0, -1.5, -1.5]).view(4, 1, 1, 1)
    net[0].bias.data[:] = torch.tensor([-1.0, -1.0, 0.5, 0.5])
    net[2].weight.data[:] = weight.view(1, 4, 1, 1)
    images = torch.tensor([0.1, 0.4, 0.8]).view(3, 1, 1, 1)
    result = RULES[rule](wrap(net, size=(1, 1), channels=1), images, "class:0")
    inner = net[0](images.double()).detach().requires_grad_()
    (slope,) = torch.autograd.grad(SMOOTH[kind](inner).sum(), inner)
    signal = weight.clamp(min=0).view(1, 4, 1, 1) * (slope if rule == "guided" else torch.ones_like(slope))
    expected = (signal * net[0].weight.detach().view(1, 4, 1, 1)).sum(dim=1, keepdim=True)
    torch.testing.assert_close(result.values, expected.float(), rtol=1e-5, atol=1e-6)
    assert result.facts["coverage"] == f"1/1 activation calls covered (1 {kind})"
    assert result.facts["note"] == f"no paper defines {rule} for {kind}; see the documentation for the rule used"


class OwnRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, signal):
        (x,) = ctx.saved_tensors
        return signal * (x > 0)


def _half_in_place(x):
    x = x.clone()
    x[:, :2].relu_()
    return x


HIDDEN = {
    "Python function": (OwnRelu.apply, "OwnRelu, a Python autograd function"),
    "reentrant checkpoint": (lambda x: checkpoint(F.relu, x, use_reentrant=True), "Checkpoint"),
    "where": (lambda x: torch.where(x > 0, x, 0.0), "a choice by a condition"),
    "masked_fill": (lambda x: x.masked_fill(x < 0, 0.0), "a choice by a condition"),
    "mask": (lambda x: x * (x > 0), "a choice by a condition"),
    "part in place": (_half_in_place, "an in-place operation on part of a tensor or on a view"),
}


@each_rule
@pytest.mark.parametrize("kind", HIDDEN)
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning")  # torch.utils.checkpoint's own
def test_what_may_hide_a_rectifier_is_refused(wrap, images, rule, kind):
    act, named = HIDDEN[kind]
    with pytest.raises(MethodError) as caught:
        RULES[rule](make(wrap, act), images, "class:1")
    assert str(caught.value).startswith(f"the network runs {named}")
    assert str(caught.value).endswith(
        f", in which a rectifier cannot be seen, so {rule} might silently be a plain gradient there. "
        "Write it as F.relu, switch it off in the network, or use another method."
    )


@each_rule
def test_a_non_reentrant_checkpoint_works(wrap, images, rule):
    expected = RULES[rule](make(wrap, F.relu), images, "class:1")
    result = RULES[rule](make(wrap, lambda x: checkpoint(F.relu, x, use_reentrant=False)), images, "class:1")
    assert torch.equal(result.values, expected.values)
    assert result.facts == expected.facts


@each_rule
def test_a_hook_of_the_callers_hides_nothing(wrap, images, rule):
    model = make(wrap, nn.ReLU())
    expected = RULES[rule](make(wrap, F.relu), images, "class:1")
    seen = []
    model.module.act.register_full_backward_hook(lambda *_: seen.append(1))
    result = RULES[rule](model, images, "class:1")
    assert torch.equal(result.values, expected.values)
    assert result.facts == expected.facts
    assert len(seen) == 3


@pytest.mark.parametrize("bound", [0.5, -1.0])
def test_a_clamp_elsewhere_than_at_zero_is_no_rectifier(wrap, images, bound):
    model = make(wrap, lambda x: x.clamp(min=bound))
    result = GuidedBackprop()(model, images, "class:1")
    leaf = images.double().requires_grad_()
    (plain,) = torch.autograd.grad(model.module(model.normalize(leaf))[:, 1].sum(), leaf)
    assert result.facts["coverage"] == "no activation between target and picture"
    torch.testing.assert_close(result.values, plain.float())


def test_the_rule_does_not_outlive_its_pass(wrap, images):
    """The next plain gradient of the same network is plain."""
    model = make(wrap, nn.ReLU(inplace=True))
    leaf = images.double().requires_grad_()

    def plain():
        return torch.autograd.grad(model.module(model.normalize(leaf))[:, 1].sum(), leaf)[0]

    before = plain()
    for method in RULES.values():
        method(model, images, "class:1")
    assert torch.equal(plain(), before)
