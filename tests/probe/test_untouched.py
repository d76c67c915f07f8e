"""Nothing of the caller's network, pictures or process is touched: every look times every situation."""

import warnings

import pytest
import torch
from torch import nn

from convscope.attribution import GradCAM, Gradient
from convscope.errors import ModelError
from convscope.model import OUTPUT, Address
from convscope.probe import (
    batch_target,
    graph,
    input_gradient,
    layer_gradients,
    layout,
    parameters_as,
    record,
    replaced,
    resume,
    score,
    untouched,
)


def _score(model, images):
    with untouched(model):
        return score(model, images, batch_target(model, images, "class:top"))


def _input_gradient(model, images):
    with untouched(model):
        return input_gradient(model, images, batch_target(model, images, "class:1"))[0]


def _layer_gradients(model, images):
    with untouched(model):
        question = batch_target(model, images, "class:1")
        (gradient,) = layer_gradients(model, images, [Address("conv2", 0)], question).gradients.values()
    return gradient


def _with_other_parameters(model, images):
    with untouched(model), torch.no_grad(), parameters_as(model, {"fc.bias": torch.zeros(5)}):
        return model.module(images)


MIDDLE = torch.rand(2, 8, 4, 4, generator=torch.Generator().manual_seed(3))

LOOKS = {
    "layout": lambda model, images: torch.tensor(layout(model).calls[-1].shape),
    "record": lambda model, images: record(model, images, ["relu", "output"])["output"],
    "replaced": lambda model, images: replaced(model, images, {"conv2": MIDDLE}),
    "resume": lambda model, images: resume(model, images[:1], "conv2", MIDDLE),
    "graph": lambda model, images: torch.tensor(len(graph(model).steps)),
    "score": _score,
    "input_gradient": _input_gradient,
    "layer_gradients": _layer_gradients,
    "parameters_as": _with_other_parameters,
    "Gradient": lambda model, images: Gradient()(model, images).values,
    "GradCAM": lambda model, images: GradCAM("conv2")(model, images).values,
}
each_look = pytest.mark.parametrize("look", LOOKS)


@pytest.fixture(scope="module")
def known_results():
    return {}


@pytest.fixture
def expected(known_results, small_net, wrap, pictures):
    """``expected(look)``: what it returns for a network that nothing was done to. Computed once."""

    def result(look):
        if look not in known_results:
            model = wrap(small_net, mean=0.4, std=0.3, name="small_net")
            known_results[look] = LOOKS[look](model, pictures(2, 3, 16, 16))
        return known_results[look]

    return result


def _train(model):
    model.module.train()


def _train_frozen(model):
    model.module.train().requires_grad_(requires_grad=False)


def _half_frozen_with_gradients(model):
    model.module.conv1.requires_grad_(requires_grad=False)
    model.module.bn1.train()
    for parameter in model.module.fc.parameters():
        parameter.grad = torch.ones_like(parameter)


@each_look
@pytest.mark.parametrize("prepare", [_train, _train_frozen, _half_frozen_with_gradients], ids=lambda f: f.__name__[1:])
def test_flags_statistics_and_gradients_stay(small_model, pictures, trace_of, expected, look, prepare):
    images = pictures(2, 3, 16, 16)
    plain = expected(look)
    prepare(small_model)
    before = trace_of(small_model, images)
    result = LOOKS[look](small_model, images)
    assert trace_of(small_model, images) == before
    assert torch.equal(result, plain)  # train mode, dropout and what is frozen decide nothing
    assert not result.requires_grad


def _inference_pictures(images):
    with torch.inference_mode():
        return images.clone()


GRAD_MODES = {
    "no_grad": (torch.no_grad, lambda images: images),
    "inference_mode, with its pictures": (torch.inference_mode, _inference_pictures),
    "pictures of inference_mode": (torch.enable_grad, _inference_pictures),
    "pictures with a gradient": (torch.enable_grad, lambda images: images.requires_grad_()),
    "autocast": (lambda: torch.autocast("cpu", dtype=torch.bfloat16), lambda images: images),
}


@each_look
@pytest.mark.parametrize("mode", GRAD_MODES)
def test_the_callers_grad_mode_decides_nothing(small_model, pictures, trace_of, expected, look, mode):
    plain = expected(look)
    enter, convert = GRAD_MODES[mode]
    images = convert(pictures(2, 3, 16, 16))
    with enter():
        before = trace_of(small_model, images)
        result = LOOKS[look](small_model, images)
        assert trace_of(small_model, images) == before
    assert torch.equal(result, plain)


