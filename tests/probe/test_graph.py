"""The graph: the same numbers as the network, layer by layer, and from the middle on."""

import re

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torchvision.models import vgg

from convscope.errors import AddressError, ModelError
from convscope.model import OUTPUT
from convscope.probe import graph, layout, record, replaced, resume, resume_at, untouched

PUBLISHED = {
    "resnet18": {},
    "googlenet": {"aux_logits": False, "init_weights": False},
    "squeezenet1_1": {},
    "mobilenet_v3_small": {},
    "densenet121": {},
    "vgg11_bn": {},
    "tf_efficientnet_lite0": {},
}
each_published = pytest.mark.parametrize("name", PUBLISHED)


def _seeded(make, size=None):
    """Random weights under which a signal neither dies nor explodes, or every comparison would be empty."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        net = make().eval()
        norms = [part for part in net.modules() if isinstance(part, nn.BatchNorm2d)]
        for part in net.modules():
            if isinstance(part, nn.Conv2d | nn.Linear) and size:
                nn.init.kaiming_normal_(part.weight)
        for norm in norms:
            norm.train().momentum = 1.0  # statistics of the one batch below
        if norms and size:
            with torch.no_grad():
                net(torch.rand(8, 3, *size) * 4 - 2)
    return net.eval()


@pytest.fixture(scope="session")
def published(wrap):
    """``published(name)``: a random network for 64 × 64 pictures, made (and so exported) once."""
    known = {}

    def make(name):
        if name not in known:
            net = _seeded(lambda: _network(name), (64, 64))
            known[name] = wrap(net, size=(64, 64), mean=0.45, std=0.25, name=name)
        return known[name]

    return make


def _network(name):
    if not hasattr(torchvision.models, name):
        return timm.create_model(name, num_classes=10)
    if name == "vgg11_bn":  # with a small head in place of its hundred million weights
        features = vgg.make_layers(vgg.cfgs["A"], batch_norm=True)
        return nn.Sequential(features, nn.Flatten(), nn.Linear(512 * 2 * 2, 10))
    return getattr(torchvision.models, name)(num_classes=10, **PUBLISHED[name])


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def by_hooks(model, images):
    """Every output of every layer, copied at once by hooks of the test's own; (layer, call) -> tensor."""
    seen, counts, handles = {}, {}, []
    for name, part in [*model.module.named_modules(), (OUTPUT, model.module)]:

        def note(_, __, output, name=name):
            if name and isinstance(output, torch.Tensor):
                seen[name, counts.get(name, 0)] = output.clone()
                counts[name] = counts.get(name, 0) + 1

        handles.append(part.register_forward_hook(note))
    with torch.no_grad():
        model.module(model.normalize(images))
    for handle in handles:
        handle.remove()
    return seen


def check(model, images, *, absent=()):
    """All layers in one evaluation, and the logits, equal the network's own."""
    traced, expected = graph(model), by_hooks(model, images)
    assert set(expected) - set(traced.layer_outputs) == set(absent)
    with untouched(model), torch.no_grad():
        goals = {at: traced.layer_outputs[at] for at in expected if at not in absent}
        values = traced.evaluate(model, set(goals.values()), {traced.input: model.normalize(images)})
    for at, name in goals.items():
        assert values[name].shape == expected[at].shape, at
        close(values[name], expected[at])
    return traced


@each_published
def test_every_layer_of_published_networks(published, pictures, name):
    model = published(name)
    idle = {(layer, 0) for layer, part in model.layers.items() if isinstance(part, nn.Identity)}
    traced = check(model, pictures(3, 3, 64, 64), absent=idle & set(layout(model).shapes))
    assert traced.dynamic
    assert traced.size == (64, 64)
    for step in traced.steps:
        assert not step.op.endswith("_"), step


