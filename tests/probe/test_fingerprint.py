"""The fingerprint must notice what it is there to notice."""

import pytest
import torch


def _train(model):
    model.module.train()


def _weights(model):
    with torch.no_grad():
        model.module.fc.bias[0] += 1e-6


def _statistics(model):
    model.module.bn1.num_batches_tracked += 1


def _gradients(model):
    model.module.fc.bias.grad = torch.zeros(5)


def _flags(model):
    model.module.fc.bias.requires_grad_(False)


def _hooks(model):
    model.module.relu.register_forward_pre_hook(lambda *_: None)


def _attributes(model):
    model.module.note = 1


def _random(model):
    torch.rand(1)


@pytest.mark.parametrize(
    "change",
    [_train, _weights, _statistics, _gradients, _flags, _hooks, _attributes, _random],
    ids=lambda f: f.__name__,
)
def test_a_change_shows(small_model, trace_of, change):
    before = trace_of(small_model)
    assert trace_of(small_model) == before
    change(small_model)
    assert trace_of(small_model) != before


def test_a_changed_picture_shows(small_model, trace_of, pictures):
    images = pictures(1, 3, 8, 8)
    before = trace_of(small_model, images)
    images[0, 0, 0, 0] = 0
    assert trace_of(small_model, images) != before
