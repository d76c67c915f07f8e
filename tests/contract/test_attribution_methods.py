"""What every attribution method promises: one row per method, the same checks for all.

A method in ``METHODS`` without a row here, a twin in ``tests/twins`` or a page in ``docs/methods`` fails.
"""

import inspect
from dataclasses import FrozenInstanceError, dataclass, fields
from pathlib import Path

import pytest
import torch

from convscope.attribution import METHODS, method, parse_method, spell
from convscope.errors import MethodError, ModelError
from convscope.probe import direction, record
from convscope.probe import target as read_target

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Row:
    """What is special about a method.

    Attributes:
        fast: a spelling that takes little time and does not rectify away what a test wants to see.
        other: a spelling in which every parameter differs from its default.
        channels: whether it attributes to input channels.
        targets: ``any``, ``logits`` (classes and margins) or ``class``.
        sees_target: whether the target shapes the map.
    """

    fast: str
    other: str
    channels: bool = True
    targets: str = "any"
    sees_target: bool = True


def _cam(name: str, **special) -> Row:
    other = f"{name}(layer=('late', 'middle'), rectify=False, upsampling='corners')"
    return Row(f"{name}(rectify=False)", other, channels=False, **special)


ROWS = {
    "gradient": Row("gradient", "gradient(reduction='l2')"),
    "input_x_gradient": Row("input_x_gradient", "input_x_gradient(reduction='abs_sum')"),
    "smooth_grad": Row(
        "smooth_grad(samples=3)",
        "smooth_grad(integrated_gradients(steps=2), samples=3, sigma=0.2, batch=2)",
    ),
    "var_grad": Row("var_grad(samples=3)", "var_grad(input_x_gradient, samples=3, sigma=0.2, batch=2)"),
    "integrated_gradients": Row(
        "integrated_gradients(steps=3)",
        "integrated_gradients(steps=3, baseline='noise', reduction='l2', batch=2)",
    ),
    "expected_gradients": Row(
        "expected_gradients(samples=4)",
        "expected_gradients(samples=4, baselines=('noise', 'blur'), reduction='l2', batch=3)",
    ),
    "guided_backprop": Row("guided_backprop", "guided_backprop(reduction='sum')"),
    "deconvnet": Row("deconvnet", "deconvnet(reduction='sum')"),
    "cam": Row("cam", "cam(rectify=True, upsampling='corners')", channels=False, targets="logits"),
    "grad_cam": _cam("grad_cam"),
    "grad_cam_plus_plus": _cam("grad_cam_plus_plus"),
    "hires_cam": _cam("hires_cam"),
    "layer_cam": _cam("layer_cam"),
    "xgrad_cam": _cam("xgrad_cam"),
    "eigen_cam": _cam("eigen_cam", sees_target=False),
    "guided_grad_cam": Row(
        "guided_grad_cam(layer='late')",
        "guided_grad_cam(layer='middle', upsampling='corners', reduction='sum')",
    ),
    "finer_cam": Row(
        "finer_cam(grad_cam(rectify=False))",
        "finer_cam(layer_cam(rectify=False), references=2, strength=0.5)",
        channels=False,
        targets="class",
    ),
}

SMALL = ("plain", "gray", "four", "softmax", "float64")
PUBLISHED = ("resnet18", "squeezenet1_1", "mobilenet_v2")

each_method = pytest.mark.parametrize("name", METHODS)


def _fast(name: str, network: str = "plain"):
    """The fast spelling; published networks have other layers, so the suggested one is taken there."""
    return method(ROWS[name].fast if network in SMALL else ROWS[name].fast.replace("(layer='late')", ""))


def _relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max().clamp(min=1e-12))


@each_method
def test_has_a_row_and_a_page(name):
    assert name in ROWS, f"{name} has no row in this table"
    page = ROOT / "docs" / "methods" / f"{name}.md"
    assert page.is_file(), f"{name} has no page docs/methods/{name}.md"


def test_no_row_is_left_over():
    assert set(ROWS) == set(METHODS)


@each_method
@pytest.mark.parametrize("network", [*SMALL, *PUBLISHED])
def test_a_map_of_the_pictures_size_for_any_network(name, network, networks, pictures_for):
    model = networks[network]
    images = pictures_for(model)
    before = images.clone()
    result = _fast(name, network)(model, images, ["class:1", "class:3"])
    height, width = model.spec.preprocessing.size
    assert result.values.shape == (2, model.channels if ROWS[name].channels else 1, height, width)
    assert result.maps.shape == (2, height, width)
    assert result.values.dtype == torch.float32
    assert result.values.isfinite().all()
    for index, values in enumerate(result.values):
        assert values.any() or result.facts["positive_share"][index] == 0, "a blank map says that it is blank"
    assert torch.equal(images, before)
    assert torch.equal(result.images, images)
    assert result.images.data_ptr() != images.data_ptr(), "a result must not change with the caller's tensor"
    logits = record(model, images, ["output"])["output"].float()
    torch.testing.assert_close(result.scores, torch.stack([logits[0, 1], logits[1, 3]]))
    assert result.targets == ("class:1", "class:3")
    assert result.provenance.method == spell(_fast(name, network))


