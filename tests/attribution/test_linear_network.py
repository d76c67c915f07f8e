"""On f(x) = W x + b everything is known: gradients are rows of W, and paths do not matter."""

import pytest
import torch

from convscope.attribution import Deconvnet, Gradient, GuidedBackprop, InputXGradient, IntegratedGradients, method
from convscope.model import Model

STD = (0.5, 0.25)


@pytest.fixture
def model(linear_model, wrap) -> Model:
    """Two channels with their own mean and std, so that per-pixel units are tested."""
    spec = linear_model.spec
    preprocessing = type(spec.preprocessing)(size=(4, 5), mean=(0.3, 0.6), std=STD)
    return Model(linear_model.module, type(spec)("linear", "", "made in a test", preprocessing))


@pytest.fixture
def weights(model) -> torch.Tensor:
    """Of each class per unit of a [0, 1] pixel: (3, 2, 4, 5)."""
    rows = model.module.fc.weight.detach().reshape(3, 2, 4, 5)
    return rows / torch.tensor(STD).view(1, 2, 1, 1)


@pytest.fixture
def images(pictures) -> torch.Tensor:
    return pictures(2, 2, 4, 5, seed=3)


def test_saliency_is_the_absolute_weight(model, weights, images):
    result = Gradient()(model, images, ["class:0", "class:2"])
    torch.testing.assert_close(result.values, weights[[0, 2]])
    torch.testing.assert_close(result.maps, weights[[0, 2]].abs().amax(dim=1))
    assert not result.signed


def test_reductions_are_what_they_say(model, weights, images):
    expected = {
        "max_abs": weights[1].abs().amax(dim=0),
        "l2": weights[1].square().sum(dim=0).sqrt(),
        "sum": weights[1].sum(dim=0),
        "abs_sum": weights[1].abs().sum(dim=0),
    }
    for reduction, values in expected.items():
        result = Gradient(reduction=reduction)(model, images, "class:1")
        torch.testing.assert_close(result.maps[0], values)
        assert result.signed == (reduction == "sum")


def test_a_margin_is_the_difference_of_rows(model, weights, images):
    result = Gradient()(model, images, "class:0 - class:2")
    torch.testing.assert_close(result.values[0], weights[0] - weights[2])


def test_input_times_gradient_adds_up_to_the_score_without_what_black_scores(model, weights, images):
    result = InputXGradient()(model, images, "class:1")
    torch.testing.assert_close(result.values, images * weights[1])
    black = model.module(model.normalize(torch.zeros_like(images)))[:, 1]
    torch.testing.assert_close(result.values.sum(dim=(1, 2, 3)), result.scores - black)


@pytest.mark.parametrize("steps", [1, 2, 7, 50])
@pytest.mark.parametrize("baseline", ["black", "white", "mean", "blur", "noise"])
def test_integrated_gradients_are_the_way_times_the_weight_for_any_number_of_steps(
    steps, baseline, model, weights, images
):
    result = IntegratedGradients(steps=steps, baseline=baseline)(model, images, "class:1")
    assert max(result.facts["completeness_error"]) < 1e-5
    if baseline in {"black", "white", "mean"}:
        start = {"black": 0.0, "white": 1.0, "mean": torch.tensor([0.3, 0.6]).view(1, 2, 1, 1)}[baseline]
        torch.testing.assert_close(result.values, (images - start) * weights[1], rtol=1e-5, atol=1e-6)


def test_a_baseline_of_ones_own_for_each_picture(model, weights, images, pictures):
    starts = pictures(2, 2, 4, 5, seed=9)
    each = IntegratedGradients(baseline=starts)(model, images, "class:1")
    torch.testing.assert_close(each.values, (images - starts) * weights[1], rtol=1e-5, atol=1e-6)
    for shape in ((2, 4, 5), (1, 2, 4, 5)):
        shared = IntegratedGradients(baseline=starts[0].reshape(shape))(model, images, "class:1")
        torch.testing.assert_close(shared.values, (images - starts[0]) * weights[1], rtol=1e-5, atol=1e-6)


def test_expected_gradients_are_the_way_from_the_average_baseline(model, weights, images):
    result = method("expected_gradients(samples=8, baselines=('black', 'white'))")(model, images, "class:1")
    torch.testing.assert_close(result.values, (images - 0.5) * weights[1], rtol=1e-5, atol=1e-6)
    assert max(result.facts["completeness_error"]) < 1e-5
    pictures = torch.stack([torch.full((2, 4, 5), level) for level in (0.1, 0.2, 0.9)])
    tensor = type(method("expected_gradients"))(samples=6, baselines=pictures)(model, images, "class:1")
    torch.testing.assert_close(tensor.values, (images - 0.4) * weights[1], rtol=1e-5, atol=1e-6)


def test_smooth_grad_is_the_gradient_and_its_variance_is_zero(model, weights, images):
    smooth = method("smooth_grad(samples=4, sigma=0.5)")(model, images, "class:1")
    torch.testing.assert_close(smooth.values, weights[1].expand(2, -1, -1, -1))
    variance = method("var_grad(samples=4, sigma=0.5)")(model, images, "class:1")
    assert variance.values.abs().max() < 1e-12


@pytest.mark.parametrize("kind", [GuidedBackprop, Deconvnet])
def test_without_a_rectifier_the_rules_change_nothing_and_say_so(kind, model, weights, images):
    result = kind()(model, images, "class:1")
    torch.testing.assert_close(result.values[0], weights[1])
    assert result.facts["coverage"] == "no activation between target and picture"
