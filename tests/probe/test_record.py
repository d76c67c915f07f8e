"""Recording: what a layer returned, as it was, for any layer and any spelling of the network."""

from collections import OrderedDict
from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from convscope.errors import AddressError, ModelError
from convscope.probe import layout, record, replaced


class Net(nn.Module):
    """``body`` maps (n, 3, h, w) to (n, 4, h, w), ``tail`` takes it from there."""

    def __init__(self, tail=lambda x: x, conv=None) -> None:
        super().__init__()
        self.body = conv or nn.Conv2d(3, 4, 3, padding=1)
        self.tail = tail

    def forward(self, x):
        return self.tail(self.body(x))


def hooked(module, layer, inputs):
    """What a layer returns at its last call, by a hook of the test's own that copies at once."""
    seen = []
    handle = module.get_submodule(layer).register_forward_hook(lambda _, __, output: seen.append(output.clone()))
    with torch.no_grad():
        module(inputs)
    handle.remove()
    return seen[-1]


OVERWRITES = {
    "module": nn.ReLU(inplace=True),
    "functional": lambda x: F.relu(x, inplace=True),
    "torch.relu_": torch.relu_,
    "through a view": lambda x: x.view(len(x), -1).relu_(),
    "half": lambda x: x[:, :2].zero_().sum(dim=(1, 2, 3))[:, None] + x.mean(dim=(2, 3)),
    "arithmetic": lambda x: x.mul_(0).add_(7),
}


@pytest.mark.parametrize("overwrite", OVERWRITES)
def test_a_record_survives_what_the_network_writes_later(wrap, pictures, overwrite):
    model, images = wrap(Net(OVERWRITES[overwrite])), pictures(2, 3, 6, 6)
    with torch.no_grad():
        before, after = model.module.body(images), model.module(images)
    result = record(model, images, ["body", "output"])
    assert torch.equal(result["body"], before)
    assert torch.equal(result["output"], after)
    assert (before < 0).any()  # or nothing would have been overwritten
    result["body"].zero_()  # and it is the caller's own
    assert torch.equal(record(model, images, ["body"])["body"], before)


def test_the_last_relu_of_a_densenet(wrap, pictures):
    """``features`` ends in a batch norm whose output ``F.relu(inplace=True)`` overwrites."""

    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4)))
            self.classifier = nn.Linear(4, 2)

        def forward(self, x):
            x = F.relu(self.features(x), inplace=True)
            return self.classifier(F.adaptive_avg_pool2d(x, 1).flatten(1))

    model, images = wrap(Dense().eval()), pictures(2, 3, 9, 9)
    result = record(model, images, ["features", "features.norm", "output"])
    with torch.no_grad():
        assert torch.equal(result["features"], model.module.features(images))
        assert torch.equal(result["output"], model.module(images))
    assert torch.equal(result["features.norm"], result["features"])
    assert (result["features"] < 0).any()


def test_every_layer_equals_an_independent_hook(small_model, pictures):
    images = pictures(2, 3, 16, 16)
    names = [name for name in small_model.layers if name != "relu"]
    result = record(small_model, images, names)
    assert list(result) == names
    inputs = small_model.normalize(images)
    for name in names:
        assert torch.equal(result[name], hooked(small_model.module, name, inputs)), name


def test_a_reused_layer_has_one_entry_per_call(small_model, pictures):
    images = pictures(1, 3, 16, 16)
    everything = record(small_model, images, ["relu", "block", "bn1", "pool"])
    assert list(everything) == ["relu~0", "relu~1", "block", "bn1", "pool"]
    assert torch.equal(everything["relu~0"], everything["bn1"].relu())
    assert torch.equal(everything["relu~1"], (everything["pool"] + everything["block"]).relu())
    for call in ("relu~1", "relu~0"):
        assert list(record(small_model, images, [call])) == [call]
        assert torch.equal(record(small_model, images, [call])[call], everything[call])
    assert list(record(small_model, images, ["conv1~0"])) == ["conv1"]


