"""Gradients of any target by pixels and by layers, against finite differences and plain autograd."""

import re

import pytest
import torch
from torch import nn

from convscope.errors import AddressError, MethodError, TargetError
from convscope.model import Address
from convscope.probe import (
    batch_target,
    direction,
    input_gradient,
    layer_gradients,
    layout,
    record,
    score,
    target,
    untouched,
)


class Smooth(nn.Module):
    """No kinks, so finite differences are exact; nested, with a skip connection and a layer used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 3, 3, padding=1)
        self.act = nn.Tanh()
        self.block = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Softplus())
        self.side = nn.Conv2d(3, 2, 1)
        self.fc = nn.Linear(3, 4)

    def forward(self, x):
        x = self.act(self.stem(x))
        self.side(x)
        x = self.act(x + self.block(x))
        return self.fc(x.mean(dim=(2, 3)))


@pytest.fixture
def model(wrap):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        net = Smooth().double()
    for parameter in net.parameters():
        parameter.data.mul_(2)
    return wrap(net, size=(5, 6), channels=2, mean=0.3, std=0.2, name="smooth")


@pytest.fixture
def images(pictures):
    return pictures(3, 2, 5, 6, dtype=torch.float64)


VECTOR = torch.tensor([1.0, -2.0, 0.5])

# How a target is spelled, and the same number by hand, from recorded layers.
TARGETS = {
    "class": ("class:2", lambda seen: seen["output"][:, 2]),
    "class:top": ("class:top", lambda seen: seen["output"].max(dim=1).values),
    "class:top2": ("class:top2", lambda seen: seen["output"].sort(dim=1).values[:, -2]),
    "margin": ("class:0 - class:3", lambda seen: seen["output"][:, 0] - seen["output"][:, 3]),
    "margin of the top": (
        "class:top - class:top3",
        lambda seen: seen["output"].sort(dim=1).values[:, -1] - seen["output"].sort(dim=1).values[:, -3],
    ),
    "sum with a channel": ("class:1 + block:0", lambda seen: seen["output"][:, 1] + seen["block"][:, 0].mean((1, 2))),
    "channel": ("block:1", lambda seen: seen["block"][:, 1].mean(dim=(1, 2))),
    "element": ("block.0:2@4,5", lambda seen: seen["block.0"][:, 2, 4, 5]),
    "position": ("stem@1,2", lambda seen: seen["stem"][:, :, 1, 2].mean(dim=1)),
    "layer": ("block", lambda seen: seen["block"].mean(dim=(1, 2, 3))),
    "first call": ("act~0:1@0,0", lambda seen: seen["act~0"][:, 1, 0, 0]),
    "last call": ("act:1@0,0", lambda seen: seen["act~1"][:, 1, 0, 0]),
    "algebra": (
        lambda model: 2.0 * target("class:1", model) - 0.5 * target("block:0", model) - -target("stem:1", model),
        lambda seen: (
            2 * seen["output"][:, 1] - 0.5 * seen["block"][:, 0].mean((1, 2)) + seen["stem"][:, 1].mean((1, 2))
        ),
    ),
    "direction": (
        lambda model: direction(model, "block", VECTOR),
        lambda seen: seen["block"].mean(dim=(2, 3)) @ VECTOR.double(),
    ),
    "per image": (
        ["class:1", "block:0", "class:top"],
        lambda seen: torch.stack(
            [seen["output"][0, 1], seen["block"][1, 0].mean(), seen["output"][2 % len(seen["output"])].max()]
        ),
    ),
}
each_target = pytest.mark.parametrize("kind", TARGETS)


def ask(model, images, wanted):
    return batch_target(model, images, wanted(model) if callable(wanted) else wanted)


def everything(model, images):
    return record(model, images, ["stem", "act", "block", "block.0", "output"])


@each_target
def test_scores_are_what_they_say(model, images, kind):
    spelled, by_hand = TARGETS[kind]
    with untouched(model):
        found = score(model, images, ask(model, images, spelled))
    torch.testing.assert_close(found, by_hand(everything(model, images)))


@each_target
def test_the_pictures_gradient_equals_finite_differences(model, images, kind):
    spelled, by_hand = TARGETS[kind]
    question = ask(model, images, spelled)
    kept = images.clone()
    with untouched(model):
        gradient, scores = input_gradient(model, images, question)
    assert torch.equal(images, kept)
    torch.testing.assert_close(scores, by_hand(everything(model, images)))
    for place in [(0, 0, 0), (1, 2, 3), (0, 4, 5)]:
        step = torch.zeros_like(images)
        step[(slice(None), *place)] = 1e-5
        rise = by_hand(everything(model, images + step)) - by_hand(everything(model, images - step))
        torch.testing.assert_close(gradient[(slice(None), *place)], rise / 2e-5, rtol=1e-6, atol=1e-8)
    assert gradient.abs().amax(dim=(1, 2, 3)).min() > 1e-3


def plain_autograd(model, images, layer, call, index):
    """∂ logit / ∂ layer by the graph of the whole network, with a hook of the test's own."""
    seen = []
    handle = model.module.get_submodule(layer).register_forward_hook(lambda _, __, output: seen.append(output))
    logits = model.module(model.normalize(images.requires_grad_()))
    handle.remove()
    return torch.autograd.grad(logits[:, index].sum(), seen[call])[0]


