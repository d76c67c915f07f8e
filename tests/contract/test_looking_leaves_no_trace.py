"""Looking at filters and activation maps changes nothing about the caller's network, also where it fails."""

import pytest
import torch

from convscope.anatomy import activation_maps, filters
from convscope.errors import ConvscopeError

LOOKS = {
    "filters, color": lambda model, images: filters(model, "conv1", sort="hue"),
    "filters, spectrum": lambda model, images: filters(model, "conv2", view="spectrum"),
    "filters, no weights": lambda model, images: filters(model, "relu"),
    "maps": lambda model, images: activation_maps(model, images, ["relu", "conv2"]),
    "maps, contribution": lambda model, images: activation_maps(model, images, sort="contribution"),
    "maps, failing": lambda model, images: activation_maps(
        model, images, "conv2", sort="contribution", target="conv1:0"
    ),
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("look", LOOKS)
def test_nothing_of_the_callers_is_touched(small_model, pictures, trace_of, look, training):
    small_model.module.train(training)
    images = pictures(2, 3, 16, 16)
    before = trace_of(small_model, images)
    try:
        with torch.no_grad():
            LOOKS[look](small_model, images)
    except ConvscopeError:
        assert look.endswith(("no weights", "failing"))
    assert trace_of(small_model, images) == before
