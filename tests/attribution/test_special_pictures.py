"""Pictures without contrast, units that are dead, and what the facts say about it."""

import pytest
import torch

from convscope.attribution import METHODS, Gradient, method
from convscope.probe import record

FAST = {
    "smooth_grad": "smooth_grad(samples=3)",
    "var_grad": "var_grad(samples=3)",
    "integrated_gradients": "integrated_gradients(steps=3)",
    "expected_gradients": "expected_gradients(samples=4)",
    "finer_cam": "finer_cam(references=2)",
}


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", METHODS)
def test_a_constant_picture_gives_finite_numbers(name, level, pooled):
    model = pooled()
    images = torch.full((2, 3, 17, 21), level)
    result = method(FAST.get(name, name))(model, images, "class:1")
    assert result.values.isfinite().all()
    for value in result.facts.values():
        if isinstance(value, tuple) and isinstance(value[0], float):
            assert torch.tensor(value).isfinite().all()


def test_noise_on_a_constant_picture_is_none(pooled):
    images = torch.full((1, 3, 17, 21), 0.3)
    plain = method("gradient")(pooled(), images, "class:1")
    smooth = method("smooth_grad(samples=4)")(pooled(), images, "class:1")
    torch.testing.assert_close(smooth.values, plain.values)
    assert method("var_grad(samples=4)")(pooled(), images, "class:1").values.abs().max() < 1e-12


@pytest.mark.parametrize("size", [(8, 8), (5, 9)])
def test_eigen_cam_of_constant_activations_is_constant_and_positive(size, wrap, seeded):
    """No correlation to turn the map by: rounding must not decide whether it is blank."""
    conv = seeded(lambda: torch.nn.Conv2d(3, 6, 1))
    with torch.no_grad():
        conv.weight.abs_()
        conv.bias.abs_()
    net = torch.nn.Sequential(conv, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(6, 3))
    for level in (0.1, 0.3, 0.7, 0.9):
        result = method("eigen_cam(layer='0')")(wrap(net, size=size), torch.full((1, 3, *size), level), "class:0")
        norm = record(wrap(net, size=size), torch.full((1, 3, *size), level), ["0"])["0"][0, :, 0, 0].norm()
        torch.testing.assert_close(result.values, norm.expand(1, 1, *size))


def test_a_dead_unit_has_no_map_and_no_evidence(pooled, pictures):
    model = pooled()
    with torch.no_grad():
        model.module.conv2.bias[3] = -100.0
    for name in ("gradient", "guided_backprop", "integrated_gradients", "grad_cam"):
        result = method(name)(model, pictures(1, 3, 17, 21), "relu2:3")
        assert not result.values.any()
        assert result.scores.item() == 0
    assert method("grad_cam")(model, pictures(1, 3, 17, 21), "relu2:3").facts["positive_share"] == (0.0,)
    assert method("deconvnet")(model, pictures(1, 3, 17, 21), "conv2:3").values.any()


def test_pixels_that_cannot_matter_get_nothing(wrap, seeded, pictures):
    """Dummy: the network looks at the left half only."""

    class LeftHalf(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3, padding=1)
            self.fc = torch.nn.Linear(4, 2)

        def forward(self, x):
            return self.fc(self.conv(x[..., :6]).relu().mean(dim=(2, 3)))

    model = wrap(seeded(LeftHalf), size=(10, 12))
    for name, kind in METHODS.items():
        if any(hasattr(kind, parameter) for parameter in ("layer", "upsampling")) or name == "finer_cam":
            continue  # a map of a layer is spread over the picture
        values = method(FAST.get(name, name))(model, pictures(1, 3, 10, 12), "class:1").values
        assert values[..., :6].any(), name
        assert not values[..., 6:].any(), name


def test_two_networks_with_one_function_have_one_attribution(wrap, seeded, pictures):
    """Implementation invariance: two linear layers, and their product as one."""
    two = seeded(lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 7), torch.nn.Linear(7, 3)))
    one = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 3))
    with torch.no_grad():
        one[1].weight.copy_(two[2].weight @ two[1].weight)
        one[1].bias.copy_(two[2].weight @ two[1].bias + two[2].bias)
    for name in ("gradient", "input_x_gradient", "integrated_gradients", "smooth_grad"):
        a, b = (method(name)(wrap(net, size=(4, 4)), pictures(2, 3, 4, 4), "class:1").values for net in (one, two))
        torch.testing.assert_close(a, b)


def test_wrappers_keep_what_a_reader_needs_to_know(pooled, pictures):
    model, images = pooled(), pictures(2, 3, 17, 21)
    guided = method("smooth_grad(guided_backprop, samples=2)")(model, images, "class:1")
    assert guided.facts["coverage"] == "2/2 activation calls covered (2 Relu)"
    cam = method("var_grad(grad_cam, samples=2)")(model, images, "class:1")
    assert cam.facts == {"upsampling": "aligned", "unit": "(target)²"}
    assert cam.layers == ("relu2",)
    finer = method("finer_cam(grad_cam, references=1)")(model, images, "class:1")
    assert finer.layers == ("relu2",)
    assert finer.facts["upsampling"] == "aligned"
    assert finer.cells is not None


def test_wrappers_reduce_and_sign_as_what_they_wrap(pooled, pictures):
    model, images = pooled(), pictures(1, 3, 17, 21)
    signed = method("smooth_grad(integrated_gradients(steps=2), samples=2)")(model, images, "class:1")
    assert (signed.reduction, signed.signed) == ("sum", True)
    plain = method("smooth_grad(samples=2)")(model, images, "class:1")
    assert (plain.reduction, plain.signed) == ("max_abs", False)
    variance = method("var_grad(integrated_gradients(steps=2), samples=2)")(model, images, "class:1")
    assert (variance.reduction, variance.signed) == ("abs_sum", False)


def test_the_average_of_a_smoothed_map_is_the_average_of_its_copies(pooled, pictures, monkeypatch):
    """Opposite signs cancel before channels are reduced: |average|, not the average of |values|."""
    maps = []
    original = Gradient.compute

    def listening(self, *arguments):
        raw = original(self, *arguments)
        maps.append(raw.values)
        return raw

    monkeypatch.setattr(Gradient, "compute", listening)
    result = method("smooth_grad(samples=7, sigma=0.5)")(pooled(), pictures(1, 3, 17, 21), "class:1")
    copies = torch.cat(maps)
    torch.testing.assert_close(result.values[0], copies.mean(dim=0))
    torch.testing.assert_close(result.maps[0], copies.mean(dim=0).abs().amax(dim=0))
    assert float((result.maps[0] - copies.abs().mean(dim=0).amax(dim=0)).abs().max()) > 0.01 * float(result.maps.max())