LAYERS = [("stem", 0), ("act", 0), ("block.0", 0), ("block.1", 0), ("block", 0), ("act", 1)]


@pytest.mark.parametrize(("layer", "call"), LAYERS)
def test_a_layers_gradient_equals_plain_autograd(model, images, layer, call):
    tap = Address(layer, call)
    with untouched(model):
        result = layer_gradients(model, images, [tap], batch_target(model, images, "class:2"))
    torch.testing.assert_close(result.gradients[tap], plain_autograd(model, images.clone(), layer, call, 2))
    name = layout(model).name(tap)
    assert torch.equal(result.values[tap], record(model, images, [name])[name])
    assert torch.equal(result.scores, record(model, images, ["output"])["output"][:, 2])
    assert not any(tensor.requires_grad for tensor in (*result.values.values(), *result.gradients.values()))


@pytest.mark.parametrize("order", [1, -1])
def test_many_layers_at_once_nested_and_in_any_order(model, images, order):
    """A layer inside another, one behind another and two calls of one: each as if it was asked for alone."""
    taps = [Address(*layer) for layer in LAYERS][::order]
    with untouched(model):
        question = batch_target(model, images, "class:1 - class:2")
        together = layer_gradients(model, images, taps, question)
        assert list(together.gradients) == taps
        for tap in taps:
            alone = layer_gradients(model, images, [tap], question)
            torch.testing.assert_close(together.gradients[tap], alone.gradients[tap])


def test_in_place_networks_have_the_gradients_of_plain_ones(small_model, pictures):
    """``SmallNet`` overwrites nearly every activation; a functional copy of it overwrites none."""
    images, net = pictures(2, 3, 16, 16), small_model.module
    taps = [Address("bn1", 0), Address("relu", 0), Address("block.conv", 0), Address("relu", 1), Address("conv2", 0)]
    with untouched(small_model):
        result = layer_gradients(small_model, images, taps, batch_target(small_model, images, "class:3"))
        pixels, _ = input_gradient(small_model, images, batch_target(small_model, images, "class:3"))
    leaf = images.clone().requires_grad_()
    norm = net.bn1(net.conv1(small_model.normalize(leaf)))
    first = norm.relu()
    pooled = net.pool(first)
    inner = net.block.conv(pooled)
    second = (pooled + inner.relu()).relu()
    late = net.conv2(second)
    logit = net.fc(late.relu().mean(dim=(2, 3)))[:, 3].sum()
    plain = torch.autograd.grad(logit, [leaf, norm, first, inner, second, late])
    for found, expected in zip([pixels, *result.gradients.values()], plain, strict=True):
        torch.testing.assert_close(found, expected)


