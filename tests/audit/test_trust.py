"""The trust card: numbers with known answers."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

import convscope
from convscope.attribution import AttributionMethod
from convscope.attribution.contract import Raw
from convscope.audit import last_layer, randomized_values, rank_correlation, trust
from convscope.errors import ModelError
from convscope.image import edges
from convscope.model import digest, load, pictures
from convscope.probe import batch_target, score


@dataclass(frozen=True)
class EdgeDetector(AttributionMethod):
    """A map that says nothing about the network: the edges of the picture."""

    name: ClassVar[str] = "edge_detector"

    @property
    def reduces(self):
        return "max_abs"

    def compute(self, model, images, question, generator):
        return Raw(edges(images)[:, None], score(model, images, question))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 6, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 4),
    )
    return load(module, size=32, mean=0.0, std=1.0, name="small")


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_rank_correlation_is_spearmans_also_with_ties():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(3, 9, 7, generator=generator), torch.randn(3, 9, 7, generator=generator)
    first[1] = first[1].clamp(min=0)  # a rectified map: half of it ties
    second[1] = (first[1] * 2 + 0.3 * second[1]).round()
    expected = [spearmanr(a.flatten(), b.flatten()).statistic for a, b in zip(first, second, strict=True)]
    assert rank_correlation(first, second).tolist() == pytest.approx(expected, abs=1e-6)


def test_a_constant_map_correlates_with_nothing():
    assert rank_correlation(torch.ones(1, 4, 4), torch.rand(1, 4, 4)).item() == 0


@pytest.mark.parametrize(
    ("target", "layer"), [("class:1", "6"), ("4:3", "2"), ("1:3@5,5", "0"), ("class:1 - class:2", "6"), ("2:0", "2")]
)
def test_the_last_layer_is_the_one_before_the_target(network, images, target, layer):
    assert last_layer(network, batch_target(network, images, target)) == layer


def test_the_last_layer_without_a_graph_is_found_by_order(images):
    class Untraceable(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

        def forward(self, x):
            x = self.conv(x)
            return self.fc(x.mean(dim=(2, 3)) * (2.0 if float(x.mean()) > 0 else 1.0))

    model = load(Untraceable(), size=32, mean=0.0, std=1.0)
    assert last_layer(model, batch_target(model, images, "class:1")) == "fc"


def test_nothing_to_randomize_is_said(images):
    model = load(nn.Sequential(nn.AvgPool2d(4), nn.Flatten()), size=32, mean=0.0, std=1.0, channels=3)
    with pytest.raises(ModelError, match="no layer with weights leads to"):
        last_layer(model, batch_target(model, images, "class:1"))


def test_randomizing_changes_the_gradient_and_leaves_the_weights(network, images):
    method = convscope.method("gradient")
    result = method(network, images, "class:1")
    before, parameter = digest(network.module), network.module[6].weight
    other = randomized_values(method, network, result)
    assert (other - result.values).abs().max() > 0.1 * result.values.abs().max()
    assert torch.equal(other, randomized_values(method, network, result))
    assert digest(network.module) == before
    assert network.module[6].weight is parameter


def test_a_map_of_edges_is_found_out(network):
    model = load(network.module, size=64, mean=0.0, std=1.0)
    photograph = pictures(model, "sample:cat")
    method = EdgeDetector()
    (card,) = trust(method, model, method(model, photograph, "class:1"))
    assert card.edge_similarity > 0.999
    assert card.randomization_similarity == pytest.approx(1)
    assert card.completeness_error is None


def test_completeness_travels_with_each_picture(network, images):
    method = convscope.method("integrated_gradients(steps=64)")
    result = method(network, images, "class:1")
    cards = trust(method, network, result, randomize=False)
    assert [card.completeness_error for card in cards] == list(result.facts["completeness_error"])
    assert all(card.randomization_similarity is None for card in cards)


def test_blank_and_broken_maps_are_noted(network, images):
    method = convscope.method("gradient")
    result = method(network, images, "class:1")
    values = result.values.clone()
    values[0] = 0
    values[1, 0, 0, 0] = torch.nan
    blank, broken = trust(method, network, replace(result, values=values), randomize=False)
    assert "zero everywhere" in blank.notes[0]
    assert "not finite" in broken.notes[0]