GLOBS = {
    "conv*": ["conv1", "conv2"],
    "block.*": ["block.conv", "block.relu", "block.drop"],
    "?[co]*": ["fc", "conv1", "conv2", "pool"],
    "*relu": ["relu~0", "relu~1", "block.relu"],
    "re*~1": ["relu~1"],
}


@pytest.mark.parametrize("pattern", GLOBS)
def test_globs(small_model, pictures, pattern):
    assert set(record(small_model, pictures(1, 3, 16, 16), [pattern])) == set(GLOBS[pattern])


def test_asked_twice_recorded_once_in_the_order_asked(small_model, pictures):
    names = ["output", "conv2", "conv*", "relu~1", "relu", "conv1"]
    assert list(record(small_model, pictures(1, 3, 16, 16), names)) == ["output", "conv2", "conv1", "relu~1", "relu~0"]


def test_a_glob_takes_the_layers_that_run(wrap, pictures):
    net = nn.Sequential(OrderedDict(a1=nn.Conv2d(3, 2, 1), b=nn.ReLU()))
    net.b.a2 = nn.Conv2d(2, 2, 1)
    net.b.a3 = nn.Conv2d(2, 2, 1)
    model = wrap(net)
    assert list(record(model, pictures(1, 3, 4, 4), ["*a?"])) == ["a1"]
    with pytest.raises(AddressError, match=r"does not run"):
        record(model, pictures(1, 3, 4, 4), ["b.a*"])


def test_the_pass_ends_at_the_deepest_tap(wrap, pictures):
    called = []
    parts = [nn.Conv2d(3, 3, 1) for _ in range(4)]
    for index, part in enumerate(parts):
        part.register_forward_pre_hook(lambda *_, index=index: called.append(index))
    model = wrap(nn.Sequential(*parts))
    layout(model)
    for wanted, expected in [(["0"], [0]), (["2", "1"], [0, 1, 2]), (["output"], [0, 1, 2, 3]), ([], [0, 1, 2, 3])]:
        called.clear()
        assert list(record(model, pictures(1, 3, 4, 4), wanted)) == wanted
        assert called == expected


def test_the_end_of_the_pass_gets_through_the_networks_own_except(wrap, pictures):
    class Careful(Net):
        def forward(self, x):
            try:
                return self.body(x)
            except Exception:  # noqa: BLE001
                swallowed.append(1)
                return x

    swallowed, model = [], wrap(Careful())
    assert record(model, pictures(1, 3, 4, 4), ["body"])["body"].shape == (1, 4, 4, 4)
    assert not swallowed


class Pair(NamedTuple):
    first: torch.Tensor
    second: None