@each_look
def test_hooks_of_the_callers_stay_fire_and_count(small_model, pictures, trace_of, expected, look):
    images = pictures(2, 3, 16, 16)
    plain = expected(look)
    fired = []
    small_model.module.conv1.register_forward_pre_hook(lambda *_: fired.append("before"))
    small_model.module.conv1.register_forward_hook(lambda _, __, output: fired.append("after") or output * 2)
    before = trace_of(small_model, images)
    result = LOOKS[look](small_model, images)
    assert trace_of(small_model, images) == before
    assert fired
    assert fired == ["before", "after"] * (len(fired) // 2)
    if look not in {"layout", "graph", "replaced", "resume"}:  # which need nothing that comes out of conv1
        assert not torch.equal(result, plain)  # the hook is part of the caller's network


def _fail(*_):
    raise ValueError("a network's own error")


class _OwnError(Exception):
    pass


def _fail_in_its_own_way(*_):
    raise _OwnError


@each_look
@pytest.mark.parametrize(("known", "fail"), [(False, _fail), (True, _fail), (True, _fail_in_its_own_way)])
def test_nothing_is_touched_when_the_network_fails(small_model, pictures, trace_of, look, known, fail):
    images = pictures(2, 3, 16, 16)
    if known:
        layout(small_model)
    small_model.module.train()
    small_model.module.conv2.register_forward_pre_hook(fail)
    before = trace_of(small_model, images)
    if look == "layout" and known:
        LOOKS[look](small_model, images)
    else:
        with pytest.raises((ValueError, ModelError, _OwnError)):
            LOOKS[look](small_model, images)
    assert trace_of(small_model, images) == before


def test_a_failure_says_what_the_network_said(small_model, pictures):
    layout(small_model)
    small_model.module.conv2.register_forward_pre_hook(_fail)
    with pytest.raises(ModelError, match=r"small_net does not run on 16×16 images: a network's own error\.$"):
        record(small_model, pictures(1, 3, 16, 16), ["output"])
    with pytest.raises(ModelError, match=r"own error\. Its own input is 16×16\.$"):
        record(small_model, pictures(1, 3, 20, 16), ["output"])


class Restless(nn.Module):
    """Changes its buffers in eval mode too, draws random numbers, and exchanges a buffer for a new one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("last", torch.zeros(2))

    def forward(self, x):
        self.calls += 1
        x = self.conv(x).mean(dim=(2, 3))
        self.last = x.detach()[0]
        return x + torch.rand_like(x)


def test_buffers_and_random_numbers_of_a_restless_network(wrap, pictures, trace_of):
    model, images = wrap(Restless()), pictures(2, 3, 16, 16)
    before = trace_of(model, images)
    record(model, images, ["conv", "output"])
    Gradient()(model, images)
    assert trace_of(model, images) == before


WRAPPERS = {
    "DataParallel": (nn.DataParallel, "DataParallel taken off"),
    "OptimizedModule": (lambda net: torch.compile(net, backend="eager"), "torch.compile taken off"),
    "both": (lambda net: nn.DataParallel(torch.compile(net, backend="eager")), "taken off"),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrappers_are_taken_off_said_and_left_alone(small_net, wrap, pictures, trace_of, expected, wrapper):
    make, note = WRAPPERS[wrapper]
    images = pictures(2, 3, 16, 16)
    plain = {look: expected(look) for look in LOOKS}
    outer = make(small_net).train()
    before = trace_of(outer, images)
    model = wrap(outer, mean=0.4, std=0.3)
    assert model.module is small_net
    assert all(note in line for line in model.notes)
    assert len(model.notes) == (2 if wrapper == "both" else 1)
    for look, result in plain.items():
        assert torch.equal(LOOKS[look](model, images), result), look
    assert trace_of(outer, images) == before


def test_torchscript_is_refused(small_net, wrap):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates it; networks of this kind exist
        traced = torch.jit.trace(small_net, torch.rand(1, 3, 16, 16))
    with pytest.raises(ModelError, match=r"^a TorchScript network hides its layers\. Give the original nn\.Module, "):
        wrap(traced)


@each_look
def test_a_network_made_under_inference_mode_is_refused(wrap, pictures, look):
    with torch.inference_mode():
        model = wrap(nn.Sequential(nn.Conv2d(3, 4, 3)), name="born")
    text = r"^the weights of born were created under torch\.inference_mode\(\), which rules out gradients\. Create, "
    with pytest.raises(ModelError, match=text):
        LOOKS[look](model, pictures(2, 3, 16, 16))


def test_parameters_are_the_callers_own_objects_again(small_model):
    own = small_model.module.fc.bias
    with pytest.raises(KeyError), parameters_as(small_model, {"fc.bias": torch.zeros(5), "fc.nothing": torch.zeros(1)}):
        pass  # the second does not exist: the first must still come back
    assert small_model.module.fc.bias is own
    assert record(small_model, torch.zeros(1, 3, 16, 16), [OUTPUT])[OUTPUT].abs().sum() > 0