# Layers around which something runs: a skip connection, a concatenation, a gate, or nothing.
MIDDLES = {
    "resnet18": ["conv1", "layer1.0.conv1", "layer2.0.downsample", "layer2.0.bn2", "layer3", "avgpool"],
    "googlenet": ["maxpool1", "inception3b.branch2", "inception4a.branch4.1", "inception5b"],
    "squeezenet1_1": ["features.3.squeeze", "features.6.expand1x1", "features.12", "classifier.1"],
    "mobilenet_v3_small": ["features.0", "features.1.block.1.fc1", "features.4.block.2", "features.12", "classifier.1"],
    "vgg11_bn": ["0.3", "0.15", "0.26"],
    "tf_efficientnet_lite0": ["conv_stem", "blocks.1.0.conv_dw", "blocks.4.1.bn2", "blocks.5.3", "conv_head"],
    "densenet121": ["features.conv0", "features.denseblock1.denselayer2", "features.denseblock3", "features.norm5"],
}


@each_published
def test_going_on_from_the_middle_equals_replacing(published, pictures, name):
    model, image = published(name), pictures(1, 3, 64, 64)
    clean = record(model, image, [*MIDDLES[name], "output"])
    for layer in MIDDLES[name]:
        noise = torch.randn(3, *clean[layer].shape[1:], generator=torch.Generator().manual_seed(1))
        variants = torch.cat([clean[layer], clean[layer] + noise[:2], torch.zeros_like(clean[layer])])
        kept = variants.clone()
        found = resume(model, image, layer, variants)
        close(found, replaced(model, image, {layer: variants}))
        close(found[:1], clean["output"])
        assert torch.equal(variants, kept)
        assert (found[1] - found[0]).abs().max() > 1e-3 * found.abs().max()  # the layer matters


class Net(nn.Module):
    """``body`` makes (n, 4, h, w), ``tail`` goes on."""

    def __init__(self, tail) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3, padding=1)
        self.other = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.same = nn.Identity()
        self.tail = tail

    def forward(self, x):
        return self.tail(self, self.body(x))


def _chain(net, x):
    x = net.act(net.norm(x))
    x += net.drop(net.other(x))
    x.mul_(2).sub_(0.5).clamp_(min=-0.25)
    return F.relu_(x)


def _skip_overwritten(net, x):
    kept = x
    x = net.other(net.act(x))
    return kept + x  # what the in-place ReLU left


def _reused(net, x):
    return net.act(net.other(net.act(net.other(net.act(x)))))


def _functional(net, x):
    y = F.avg_pool2d(F.pad(x, (1, 0, 0, 1)), 2)
    return torch.cat([y, F.max_pool2d(y, 3, 1, 1), torch.maximum(y, y.mean())], dim=1).flatten(2).transpose(1, 2)


def _gate(net, x):
    return x * torch.sigmoid(net.other(x).mean(dim=(2, 3), keepdim=True))