CONTAINERS = {
    "tuple": lambda x: (x, x * 2),
    "list": lambda x: [x, 1],
    "named tuple": lambda x: Pair(x, None),
    "logits": lambda x: {"features": x * 3, "logits": x},
    "out": lambda x: {"aux": x * 3, "out": x},
    "single key": lambda x: {"scores": x},
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_the_main_tensor_of_a_container(wrap, pictures, kind):
    class Inner(nn.Module):
        def forward(self, x):
            return CONTAINERS[kind](x.relu())

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def forward(self, x):
            found = self.inner(x)
            assert type(found) is type(CONTAINERS[kind](x))
            values = list(found.values()) if isinstance(found, dict) else list(found)
            plain = [value for value in values if isinstance(value, torch.Tensor)]
            return CONTAINERS[kind](sum(plain))

    model, images = wrap(Outer()), pictures(1, 3, 4, 4)
    result = record(model, images, ["inner", "output"])
    assert torch.equal(result["inner"], images)
    weight = sum(float(value.mean()) for value in _tensors(CONTAINERS[kind](torch.ones(1))))
    assert torch.allclose(result["output"], images * weight)
    changed = replaced(model, images, {"inner": images + 1})  # replaces the main tensor alone
    assert torch.allclose(changed, images * weight + 1)


def _tensors(found):
    values = found.values() if isinstance(found, dict) else found
    return [value for value in values if isinstance(value, torch.Tensor)]


@pytest.mark.parametrize("output", [{"a": 1, "b": 2}, "text", (), (None, 1)], ids=str)
def test_an_output_without_a_main_tensor(wrap, pictures, output):
    model = wrap(Net(lambda x: output))
    with pytest.raises(ModelError, match=r"^layer 'output' of net returns .*, in which no single tensor stands out\. "):
        record(model, pictures(1, 3, 4, 4), ["output"])


HEADS = {
    "nn.Softmax": ("softmax", nn.Softmax(dim=1)),
    "F.softmax": ("softmax", lambda x: F.softmax(x, dim=1)),
    "F.softmax, input by name": ("softmax", lambda x: F.softmax(input=x, dim=1)),
    "torch.softmax": ("softmax", lambda x: torch.softmax(x, 1)),
    "x.softmax": ("softmax", lambda x: x.softmax(1)),
    "torch.special.softmax": ("softmax", lambda x: torch.special.softmax(x, 1)),
    "nn.LogSoftmax": ("log_softmax", nn.LogSoftmax(dim=1)),
    "F.log_softmax": ("log_softmax", lambda x: F.log_softmax(x, dim=1)),
    "torch.log_softmax": ("log_softmax", lambda x: torch.log_softmax(x, 1)),
    "x.log_softmax": ("log_softmax", lambda x: x.log_softmax(1)),
    "torch.special.log_softmax": ("log_softmax", lambda x: torch.special.log_softmax(x, 1)),
    "nn.Sigmoid": ("sigmoid", nn.Sigmoid()),
    "F.sigmoid": ("sigmoid", F.sigmoid),
    "torch.sigmoid": ("sigmoid", torch.sigmoid),
    "torch.sigmoid_": ("sigmoid", torch.sigmoid_),
    "x.sigmoid": ("sigmoid", lambda x: x.sigmoid()),
    "x.sigmoid_": ("sigmoid", lambda x: x.sigmoid_()),
    "torch.special.expit": ("sigmoid", torch.special.expit),
    "behind an intermediate softmax": ("softmax", lambda x: (x * x.softmax(1) + x).softmax(1)),
    "in a dictionary": ("softmax", lambda x: {"out": x.softmax(1)}),
    "none": ("logits", lambda x: x),
    "softmax and more": ("logits", lambda x: x.softmax(1) * 2),
    "softmax written over": ("logits", lambda x: x.softmax(1).mul_(2)),
    "an intermediate gate": ("logits", lambda x: x * x.sigmoid()),
}
BEFORE_THE_HEAD = {"behind an intermediate softmax": lambda x: x * x.softmax(1) + x}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("pooled", [True, False])
def test_a_final_softmax_is_bypassed_in_every_spelling(wrap, pictures, head, pooled):
    kind, function = HEADS[head]

    def tail(x):
        return function(x.mean(dim=(2, 3)) if pooled else x)

    model, images = wrap(Net(tail)), pictures(2, 3, 5, 5)
    with torch.no_grad():
        body = model.module.body(images)
        body = body.mean(dim=(2, 3)) if pooled else body
        before_it = function if kind == "logits" else BEFORE_THE_HEAD.get(head, lambda x: x)
        expected = before_it(body.clone())
    assert layout(model).head == kind
    result = record(model, images, ["output", "body"])
    assert torch.equal(result["output"], expected)
    assert torch.equal(replaced(model, images, {"body": result["body"]}), expected)


def test_a_single_logit_squeezed_behind_its_sigmoid(wrap, pictures):
    model = wrap(Net(lambda x: x.mean(dim=(1, 2, 3))[:, None].sigmoid().squeeze(1)))
    images = pictures(3, 3, 5, 5)
    result = record(model, images, ["output", "body"])
    assert torch.equal(result["output"], result["body"].mean(dim=(1, 2, 3))[:, None])


class Order(nn.Module):
    """Convolutions whose kernels differ by memory order, then a head that may insist on the plain one."""

    def __init__(self, head) -> None:
        super().__init__()
        self.conv, self.deep = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.head = head

    def forward(self, x):
        return self.head(self.deep(self.conv(x).relu_()))


ORDERS = {
    "flatten": lambda x: x.flatten(1)[:, :7],
    "mean": lambda x: x.mean(dim=(2, 3)),
    "view": lambda x: x.view(len(x), -1)[:, :7],
    "reshape": lambda x: x.reshape(len(x), 2, 4, *x.shape[2:]).transpose(1, 2).flatten(1),
}


@pytest.mark.parametrize("head", ORDERS)
@pytest.mark.parametrize("count", [2, 4, 9])
def test_a_batch_equals_its_pictures_alone(wrap, pictures, head, count):
    model, images = wrap(Order(ORDERS[head])), pictures(count, 3, 7, 6)
    batch = record(model, images, ["*", "output"])
    for index in range(count):
        for name, alone in record(model, images[index : index + 1], ["*", "output"]).items():
            torch.testing.assert_close(batch[name][index], alone[0], rtol=1e-5, atol=1e-6)
    assert batch["deep"].shape == (count, 8, 7, 6)


def test_pictures_of_any_memory_order_and_dtype(small_model, pictures):
    images = pictures(4, 3, 16, 16)
    expected = record(small_model, images, ["output"])["output"]
    for same in (
        images.contiguous(memory_format=torch.channels_last),
        images.double(),
        images.flip(-1).contiguous().flip(-1),
        images.transpose(2, 3).contiguous().transpose(2, 3),
    ):
        torch.testing.assert_close(record(small_model, same, ["output"])["output"], expected, rtol=1e-5, atol=1e-6)


def test_replacing_by_what_was_there_changes_nothing(small_model, pictures):
    images = pictures(2, 3, 16, 16)
    seen = record(small_model, images, ["conv1", "block", "relu~0", "relu~1", "conv2", "output"])
    output = seen.pop("output")
    for name, value in seen.items():
        assert torch.equal(replaced(small_model, images, {name: value}), output), name
    assert torch.equal(replaced(small_model, images, seen), output)


def test_replacing_computes_what_follows(small_model, pictures):
    images = pictures(1, 3, 16, 16)
    variants = torch.randn(5, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    kept = variants.clone()
    with torch.no_grad():
        expected = small_model.module.fc(variants.relu().mean(dim=(2, 3)))
    torch.testing.assert_close(replaced(small_model, images, {"conv2": variants}), expected)
    assert torch.equal(variants, kept)  # though the network's next step writes in place
    zero = replaced(small_model, pictures(3, 3, 16, 16), {"conv2": torch.zeros(1, 8, 4, 4)})
    torch.testing.assert_close(zero, small_model.module.fc.bias.detach().expand(3, -1))


SHORT = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 3), fc=nn.Sequential(nn.Flatten(), nn.Linear(4 * 6 * 6, 2))))
SHORT.conv.unused = nn.Conv2d(4, 4, 1)
COMPLAINTS = {
    "layer": (["cnov"], (1, 3, 8, 8), AddressError, r"^no layer 'cnov' in net\. Did you mean 'conv'\?$"),
    "glob": (["x*"], (1, 3, 8, 8), AddressError, r"^no layer of net matches 'x\*'\. `convscope layers` lists them\.$"),
    "idle": (
        ["conv.unused"],
        (1, 3, 8, 8),
        AddressError,
        r"^layer 'conv\.unused' of net does not run in a forward pass, so there is nothing to see\.$",
    ),
    "call": (["conv~1"], (1, 3, 8, 8), AddressError, r"^layer 'conv' of net runs once: its call is ~0, got ~1\.$"),
    "channel": (["conv:1"], (1, 3, 8, 8), AddressError, r"^expected a whole layer, got 'conv:1'\. Give 'conv'\.$"),
    "position": (
        ["conv~0@1,1"],
        (1, 3, 8, 8),
        AddressError,
        r"^expected a whole layer, got 'conv~0@1,1'\. Give 'conv~0'",
    ),
    "class": (["class:1"], (1, 3, 8, 8), AddressError, r"^expected a whole layer, got 'class:1'\. Give 'output'\.$"),
    "channels": (
        ["conv"],
        (1, 1, 8, 8),
        ModelError,
        r"^net takes images of shape \(n, 3, height, width\), got \(1, 1, 8, 8\)\.$",
    ),
    "size": (
        ["output"],
        (2, 3, 9, 9),
        ModelError,
        r"^net does not run on 9×9 images: .*shapes cannot be multiplied.*\. Its own input is 8×8\.$",
    ),
    "too small": (["conv"], (1, 3, 2, 2), ModelError, r"^net does not run on 2×2 images: .*Its own input is 8×8\.$"),
}