@each_target
def test_a_batch_equals_its_pictures_alone(model, images, kind):
    spelled, _ = TARGETS[kind]
    tap = Address("stem", 0)
    with untouched(model):
        if callable(spelled):
            spelled = spelled(model)
        pixels, scores = input_gradient(model, images, batch_target(model, images, spelled))
        layers = None
        if kind != "position":  # which lies on the stem itself
            layers = layer_gradients(model, images, [tap], batch_target(model, images, spelled)).gradients[tap]
        for index in range(3):
            one, wanted = images[index : index + 1], spelled[index] if isinstance(spelled, list) else spelled
            alone, value = input_gradient(model, one, batch_target(model, one, wanted))
            torch.testing.assert_close(pixels[index], alone[0])
            torch.testing.assert_close(scores[index], value[0])
            if layers is not None:
                single = layer_gradients(model, one, [tap], batch_target(model, one, wanted))
                torch.testing.assert_close(layers[index], single.gradients[tap][0])


def test_channels_last_batches_have_the_same_gradients(small_model, pictures):
    images, tap = pictures(5, 3, 16, 16), Address("block", 0)
    with untouched(small_model):
        pixels, _ = input_gradient(small_model, images, batch_target(small_model, images, "class:0"))
        layers = layer_gradients(small_model, images, [tap], batch_target(small_model, images, "class:0"))
        for index in range(5):
            one = images[index : index + 1]
            question = batch_target(small_model, one, "class:0")
            torch.testing.assert_close(pixels[index], input_gradient(small_model, one, question)[0][0])
            alone = layer_gradients(small_model, one, [tap], question).gradients[tap]
            torch.testing.assert_close(layers.gradients[tap][index], alone[0])


def test_the_top_class_is_settled_in_the_same_pass(model, images):
    runs = []
    layout(model)
    handle = model.module.fc.register_forward_hook(lambda *_: runs.append(1))
    question = batch_target(model, images, "class:top")
    assert not question.settled
    with pytest.raises(TargetError, match=r"^'class:top' is settled by the first pass; it has not run yet\.$"):
        _ = question.names
    with untouched(model):
        _, scores = input_gradient(model, images, question)
    handle.remove()
    logits = record(model, images, ["output"])["output"]
    assert runs == [1]
    assert question.names == tuple(f"class:{index}" for index in logits.argmax(dim=1).tolist())
    with untouched(model):  # settled for good: pictures that would be answered otherwise do not unsettle it
        torch.testing.assert_close(score(model, images.flip(0), question), logits.flip(0)[range(3), logits.argmax(1)])
        assert torch.equal(score(model, images, question.part(1)), logits[:, logits[1].argmax()])
    assert torch.equal(scores, logits.max(dim=1).values)


def test_targets_repeat_in_blocks_for_copies_of_the_pictures(model, images):
    question = batch_target(model, images, ["class:0", "block:1", "class:3"])
    copies = images.repeat_interleave(2, dim=0)
    with untouched(model):
        expected = score(model, images, question).repeat_interleave(2)
        torch.testing.assert_close(score(model, copies, question), expected)
        with pytest.raises(TargetError, match=r"^3 targets for 4 images\.$"):
            score(model, copies[:4], question)


NAMES = {
    "class:1 - class:2": "class:1 - class:2",
    "class:1 + block:0 - block:1": "class:1 + block:0 - block:1",
    "  block.0:2@4,5 ": "block.0:2@4,5",
}


@pytest.mark.parametrize("spelled", NAMES)
def test_names_of_targets(model, spelled):
    assert target(spelled, model).name == NAMES[spelled]


def test_a_difference_of_differences_keeps_its_brackets(model, images):
    total = target("class:1", model) - (target("class:2", model) - 0.5 * target("class:3", model))
    assert total.name == "class:1 - (class:2 - 0.5*(class:3))"
    logits = record(model, images, ["output"])["output"]
    with untouched(model):
        found = score(model, images, batch_target(model, images, total))
    torch.testing.assert_close(found, logits[:, 1] - logits[:, 2] + 0.5 * logits[:, 3])