def _folded_into_the_batch(net, x):
    n, c, h, w = x.shape
    return net.other(x).view(n * 2, c // 2, h, w).relu().view(n, -1)


TAILS = [_chain, _skip_overwritten, _reused, _functional, _gate, _folded_into_the_batch]


@pytest.mark.parametrize("tail", TAILS, ids=lambda f: f.__name__[1:])
def test_in_place_chains_and_other_spellings(wrap, pictures, tail):
    model = wrap(_seeded(lambda: Net(tail)), size=(8, 10), mean=0.4, std=0.3)
    images = pictures(3, 3, 8, 10)
    check(model, images)
    body = record(model, images, ["body"])["body"]
    variants = body + torch.linspace(-1, 1, 10)
    close(resume(model, images[:1], "body", variants), replaced(model, images[:1], {"body": variants}))


def test_small_net_and_each_call_of_its_reused_relu(small_model, pictures):
    images = pictures(2, 3, 16, 16)
    traced = check(small_model, images)
    assert traced.layer_outputs["relu", 0] != traced.layer_outputs["relu", 1]
    for layer in ["relu~0", "relu~1", "block", "conv2"]:
        variants = record(small_model, images, [layer])[layer] * 3
        found = resume(small_model, images[:1], layer, variants)
        close(found, replaced(small_model, images[:1], {layer: variants}))


def test_parameters_are_read_as_they_are_now(small_model, pictures):
    images = pictures(1, 3, 16, 16)
    variants = record(small_model, images, ["conv2"])["conv2"]
    before = resume(small_model, images, "conv2", variants)
    with torch.no_grad():
        small_model.module.fc.bias += 1
    close(resume(small_model, images, "conv2", variants), before + 1)


def test_traced_once_per_size(small_model):
    first = graph(small_model)
    assert graph(small_model, (16, 16)) is first
    assert graph(small_model, (20, 18)) is not first
    assert graph(small_model, (20, 18)).by_name[graph(small_model, (20, 18)).layer_outputs["conv1", 0]].shape == (
        first.batch,
        6,
        20,
        18,
    )


def test_only_what_lies_between_is_run(small_model, pictures):
    """Known values cut the plan: what only they depend on is not needed, so its value need not be there."""
    traced, images = graph(small_model), pictures(2, 3, 16, 16)
    late = traced.layer_outputs["conv2", 0]
    value = record(small_model, images, ["conv2"])["conv2"]
    with untouched(small_model), torch.no_grad():
        found = traced.evaluate(small_model, [traced.output], {late: value})[traced.output]
    close(found, record(small_model, images, ["output"])["output"])
    assert traced.crossing([late], [traced.output]) == ()
    around = traced.crossing([traced.layer_outputs["block", 0]], [traced.output])
    assert around == (traced.layer_outputs["pool", 0],)


HEADS = {
    "softmax": lambda net, x: x.mean((2, 3)).softmax(1),
    "log_softmax": lambda net, x: F.log_softmax(x.mean((2, 3)), dim=1),
    "sigmoid": lambda net, x: x.mean((2, 3)).sigmoid_(),
    "special": lambda net, x: torch.special.softmax(x.mean((2, 3)), 1),
    "behind another": lambda net, x: (x.softmax(1) * x).mean((2, 3)).softmax(1),
    "in a dictionary": lambda net, x: {"aux": x, "out": x.mean((2, 3)).softmax(1)},
    "in a tuple": lambda net, x: (x.mean((2, 3)).softmax(1), x),
    "none, a gate": lambda net, x: (x.softmax(1) * x).mean((2, 3)),
}


@pytest.mark.parametrize("head", HEADS)
def test_the_graph_ends_at_the_logits_too(wrap, pictures, head):
    model, images = wrap(_seeded(lambda: Net(HEADS[head])), size=(6, 7)), pictures(1, 3, 6, 7)
    seen = record(model, images, ["body", "output"])
    close(resume(model, images, "body", seen["body"]), seen["output"])
    assert layout(model).head == ("logits" if head.startswith("none") else layout(model).head)
    assert (seen["output"].sum(dim=1) - 1).abs().min() > 1e-3  # logits, no probabilities


def _by_value(net, x):
    return x if float(x.mean()) > 1e9 else x * 2


def _by_numpy(net, x):
    return x * torch.from_numpy(x.detach().numpy().copy()).mean()


def _part_written(net, x):
    whole = net.other(x)
    x[:, :2].relu_()
    return whole + x


def _view_overwritten(net, x):
    flat = x.view(len(x), -1)
    net.act(x)
    return flat * 2  # what was written, in another shape


def _autocast(net, x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return net.other(x).float()


def _grad_mode(net, x):
    with torch.no_grad():
        return net.other(x)


CANNOT = {
    _by_value: r"net cannot be traced by torch\.export: .+\.$",
    _by_numpy: r"net cannot be traced by torch\.export: .+\.$",
    _part_written: r"net writes into part of a tensor in place \(.*relu_.*\), which cannot be fol",
    _view_overwritten: r"net writes into part of a tensor in place \(.*relu_.*\), which cannot be fol",
    _autocast: r"net has a part with its own autocast, grad mode or control flow, which cannot be followed\.$",
}


@pytest.mark.parametrize("tail", CANNOT, ids=lambda f: f.__name__[1:])
def test_a_network_that_cannot_be_followed_says_why(wrap, pictures, trace_of, tail):
    model, images = wrap(_seeded(lambda: Net(tail)), size=(6, 7)), pictures(1, 3, 6, 7)
    before = trace_of(model, images)
    with pytest.raises(ModelError, match="^" + CANNOT[tail]) as caught:
        graph(model)
    assert "\n" not in str(caught.value)
    assert trace_of(model, images) == before
    assert record(model, images, ["body"])["body"].shape == (1, 4, 6, 7)  # hooks still do
    with pytest.raises(ModelError, match="^" + CANNOT[tail]):
        resume(model, images, "body", torch.zeros(1, 4, 6, 7))


MAY = {"no_grad": _grad_mode, "checkpoint": lambda net, x: checkpoint(net.other, x, use_reentrant=False)}


@pytest.mark.parametrize("name", MAY)
def test_what_may_be_followed_is_right_or_refused(wrap, pictures, name):
    """Whether export takes these depends on torch's version; a wrong number is never the answer."""
    model, images = wrap(_seeded(lambda: Net(MAY[name])), size=(6, 7)), pictures(2, 3, 6, 7)
    try:
        graph(model)
    except ModelError as error:
        assert re.search(r"its own autocast, grad mode|cannot be traced by torch\.export", str(error))
    else:
        check(model, images)


def test_a_network_for_one_batch_size_alone(wrap, pictures):
    model = wrap(_seeded(lambda: Net(lambda net, x: net.other(x).view(2, -1))), size=(6, 7))
    # its own layout is learned on one picture, so it must run there too
    assert layout(model).shapes["output", 0] == (2, 2 * 6 * 7)
    traced = graph(model)
    assert not traced.dynamic
    image = pictures(1, 3, 6, 7)
    body = traced.layer_outputs["body", 0]
    with pytest.raises(
        ModelError, match=r"^net was traced for batches of 2 alone, got 3 variants\. Use replaced\(\)\.$"
    ):
        resume_at(model, image, body, torch.zeros(3, 4, 6, 7))
    variants = torch.randn(2, 4, 6, 7, generator=torch.Generator().manual_seed(0))
    close(resume_at(model, image, body, variants), replaced(model, image, {"body": variants}))


WRONG = {
    "shape": (
        "body",
        (1, 3, 6, 7),
        (2, 4, 5, 7),
        r"^expected one image and variants of shape \(n, 4, 6, 7\) of 'body', got 1 and \(2, 4, 5",
    ),
    "images": ("body", (2, 3, 6, 7), (2, 4, 6, 7), r"^expected one image and variants .*, got 2 and \(2, 4, 6, 7\)\.$"),
    "identity": (
        "same",
        (1, 3, 6, 7),
        (1, 4, 6, 7),
        r"^layer 'same' of net computes nothing of its own \(an identity\?\)",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_variants_that_do_not_fit(wrap, pictures, wrong):
    layer, images, variants, text = WRONG[wrong]
    model = wrap(_seeded(lambda: Net(lambda net, x: net.other(net.same(x)))), size=(6, 7))
    with pytest.raises(ModelError, match=text):
        resume(model, pictures(*images), layer, torch.zeros(variants))


def test_layers_that_do_not_run_or_exist(wrap, pictures):
    model = wrap(_seeded(lambda: Net(lambda net, x: net.other(x))), size=(6, 7))
    for layer, text in [("norm", "does not run"), ("bdoy", "Did you mean 'body'"), ("body~1", "got ~1")]:
        with pytest.raises(AddressError, match=text):
            resume(model, pictures(1, 3, 6, 7), layer, torch.zeros(1, 4, 6, 7))
