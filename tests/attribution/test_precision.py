"""Another precision is stated, and good enough for a coarse map."""

import pytest
import torch

from convscope.attribution import GradCAM, Gradient, method
from convscope.attribution.contract import PER_PIXEL
from convscope.image import SAMPLES, read, sample_path, to_input
from convscope.model import load
from convscope.probe import direction


@pytest.fixture(scope="module")
def embedded():
    return load()


@pytest.fixture(scope="module")
def photographs(embedded):
    how = embedded.spec.preprocessing
    names = sorted(SAMPLES)[:2]
    pictures = [read(str(sample_path(f"sample:{name}"))) for name in names]
    return torch.stack([to_input(p, how.size, interpolation=how.interpolation, crop=how.crop)[0] for p in pictures])


@pytest.mark.slow
def test_grad_cam_of_photographs_in_bfloat16(embedded, photographs):
    exact = GradCAM()(embedded, photographs)
    rough = GradCAM()(embedded, photographs, exact.targets, dtype=torch.bfloat16)
    assert rough.provenance.dtype == "bfloat16"
    assert rough.values.dtype == torch.float32
    for a, b in zip(rough.values, exact.values, strict=True):
        assert torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1] > 0.95
    difference = (rough.values[0] - exact.values[0]).abs().max() / exact.values[0].abs().max()
    assert rough.facts["precision_error"] == pytest.approx(float(difference), rel=1e-4)
    assert 0 < rough.facts["precision_error"] < 0.2
    assert rough.facts["precision_correlation"] > 0.95
    expected = float((rough.scores[0] - exact.scores[0]).abs())
    assert rough.facts["precision_score_error"] == pytest.approx(expected, abs=1e-5)


def test_double_precision_is_more_exact_and_the_network_stays_as_it_is(small_model, pictures, trace_of):
    images = pictures(2, 3, 16, 16)
    before = trace_of(small_model, images)
    result = Gradient()(small_model, images, "class:1", dtype=torch.float64)
    assert trace_of(small_model, images) == before
    assert 0 < result.facts["precision_error"] < 1e-5
    assert result.provenance.dtype == "float64"
    plain = Gradient()(small_model, images, "class:1")
    torch.testing.assert_close(result.values, plain.values, rtol=1e-4, atol=1e-6)
    assert "precision_error" not in plain.facts


def test_the_networks_own_precision_is_nothing_to_state(small_model, pictures):
    images = pictures(1, 3, 16, 16)
    result = Gradient()(small_model, images, "class:1", dtype=torch.float32)
    assert result.facts == Gradient()(small_model, images, "class:1").facts == {"unit": PER_PIXEL}


@pytest.mark.parametrize("target", ["class:top", "class:1 - class:2", "direction", ["class:1", "conv2:0"]])
def test_any_target_can_be_compared_across_precisions(target, small_model, pictures):
    if target == "direction":
        target = direction(small_model, "conv2", torch.arange(8.0))
    result = Gradient()(small_model, pictures(2, 3, 16, 16), target, dtype=torch.bfloat16)
    assert result.facts["precision_correlation"] > 0.95


@pytest.mark.parametrize("name", ["smooth_grad(samples=3)", "expected_gradients(samples=3)", "cam", "eigen_cam"])
def test_every_kind_of_method_runs_in_bfloat16(name, pooled, pictures):
    model, images = pooled(), pictures(2, 3, 17, 21)
    rough, exact = (method(name)(model, images, "class:1", dtype=dtype) for dtype in (torch.bfloat16, None))
    a, b = rough.values.flatten(), exact.values.flatten()
    assert torch.corrcoef(torch.stack([a, b]))[0, 1] > 0.95
