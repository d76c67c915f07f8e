"""Fast and slow agree: every method against its twin, on a network whose backward pass is written by hand."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest
import torch
from attribution_twins import START, STRIDE, TWINS, Question, upsample
from slow_network import MEAN, STD, make_networks

from convscope.anatomy import MapLayout
from convscope.attribution import METHODS, AttributionMethod, Gradient, method
from convscope.attribution.baseline import baseline_images
from convscope.attribution.cam import place
from convscope.model import Model, ModelSpec, Preprocessing
from convscope.probe import input_gradient

SIZE = (13, 16)
TARGET = 2

SPELLINGS = {
    **{name: f"{name}(layer='pool')" for name in METHODS if name.endswith("cam") and name != "cam"},
    "grad_cam_plus_plus": "grad_cam_plus_plus(layer='pool')",
    "finer_cam": "finer_cam(grad_cam(layer='pool'), references=2)",
    "smooth_grad": "smooth_grad(samples=5, sigma=0.2)",
    "var_grad": "var_grad(samples=5, sigma=0.2)",
    "integrated_gradients": "integrated_gradients(steps=5)",
    "expected_gradients": "expected_gradients(samples=7, baselines=('black', 'white', 'blur'))",
}
"""How each method is asked, so that it fits its twin; others by their bare name."""


@pytest.fixture(scope="module")
def networks():
    fast, slow = make_networks()
    model = Model(fast, ModelSpec("twin", "", "made in a test", Preprocessing(size=SIZE, mean=MEAN, std=STD)))
    return model, slow


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(5))


def test_every_method_has_a_twin():
    assert set(TWINS) == set(METHODS)


def test_the_slow_network_is_the_fast_one(networks, images):
    model, slow = networks
    with torch.no_grad():
        fast = model.module(model.normalize(images)).numpy()
    for index, image in enumerate(images.double().numpy()):
        np.testing.assert_allclose(slow.logits(image), fast[index], rtol=1e-12, atol=1e-12)


def test_the_backward_pass_by_hand_agrees_with_finite_differences(networks, images):
    _, slow = networks
    image = images[0].double().numpy()
    by_hand = slow.gradient(image, np.eye(4)[TARGET])
    assert np.abs(by_hand).max() > 0.01
    np.testing.assert_allclose(by_hand, TWINS["gradient"](Question(slow, image, TARGET)), atol=1e-7)


@pytest.mark.parametrize("name", METHODS)
def test_fast_equals_slow(name, networks, images, monkeypatch):
    model, slow = networks
    asked = method(SPELLINGS.get(name, name))
    drawn, asked = _listen(asked, name)
    result = asked(model, images, f"class:{TARGET}", seed=11)
    for index, image in enumerate(images.double().numpy()):
        question = Question(slow, image, TARGET)
        if name in {"smooth_grad", "var_grad"}:
            question.copies = _copies(drawn, index, image, count=5, sigma=0.2)
        if name == "expected_gradients":
            question.path = _path(asked, model, images, index, monkeypatch)
        expected = TWINS[name](question)
        scale = np.abs(expected).max()
        assert scale > 1e-4, "a twin that is zero proves nothing"
        np.testing.assert_allclose(result.values[index].double().numpy(), expected, rtol=1e-5, atol=1e-5 * scale)


def test_twins_differ_from_one_another(networks, images):
    """No method is another one in disguise: every pair of CAMs differs by more than a few percent."""
    _, slow = networks
    names = [name for name in METHODS if name.endswith("cam") or name == "grad_cam_plus_plus"]
    maps = {name: TWINS[name](Question(slow, images[0].double().numpy(), TARGET)) for name in names}
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            a, b = (maps[name].sum(axis=0) / np.abs(maps[name]).max() for name in (first, second))
            assert np.abs(a - b).max() > 0.03, (first, second)


@pytest.mark.parametrize(
    ("cells", "size", "start", "stride"),
    [
        ((4, 5), (15, 18), (2.0, 2.0), (2.0, 2.0)),
        ((1, 3), (9, 20), (4.0, -1.5), (9.0, 8.0)),
        ((7, 7), (31, 20), (0.0, 3.5), (4.0, 2.5)),
        ((2, 1), (3, 3), (10.0, 1.0), (1.0, 3.0)),
    ],
)
def test_aligned_upsampling_equals_its_twin(cells, size, start, stride):
    values = torch.randn(2, 1, *cells, generator=torch.Generator().manual_seed(1))
    fast = place(values, MapLayout("map", cells, 0, start, stride, aligned=True), size, "aligned")
    assert fast.shape == (2, 1, *size)
    for index in range(2):
        slow = upsample(values[index, 0].double().numpy(), size, start, stride)
        np.testing.assert_allclose(fast[index, 0].double().numpy(), slow, atol=1e-6)


def test_cells_stand_at_their_centers(networks, images):
    """The value at a center pixel is the unit's own, not a mixture."""
    model, _ = networks
    result = method("hires_cam(layer='pool', rectify=False)")(model, images, "class:1")
    rows, columns = ([int(START + STRIDE * i) for i in range(count)] for count in result.cells.shape[2:])
    torch.testing.assert_close(result.values[:, 0][:, rows][:, :, columns], result.cells[:, 0])


@dataclass(frozen=True)
class Listener(AttributionMethod):
    """The gradient, and a list of the pictures that it was asked about."""

    name: ClassVar[str] = "listener"
    heard: tuple = field(default_factory=lambda: ([],))

    def __post_init__(self) -> None:
        pass

    @property
    def reduces(self):
        return "max_abs"

    def compute(self, model, images, question, generator):
        self.heard[0].append(images.clone())
        return Gradient().compute(model, images, question, generator)


def _listen(asked, name):
    if name not in {"smooth_grad", "var_grad"}:
        return [], asked
    listener = Listener()
    return listener.heard[0], type(asked)(listener, samples=asked.samples, sigma=asked.sigma)


def _copies(drawn, index, image, *, count, sigma):
    """The copies that were drawn for an image; their noise has the level that was asked for."""
    copies = torch.cat(drawn).double().numpy()[index * count : (index + 1) * count]
    noise = copies - image
    assert np.std(noise) == pytest.approx(sigma * (image.max() - image.min()), rel=0.05)
    assert abs(np.mean(noise)) < 4 * np.std(noise) / np.sqrt(noise.size)
    return list(copies)


def _path(asked, model, images, index, monkeypatch):
    """The (baseline, α) pairs that were drawn, recovered from the points at which the network was run."""
    points = []

    def listening(model, images, question):
        points.append(images.clone())
        return input_gradient(model, images, question)

    with monkeypatch.context() as patch:
        patch.setattr("convscope.attribution.expected_gradients.input_gradient", listening)
        asked(model, images, f"class:{TARGET}", seed=11)
    points = torch.cat(points).double().numpy()[index * asked.samples : (index + 1) * asked.samples]
    end = images[index].double().numpy()
    generator = torch.Generator().manual_seed(0)
    pairs = []
    for number, point in enumerate(points):
        kind = asked.baselines[number % len(asked.baselines)]
        start = baseline_images(model, images, kind, generator)[index].double().numpy()
        alphas = ((point - start) / (end - start))[np.abs(end - start) > 0.1]
        assert np.ptp(alphas) < 1e-5, "every pixel is at the same place on the way"
        pairs.append((start, float(np.median(alphas))))
    strata = sorted(int(alpha * asked.samples) for _, alpha in pairs)
    assert strata == list(range(asked.samples)), "one draw from each interval"
    return pairs
