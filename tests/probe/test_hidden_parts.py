"""Networks with parts that hide what runs in them, and looks that fail half-way."""

import warnings
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from convscope.attribution import Deconvnet, Gradient, GuidedBackprop
from convscope.errors import AddressError, MethodError, ModelError
from convscope.model import Address
from convscope.probe import batch_target, input_gradient, layer_gradients, layout, record, untouched
from convscope.probe.forward import forward


def scripted(thing):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates TorchScript; networks of this kind exist
        return torch.jit.script(thing)


def _relu():
    def function(x):
        return torch.relu(x)

    return function


def _relu_and_more():
    """A new function each time: torch keeps what it learned about one."""

    def function(x):
        return torch.relu(x) * 1.5 + 0.1

    return function


class WithActivation(nn.Module):
    def __init__(self, act) -> None:
        super().__init__()
        self.first, self.second, self.act = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), act

    def forward(self, x):
        return self.second(self.act(self.first(x))).mean(dim=(2, 3))


@pytest.mark.parametrize("method", [GuidedBackprop(), Deconvnet()], ids=["guided", "deconvnet"])
@pytest.mark.parametrize("make", [_relu, _relu_and_more])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_scripted_activation_is_covered_until_torch_compiles_it(wrap, pictures, method, make, compiled):
    """After some runs with gradients, torch compiles what has several operations: the ReLU is gone from the graph."""
    function = make()
    images, act = pictures(2, 3, 8, 8), scripted(function)
    model, plain = (wrap(WithActivation(spelled), size=(8, 8)) for spelled in (act, function))
    plain.module.load_state_dict(model.module.state_dict())
    for _ in range(3 if compiled else 0):
        model.module(images)
    gradients = [Gradient()(each, images, "class:1").values for each in (model, plain)]
    torch.testing.assert_close(*gradients)
    if compiled and make is _relu_and_more:
        with pytest.raises(MethodError, match=r"^the network runs code compiled by torch\.jit, in which a rectifier "):
            method(model, images, "class:1")
        return
    found, expected = (method(each, images, "class:1") for each in (model, plain))
    torch.testing.assert_close(found.values, expected.values)
    assert found.facts == expected.facts


def test_a_scripted_part_is_passed_through_and_cannot_be_tapped(wrap, pictures):
    inner = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sigmoid())
    net = nn.Sequential(OrderedDict(hidden=scripted(inner), fc=nn.Conv2d(4, 2, 1)))
    model, images = wrap(net, size=(6, 6)), pictures(1, 3, 6, 6)
    found = record(model, images, ["fc", "output"])
    torch.testing.assert_close(found["output"], net.fc(inner(images)).detach())
    assert {call.layer for call in layout(model).calls} == {"fc", "output"}
    text = r"^layer 'hidden' of net is TorchScript, which hides what runs in it\. Choose a layer outside it, or give "
    with pytest.raises(AddressError, match=text):
        record(model, images, ["hidden"])


class Interrupted(Exception):
    pass


def _stop(*_):
    raise Interrupted


def test_a_visitor_that_fails_leaves_no_trace_and_is_not_renamed(small_model, pictures, trace_of):
    images = pictures(1, 3, 16, 16)
    small_model.module.train()
    before = trace_of(small_model, images)
    with pytest.raises(Interrupted), untouched(small_model):
        forward(small_model, images, [Address("conv1", 0)], _stop)
    assert trace_of(small_model, images) == before
    with pytest.raises(Interrupted), untouched(small_model):
        input_gradient(small_model, images, batch_target(small_model, images, "class:top"), prepare=_stop)
    assert trace_of(small_model, images) == before


class Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 2, 1)

    def forward(self, x):
        x = checkpoint(lambda t: F.relu(self.inner(t)), self.first(x), use_reentrant=False)
        return self.last(x).mean(dim=(2, 3))


def test_checkpoints_are_differentiated_around_and_said_within(wrap, pictures):
    model, images = wrap(Checkpointed(), size=(8, 8)), pictures(2, 3, 8, 8)
    with untouched(model):
        question = batch_target(model, images, "class:0")
        first = layer_gradients(model, images, [Address("first", 0)], question).gradients[Address("first", 0)]
        pixels, _ = input_gradient(model, images, question)
    x = images.clone().requires_grad_()
    hidden = model.module.first(x)
    logit = model.module.last(F.relu(model.module.inner(hidden))).mean(dim=(2, 3))[:, 0].sum()
    expected = torch.autograd.grad(logit, [hidden, x])
    torch.testing.assert_close(first, expected[0])
    torch.testing.assert_close(pixels, expected[1])
    text = r"^the backward pass from class:0 to inner failed: .*If the network uses torch\.utils\.checkpoint, switch"
    with untouched(model), pytest.raises(MethodError, match=text):
        layer_gradients(model, images, [Address("inner", 0)], question)


def test_buffers_converted_under_inference_mode_are_refused(small_net, wrap, pictures):
    """The parameters are as before; the batch norm's statistics are not."""
    with torch.inference_mode():
        small_net.bn1.running_mean = small_net.bn1.running_mean * 1
    with pytest.raises(ModelError, match=r"^the weights of net were created under torch\.inference_mode\(\), which"):
        Gradient()(wrap(small_net), pictures(1, 3, 16, 16), "class:0")


def test_a_network_with_a_layer_called_output(wrap, pictures):
    """The name is the network's own; its part of that name is not in the way."""
    net = nn.Sequential(OrderedDict(body=nn.Conv2d(3, 2, 3), output=nn.Conv2d(2, 3, 1)))
    model, images = wrap(net, size=(5, 5)), pictures(1, 3, 5, 5)
    assert torch.equal(record(model, images, ["output"])["output"], net(images).detach())
    assert layout(model).counts == {"body": 1, "output": 1}