@pytest.mark.parametrize("complaint", COMPLAINTS)
def test_what_is_wrong_is_said_in_one_line(wrap, pictures, complaint):
    layers, shape, error, text = COMPLAINTS[complaint]
    with pytest.raises(error, match=text) as caught:
        record(wrap(SHORT, size=(8, 8)), pictures(*shape), layers)
    assert "\n" not in str(caught.value)


def test_a_network_that_does_not_run_on_its_own_size_says_what_to_do(wrap, pictures):
    text = r"^net does not run on a 3×5×5 picture: .*\. Give load\(size=\.\.\., channels=\.\.\.\) what the network "
    with pytest.raises(ModelError, match=text):
        record(wrap(SHORT, size=(5, 5)), pictures(1, 3, 8, 8), ["conv"])


def test_a_layer_skipped_on_other_pictures_is_missed(wrap, pictures):
    class Sometimes(Net):
        def forward(self, x):
            return self.body(x) if x.shape[-1] == 16 else x

    with pytest.raises(ModelError, match=r"^net did not reach body~0 on this input\. `convscope layers` lists"):
        record(wrap(Sometimes()), pictures(1, 3, 8, 8), ["body"])


WRONG_REPLACEMENTS = {
    "shape": (
        1,
        {"conv": torch.zeros(1, 4, 5, 6)},
        r"^replacement for conv has shape \(1, 4, 5, 6\); expected \(1, 4, 6",
    ),
    "count": (
        3,
        {"conv": torch.zeros(2, 4, 6, 6)},
        r"^replacement for conv has shape \(2, 4, 6, 6\); expected \(3, 4, 6, 6\)\.$",
    ),
    "images": (2, {"conv": torch.zeros(3, 4, 6, 6)}, r"^2 images for 3 replacements\. Give one image, or one per repl"),
    "output": (
        1,
        {"output": torch.zeros(1, 2)},
        r"^replacing the output of net leaves nothing to run\. Replace a layer",
    ),
}


@pytest.mark.parametrize("wrong", WRONG_REPLACEMENTS)
def test_replacements_that_do_not_fit(wrap, pictures, wrong):
    count, replacements, text = WRONG_REPLACEMENTS[wrong]
    with pytest.raises(ModelError, match=text):
        replaced(wrap(SHORT, size=(8, 8)), pictures(count, 3, 8, 8), replacements)


def test_no_replacements_are_the_plain_logits(wrap, pictures):
    images = pictures(2, 3, 8, 8)
    assert torch.equal(replaced(wrap(SHORT, size=(8, 8)), images, {}), SHORT(images).detach())