WRONG = {
    "class:4": (TargetError, r"^class:4: smooth has 4 channels there, 0 to 3\.$"),
    "block:3": (TargetError, r"^block:3: smooth has 3 channels there, 0 to 2\.$"),
    "block:0@5,0": (TargetError, r"^block:0@5,0: block has 5×6 positions, got row 5, column 0 \(counted from 0\)\.$"),
    "block@4,6": (TargetError, r"^block@4,6: block has 5×6 positions, got row 4, column 6 \(counted from 0\)\.$"),
    "class:1@0,0": (TargetError, r"^class:1@0,0: output has no positions, got row 0, column 0 \(counted from 0\)\.$"),
    "fc:7": (TargetError, r"^fc:7: smooth has 4 channels there, 0 to 3\.$"),
    "class:top9": (TargetError, r"^class:top9 asked of a network with 4 classes\.$"),
    "blok:1": (AddressError, r"^no layer 'blok' in smooth\. Did you mean 'block'"),
    "act~2": (AddressError, r"^layer 'act' of smooth runs 2 times: calls ~0 to ~1, got ~2\.$"),
    "class:cat": (AddressError, r"^smooth has no class names, so 'class:cat' means nothing\."),
    "block:-1": (AddressError, r"^not an address: 'block:-1'\. Expected LAYER, "),
}


@pytest.mark.parametrize("spelled", WRONG)
def test_targets_that_do_not_exist(model, images, spelled):
    error, text = WRONG[spelled]
    with untouched(model), pytest.raises(error, match=text) as caught:
        input_gradient(model, images, batch_target(model, images, spelled))
    assert "\n" not in str(caught.value)


def test_a_number_of_targets_that_does_not_fit(model, images):
    with pytest.raises(TargetError, match=r"^2 targets for 3 images\. Give one target, or one per image\.$"):
        batch_target(model, images, ["class:0", "class:1"])
    with pytest.raises(TargetError, match=r"^'class:top' depends on the picture\. Give a class, or use it as the "):
        target("class:top", model)
    question = batch_target(model, images, direction(model, "block", torch.ones(4)))
    with (
        untouched(model),
        pytest.raises(TargetError, match=r"^block has 3 channels, the direction has shape \(4,\)\.$"),
    ):
        input_gradient(model, images, question)


NO_INFLUENCE = {
    "behind the target": (
        "act~1",
        "block:0",
        r"^no gradient leads from block:0 back to act~1: the target lies before ",
    ),
    "beside the way": ("side", "class:1", r"^no gradient leads from class:1 back to side: the target lies before it, "),
    "two, one of them beside": ("stem side", "class:1", r"^side does not influence class:1\. Choose an earlier layer"),
    "the later of two": ("block stem", "act~0:1", r"^block does not influence act~0:1\. Choose an earlier layer, or"),
}


@pytest.mark.parametrize("case", NO_INFLUENCE)
def test_a_layer_without_influence_is_an_error(model, images, case):
    layers, wanted, text = NO_INFLUENCE[case]
    taps = [layout(model).tap(Address(*_call(layer)), model) for layer in layers.split()]
    with untouched(model), pytest.raises(MethodError, match=text):
        layer_gradients(model, images, taps, batch_target(model, images, wanted))


def _call(layer):
    name, _, call = layer.partition("~")
    return (name, int(call)) if call else (name,)


class Cut(nn.Module):
    """A network that cuts the way back."""

    def __init__(self, cut) -> None:
        super().__init__()
        self.conv, self.head, self.cut = nn.Conv2d(2, 3, 3), nn.Conv2d(3, 2, 1), cut

    def forward(self, x):
        return self.head(self.cut(self.conv(x))).mean(dim=(2, 3))


def _in_no_grad(x):
    with torch.no_grad():
        return x * 2


@pytest.mark.parametrize("cut", [torch.detach, torch.zeros_like, _in_no_grad, torch.argsort], ids=lambda f: f.__name__)
def test_a_network_that_cuts_the_way_is_an_error(wrap, pictures, cut):
    net = Cut(lambda x: cut(x).to(x.dtype))
    model, images = wrap(net, size=(5, 6), channels=2), pictures(1, 2, 5, 6)
    text = re.escape(
        "no gradient leads from class:1 back to the picture: the target lies before it, or the network cuts"
    )
    with untouched(model), pytest.raises(MethodError, match=text):
        input_gradient(model, images, batch_target(model, images, "class:1"))
    with untouched(model):  # what lies behind the cut still has one
        question = batch_target(model, images, "class:1")
        gradient = layer_gradients(model, images, [Address("head", 0)], question).gradients[Address("head", 0)]
    expected = torch.zeros(1, 2, 3, 4)
    expected[:, 1] = 1 / 12
    torch.testing.assert_close(gradient, expected)