@each_method
@pytest.mark.parametrize("network", ["plain", "resnet18"])
def test_the_same_seed_gives_the_same_map_to_the_last_bit(name, network, networks, pictures_for):
    model = networks[network]
    images = pictures_for(model)
    first, second = (_fast(name, network)(model, images, "class:2", seed=7) for _ in range(2))
    assert torch.equal(first.values, second.values)
    assert torch.equal(first.scores, second.scores)


@pytest.mark.parametrize("name", ["smooth_grad", "var_grad", "expected_gradients"])
def test_another_seed_gives_another_map(name, networks, pictures_for):
    images = pictures_for(networks["plain"])
    first, second = (_fast(name)(networks["plain"], images, "class:2", seed=seed) for seed in (0, 1))
    assert _relative(first.values, second.values) > 1e-3


@each_method
@pytest.mark.parametrize("network", ["plain", "resnet18", "squeezenet1_1"])
def test_other_targets_give_other_maps(name, network, networks, pictures_for):
    model = networks[network]
    images = pictures_for(model, 1)
    one, two = (_fast(name, network)(model, images, target).values for target in ("class:1", "class:2"))
    if ROWS[name].sees_target:
        assert _relative(one, two) > 1e-2
    else:
        assert torch.equal(one, two)


@each_method
@pytest.mark.parametrize("spelling", ["fast", "other"])
@pytest.mark.parametrize("network", ["plain", "gray", "resnet18"])
def test_a_batch_is_its_pictures_one_by_one(name, spelling, network, networks, pictures_for):
    if spelling == "other" and network == "resnet18":
        asked = method(ROWS[name].other.replace("'late'", "'layer3'").replace("'middle'", "'layer2'"))
    else:
        asked = method(ROWS[name].other) if spelling == "other" else _fast(name, network)
    model = networks[network]
    images = pictures_for(model, 3)
    targets = ["class:1", "class:4", "class:1"]
    batch = asked(model, images, targets)
    for index, target in enumerate(targets):
        single = asked(model, images[index : index + 1], target)
        # The order of a wide convolution's sums depends on the batch, and rectified maps are what is left of them.
        assert _relative(batch.values[index], single.values[0]) < (1e-4 if network == "resnet18" else 1e-5)
        assert _relative(batch.scores[index], single.scores[0]) < 1e-4
        for fact, value in batch.facts.items():
            if isinstance(value, tuple) and isinstance(value[0], float) and "error" not in fact:
                assert value[index] == pytest.approx(single.facts[fact][0], rel=1e-4, abs=1e-6)


@each_method
def test_gradients_are_taken_whatever_the_callers_grad_mode(name, networks, pictures_for):
    model = networks["plain"]
    plain = _fast(name)(model, pictures_for(model), "class:1")
    with torch.no_grad():
        assert torch.equal(_fast(name)(model, pictures_for(model), "class:1").values, plain.values)
    with torch.inference_mode():
        inside = _fast(name)(model, pictures_for(model), "class:1")
    assert torch.equal(inside.values, plain.values)
    assert not inside.values.requires_grad
    pixels = pictures_for(model).requires_grad_()
    assert torch.equal(_fast(name)(model, pixels, "class:1").values, plain.values)
    assert pixels.grad is None


@each_method
def test_nothing_of_the_callers_is_touched(name, fresh, pictures_for, trace_of):
    """A network in train mode, with parameters that need gradients, a hook of its own and gradients kept."""
    model = fresh()
    module = model.module.train()
    module.late.register_forward_hook(lambda *_: None)
    module.fc.weight.grad = torch.ones_like(module.fc.weight)
    images = pictures_for(model)
    before = trace_of(model, images)
    result = _fast(name)(model, images, "class:top")
    assert trace_of(model, images) == before
    model.module.eval()
    assert torch.equal(_fast(name)(model, images, "class:top").values, result.values)


@each_method
@pytest.mark.parametrize("known", [False, True])
def test_nothing_is_touched_when_the_network_fails(name, known, fresh, pictures_for, trace_of):
    """Whether it fails at the first look, or later, when its layers are known already."""
    model = fresh()
    images = pictures_for(model)
    if known:
        _fast(name)(model, images, "class:1")
    model.module.train().armed = True
    before = trace_of(model, images)
    if known and name == "cam":
        _fast(name)(model, images, "class:1")  # runs the exported graph, in which the failing line is no more
    else:
        with pytest.raises((ValueError, ModelError), match="a network's own error"):
            _fast(name)(model, images, "class:1")
    assert trace_of(model, images) == before


KINDS = {
    "class": "class:1",
    "top": "class:top2",
    "margin": "class:1 - class:2",
    "channel": "late:1",
    "element": "late:1@2,1",
    "position": "late@2,1",
    "layer": "late",
    "early channel": "first:1",
    "direction": None,
}

ALLOWED = {"any": set(KINDS), "logits": {"class", "top", "margin"}, "class": {"class", "top"}}


