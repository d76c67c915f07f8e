"""The health figure: a row per layer, a column only for what was asked."""

import pytest
import torch
from golden_pictures import check_golden
from torch import nn

from convscope.anatomy import unit_health
from convscope.plot import figure


@pytest.fixture(scope="module")
def model(wrap):
    """Two layers with planted faults."""
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU6(), nn.Conv2d(8, 12, 3), nn.ReLU6())
    net.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 3)])
    with torch.no_grad():
        for index in (0, 2, 6):
            layer = net[index]
            layer.weight.copy_(torch.sin(torch.arange(layer.weight.numel()) * 0.9).view_as(layer.weight) * 0.3)
            layer.bias.zero_()
        net[0].bias[:3] = torch.tensor([-50.0, 3.0, 90.0])
        net[0].weight[4] = net[0].weight[5]
        net[2].bias[1] = -50
    return wrap(net, size=(12, 12), name="planted")


@pytest.fixture(scope="module")
def images():
    return torch.rand(6, 3, 12, 12, generator=torch.Generator().manual_seed(0))


CASES = {
    "weights": (False, {}),
    "activity": (True, {}),
    "everything": (True, {"labels": list("abcabc"), "ablate": 4}),
}


@pytest.mark.parametrize("case", CASES)
def test_golden(model, images, case):
    asked, options = CASES[case]
    check_golden(figure(unit_health(model, images if asked else None, **options)), f"health_{case}")


def said(drawn):
    return [text.get_text() for text in drawn.texts]


def test_only_what_was_asked_has_a_column(model, images):
    weights, activity = (said(figure(unit_health(model, pictures))) for pictures in (None, images))
    assert {"odd norms", "like weights"} <= set(weights)
    assert not {"dead", "off", "selectivity", "logit change"} & set(weights)
    assert {"dead", "always on", "saturated", "act alike", "off"} <= set(activity)
    assert not {"selectivity", "logit change"} & set(activity)


def test_bars_are_as_long_as_the_shares(model, images):
    health = unit_health(model, images)
    drawn = figure(health)
    columns = [axes for axes in drawn.axes if axes.patches]
    dead = columns[0]
    assert [bar.get_width() for bar in dead.patches] == pytest.approx(
        [len(layer.activity.dead) / layer.units for layer in health.layers]
    )
    off = columns[-1]
    assert [bar.get_width() for bar in off.patches] == pytest.approx([layer.sparsity for layer in health.layers])
    assert off.get_xlim()[1] > 1  # a share of all is not stretched to the column


def test_layers_stand_in_the_order_in_which_they_run(model):
    words = said(figure(unit_health(model)))
    assert words.index("0") < words.index("2")


def test_what_it_was_measured_on_is_said(model, images):
    assert "Units of planted, by their weights" in said(figure(unit_health(model)))
    assert "Units of planted, on 6 pictures" in said(figure(unit_health(model, images)))
    assert "Units of planted, on 1 picture" in said(figure(unit_health(model, images[:1])))
