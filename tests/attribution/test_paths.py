"""Methods that average over a path or over noise: they add up, converge, and do not depend on how they are chunked."""

import pytest
import torch
from PIL import Image
from torch import nn

from convscope.attribution import ExpectedGradients, IntegratedGradients, SmoothGrad, VarGrad, method
from convscope.attribution.baseline import baseline_images
from convscope.attribution.path import chunk_size, chunks


@pytest.fixture(scope="module")
def smooth_model(seeded, wrap):
    """A network without kinks, in double precision, so that only the integration rule errs."""
    net = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 36, 4)
        )
    )
    with torch.no_grad():
        for part in (net[0], net[2], net[5]):
            part.weight.mul_(2)
    return wrap(net.double(), size=(8, 8))


@pytest.mark.parametrize("baseline", ["black", "white", "noise"])
@pytest.mark.parametrize("steps", [4, 8])
def test_the_midpoint_rules_error_falls_with_the_square_of_the_steps(baseline, steps, smooth_model, pictures):
    coarse, fine = (
        IntegratedGradients(steps=count, baseline=baseline)(smooth_model, pictures(3, 3, 8, 8), "class:1")
        for count in (steps, 2 * steps)
    )
    for before, after in zip(coarse.facts["completeness_error"], fine.facts["completeness_error"], strict=True):
        assert after < 0.3 * before


def test_with_kinks_the_error_still_falls_with_the_steps(small_model, pictures):
    """Where rectifiers switch the gradient jumps: each kink costs at most its jump times one step."""

    def error(steps):
        result = IntegratedGradients(steps=steps)(small_model, pictures(4, 3, 16, 16), "class:2")
        return (result.values.sum(dim=(1, 2, 3)) - result.scores + torch.tensor(result.facts["baseline_score"])).abs()

    few, some, many = (error(steps) for steps in (5, 50, 200))
    assert some.max() < 2e-4
    assert many.max() < 1e-4
    assert many.mean() < 0.1 * few.mean()


def test_the_stated_error_is_that_of_the_values(small_model, pictures):
    images = pictures(2, 3, 16, 16)
    result = IntegratedGradients(steps=7, baseline="white")(small_model, images, "class:2")
    with torch.no_grad():
        black = small_model.module(small_model.normalize(torch.ones_like(images)))[:, 2]
    torch.testing.assert_close(torch.tensor(result.facts["baseline_score"]), black)
    promised = result.scores - black
    error = (result.values.sum(dim=(1, 2, 3)) - promised).abs() / promised.abs()
    torch.testing.assert_close(torch.tensor(result.facts["completeness_error"]), error, rtol=1e-3, atol=1e-5)
    assert error.max() > 1e-4, "with 7 steps there is an error to state"


@pytest.mark.parametrize("batch", [1, 4, None])
@pytest.mark.parametrize(
    "make",
    [
        lambda batch: IntegratedGradients(steps=11, batch=batch),
        lambda batch: ExpectedGradients(samples=11, batch=batch),
        lambda batch: SmoothGrad(samples=11, batch=batch),
        lambda batch: VarGrad(samples=11, batch=batch),
        lambda batch: SmoothGrad(IntegratedGradients(steps=3, baseline="noise"), samples=11, batch=batch),
        lambda batch: SmoothGrad(ExpectedGradients(samples=4, batch=2), samples=11, batch=batch),
    ],
    ids=["integrated", "expected", "smooth", "variance", "smooth integrated", "smooth expected"],
)
def test_the_answer_does_not_depend_on_the_chunks(make, batch, small_model, pictures):
    images = pictures(2, 3, 16, 16)
    one, other = (make(size)(small_model, images, ["class:1", "class:3"]) for size in (2, batch))
    torch.testing.assert_close(other.values, one.values, rtol=1e-5, atol=2e-6 * float(one.values.abs().max()))


def test_variance_is_unbiased_and_does_not_cancel(linear_model, pictures):
    """Input times gradient on a linear network: the variance is (w σ range)², here with a large mean."""
    images = pictures(1, 2, 4, 5)
    result = method("var_grad(input_x_gradient, samples=4000, sigma=0.01, batch=512)")(linear_model, images, "class:0")
    weight = linear_model.module.fc.weight[0].detach().reshape(2, 4, 5)
    spread = 0.01 * (images.max() - images.min())
    ratio = result.values[0] / (weight * spread).square()
    assert abs(float(ratio.mean()) - 1) < 0.02
    assert result.values.min() >= 0


def test_noise_is_relative_to_each_pictures_own_range(small_model, pictures):
    """A picture of half the contrast gets half the noise: nothing but its own range decides."""
    image = pictures(1, 3, 16, 16)
    flat = torch.full_like(image, 0.4)
    both = method("smooth_grad(samples=5)")(small_model, torch.cat([image, flat]), "class:1")
    plain = method("gradient")(small_model, flat, "class:1")
    torch.testing.assert_close(both.values[1], plain.values[0], rtol=1e-5, atol=1e-7)
    assert (both.values[0] - method("gradient")(small_model, image, "class:1").values[0]).abs().max() > 1e-3


def test_pictures_of_a_batch_get_the_same_noise(linear_model, pictures):
    image = pictures(1, 2, 4, 5)
    for text in ("smooth_grad(input_x_gradient, samples=3)", "integrated_gradients(steps=2, baseline='noise')"):
        result = method(text)(linear_model, image.expand(3, -1, -1, -1), "class:1")
        assert torch.equal(result.values[0], result.values[2])


def test_a_picture_that_is_its_own_baseline_gets_nothing(small_model):
    black = torch.zeros(1, 3, 16, 16)
    result = IntegratedGradients(steps=4)(small_model, black, "class:1")
    assert not result.values.any()
    assert result.facts["completeness_error"] == (0.0,)


def test_the_blurred_baseline_keeps_the_level_and_no_detail(linear_model, pictures):
    images = pictures(1, 2, 32, 48)
    blurred = baseline_images(linear_model, images, "blur", torch.Generator())
    assert abs(blurred.mean() - images.mean()) < 0.02
    assert blurred.std() < 0.15 * images.std()


def test_a_picture_from_a_file_is_a_baseline(small_model, pictures, tmp_path):
    Image.new("RGB", (40, 30), (51, 102, 204)).save(tmp_path / "blue.png")
    images = pictures(2, 3, 16, 16)
    from_file = IntegratedGradients(steps=3, baseline=f"image:{tmp_path / 'blue.png'}")(small_model, images, "class:1")
    color = torch.tensor([0.2, 0.4, 0.8]).view(3, 1, 1).expand(3, 16, 16)
    given = IntegratedGradients(steps=3, baseline=color)(small_model, images, "class:1")
    torch.testing.assert_close(from_file.values, given.values)


@pytest.mark.parametrize("total", [1, 5, 16, 17, 50])
@pytest.mark.parametrize("size", [1, 3, 16, 100])
def test_chunks_cover_everything_once_in_order(total, size):
    parts = list(chunks(total, size))
    assert [index for part in parts for index in part] == list(range(total))
    assert max(map(len, parts)) <= size
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_fewer_pictures_per_pass_where_pictures_are_large(small_model):
    assert chunk_size(small_model, torch.zeros(1, 3, 16, 16), None) == 16
    assert chunk_size(small_model, torch.zeros(1, 3, 1, 1).expand(1, 3, 6000, 6000), None) == 1
    assert chunk_size(small_model, torch.zeros(1, 3, 16, 16), 5) == 5