@each_method
@pytest.mark.parametrize("kind", KINDS)
def test_any_target(name, kind, networks, pictures_for):
    model = networks["plain"]
    images = pictures_for(model)
    vector = torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0, -1.0, 1.0])
    target = KINDS[kind] or direction(model, "late", vector)
    layerless = method(ROWS[name].fast.replace("(layer='late')", ""))
    if kind not in ALLOWED[ROWS[name].targets]:
        with pytest.raises(MethodError, match=f"^{name} "):
            layerless(model, images, target)
        return
    result = layerless(model, images, target)
    assert result.values.isfinite().all()
    assert (result.values.flatten(1).abs().amax(dim=1) > 0).all()
    seen = record(model, images, ["output", "late", "first"])
    order = seen["output"].argsort(dim=1, descending=True)
    expected = {
        "class": lambda: seen["output"][:, 1],
        "top": lambda: seen["output"].gather(1, order[:, 1:2])[:, 0],
        "margin": lambda: seen["output"][:, 1] - seen["output"][:, 2],
        "channel": lambda: seen["late"][:, 1].mean(dim=(1, 2)),
        "element": lambda: seen["late"][:, 1, 2, 1],
        "position": lambda: seen["late"][:, :, 2, 1].mean(dim=1),
        "layer": lambda: seen["late"].mean(dim=(1, 2, 3)),
        "early channel": lambda: seen["first"][:, 1].mean(dim=(1, 2)),
        "direction": lambda: seen["late"].mean(dim=(2, 3)) @ vector,
    }
    torch.testing.assert_close(result.scores, expected[kind]())
    if kind == "top":
        assert result.targets == tuple(f"class:{int(i)}" for i in order[:, 1])


@each_method
def test_a_target_of_its_own_for_each_picture(name, networks, pictures_for):
    model = networks["plain"]
    images = pictures_for(model, 4)
    unit = "class:0" if ROWS[name].targets != "any" else "late:3"
    targets = ["class:1", unit, "class:top", read_target("class:2", model)]
    asked = method(ROWS[name].fast)
    result = asked(model, images, targets)
    for index, target in enumerate(targets):
        single = asked(model, images[index : index + 1], target)
        assert _relative(result.values[index], single.values[0]) < 1e-5
        assert result.targets[index] == single.targets[0]


@each_method
def test_two_directions_of_one_layer_are_two_targets(name, networks, pictures_for):
    if ROWS[name].targets != "any" or not ROWS[name].sees_target:
        return
    model = networks["plain"]
    images = pictures_for(model, 1).expand(2, -1, -1, -1)
    vectors = torch.eye(7)[[0, 3]]
    result = _fast(name)(model, images, [direction(model, "late", vector) for vector in vectors])
    assert _relative(result.values[0], result.values[1]) > 1e-2


@each_method
def test_double_precision_agrees_with_single(name, networks, pictures_for):
    images = pictures_for(networks["plain"])
    single, double = (_fast(name)(networks[network], images, "class:1") for network in ("plain", "float64"))
    assert double.values.dtype == torch.float32
    assert _relative(single.values, double.values) < 1e-4
    assert double.provenance.dtype == "float64"


@each_method
def test_a_softmax_at_the_end_is_looked_behind(name, networks, pictures_for):
    """The map is that of the logits, bit for bit the one of the same network without its softmax."""
    model = networks["softmax"]
    images = pictures_for(model)
    with_softmax = _fast(name)(model, images, "class:1")
    model.module.softmax = False
    try:
        plain = _fast(name)(type(model)(model.module, model.spec), images, "class:1")
    finally:
        model.module.softmax = True
    assert torch.equal(with_softmax.values, plain.values)
    assert torch.equal(with_softmax.scores, plain.scores)


@each_method
@pytest.mark.parametrize("spelling", ["bare", "fast", "other"])
def test_the_spelling_makes_the_same_method_again(name, spelling):
    made = METHODS[name]() if spelling == "bare" else method(getattr(ROWS[name], spelling))
    assert made.name == name
    again = parse_method(spell(made), METHODS)
    assert again == made
    assert hash(again) == hash(made)
    assert spell(again) == spell(made)
    assert eval(repr(again), {kind.__name__: kind for kind in METHODS.values()}) == made


@each_method
def test_the_other_spelling_leaves_no_parameter_at_its_default(name):
    made, default = method(ROWS[name].other), METHODS[name]()
    for parameter in fields(made):
        assert getattr(made, parameter.name) != getattr(default, parameter.name), parameter.name
    assert spell(default) == name


@each_method
def test_methods_are_frozen(name):
    made = METHODS[name]()
    for parameter in fields(made):
        with pytest.raises(FrozenInstanceError):
            setattr(made, parameter.name, getattr(made, parameter.name))


@each_method
def test_every_parameter_is_documented(name):
    text = METHODS[name].__doc__
    for parameter in fields(METHODS[name]):
        # where it is declared: in the method itself, or in what it shares with its kind
        (owner,) = [kind for kind in METHODS[name].__mro__ if parameter.name in inspect.get_annotations(kind)]
        assert f"{parameter.name}:" in owner.__doc__, parameter.name
    assert "arXiv:" in text or "doi:" in text
