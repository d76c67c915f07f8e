"""Measuring fields and examining units changes nothing about the caller's network, also where it fails."""

import pytest
import torch

from convscope.anatomy import effective_receptive_field, field, unit_health
from convscope.errors import ConvscopeError

LOOKS = {
    "field": lambda model, images: field(model, "conv2:1", image=images[:1], column=True),
    "effective field, noise": lambda model, images: effective_receptive_field(model, "conv2", samples=3),
    "effective field, pictures": lambda model, images: effective_receptive_field(model, "relu:1@2,2", pictures=images),
    "health, weights": lambda model, images: unit_health(model),
    "health, pictures": lambda model, images: unit_health(model, images, labels=["a", "b"]),
    "health, ablation": lambda model, images: unit_health(model, images, ablate=2),
    "field, failing": lambda model, images: field(model, "conv2:99"),
    "health, failing": lambda model, images: unit_health(model, images[:, :2]),
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("look", LOOKS)
def test_nothing_of_the_callers_is_touched(small_model, pictures, trace_of, look, training):
    small_model.module.train(training)
    images = pictures(2, 3, 16, 16)
    before = trace_of(small_model, images)
    if look.endswith("failing"):
        with torch.no_grad(), pytest.raises(ConvscopeError):
            LOOKS[look](small_model, images)
    else:
        with torch.no_grad():
            LOOKS[look](small_model, images)
    assert trace_of(small_model, images) == before


def test_the_callers_random_state_decides_nothing(small_model):
    torch.manual_seed(1)
    one = effective_receptive_field(small_model, "conv2", samples=4).energy
    torch.manual_seed(2)
    assert torch.equal(effective_receptive_field(small_model, "conv2", samples=4).energy, one)
