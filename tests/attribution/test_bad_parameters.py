"""One clear line for everything that a user can get wrong: what, got, expected, next step."""

import jaxtyping
import pytest
import torch
from torch import nn

from convscope.attribution import METHODS, ExpectedGradients, GradCAM, Gradient, IntegratedGradients, method, spell
from convscope.errors import AddressError, ConvscopeError, ImageError, MethodError, ModelError, TargetError


@pytest.fixture
def unchecked():
    """As the user has it: without the run-time type checks of the tests, which would speak first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


SPELLINGS = [
    ("grad_camm", "no method 'grad_camm'. Did you mean 'grad_cam'"),
    ("Grad-CAM", "not a method: 'Grad-CAM'. Did you mean 'grad_cam'"),
    ("saliency_of_some_kind", "no method 'saliency_of_some_kind'. Known: gradient, input_x_gradient, smooth_grad"),
    ("", "not a method: ''. Expected NAME or NAME(parameter=value, ...), with texts in quotes."),
    ("grad_cam(", "not a method: 'grad_cam('. Did you mean 'grad_cam'"),
    ("grad_cam(layer=layer3.1)", "not a method: 'grad_cam(layer=layer3.1)'. Expected NAME or NAME(parameter=value"),
    ("grad_cam(layer=layer4)", "not a value: layer4 in 'grad_cam(layer=layer4)'. Expected a number, a text in quotes"),
    ("__import__('os').system('true')", "not a method: "),
    ("grad_cam(layer=__import__('os'))", "no method '__import__'."),
    ("gradient(reduction={[]: 1})", "not a value: {[]: 1} in "),
    ("grad_cam(layr='x')", "grad_cam has no parameter 'layr'. Did you mean 'layer'? Its parameters: layer,"),
    ("gradient(1, 2)", "gradient takes at most 1 parameters (reduction), got 2."),
    ("gradient('sum', reduction='l2')", "gradient is given 'reduction' twice in "),
    ("gradient(reduction='sum', reduction='l2')", "gradient is given 'reduction' twice in "),
    ("gradient(reduction='max')", "gradient: reduction is 'max_abs' or 'l2' or 'sum' or 'abs_sum', got 'max'."),
    ("grad_cam(upsampling='nearest')", "grad_cam: upsampling is 'aligned' or 'corners', got 'nearest'."),
    ("grad_cam(rectify=1)", "grad_cam: rectify is True or False, got 1."),
    ("grad_cam(layer=4)", "grad_cam: layer is a text or a tuple of texts or None, got 4."),
    ("integrated_gradients(steps=0)", "needs at least 1 step and a batch of at least 1, got steps=0"),
    ("integrated_gradients(steps=2.5)", "integrated_gradients: steps is a whole number, got 2.5."),
    ("integrated_gradients(batch=0)", "and a batch of at least 1, got steps=50, batch=0."),
    ("smooth_grad(samples=0)", "smooth_grad needs at least 1 sample, sigma of at least 0 and a batch"),
    ("smooth_grad(sigma=-1)", "smooth_grad needs at least 1 sample, sigma of at least 0"),
    ("smooth_grad(sigma=1e999)", "smooth_grad: sigma is a number, got inf."),
    ("smooth_grad(3)", "smooth_grad: method is a method, got 3."),
    ("smooth_grad(samples='many')", "smooth_grad: samples is a whole number, got 'many'."),
    ("var_grad(samples=1)", "var_grad needs at least 2 samples for a variance, got 1."),
    ("expected_gradients(samples=0)", "expected_gradients needs at least 1 sample, 1 baseline and a"),
    ("expected_gradients(baselines=())", "expected_gradients needs at least 1 sample, 1 baseline"),
    ("expected_gradients(baselines='black')", "baselines is a tuple of texts or a tensor, got 'black'."),
    ("finer_cam(references=0)", "at least 1 class and a strength of at least 0, got references=0"),
    ("finer_cam(strength=-0.5)", "finer_cam compares with at least 1 class and a strength of at least 0"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), SPELLINGS, ids=[text for text, _ in SPELLINGS])
def test_a_spelling_that_means_nothing(text, message, unchecked):
    with pytest.raises(MethodError) as error:
        method(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_tensor_where_a_word_belongs_is_not_printed_whole(unchecked):
    with pytest.raises(MethodError) as error:
        Gradient(reduction=torch.zeros(100, 100))
    assert len(str(error.value)) < 150


IMAGES = [
    ("bytes", lambda: torch.zeros(1, 3, 16, 16, dtype=torch.uint8), "got torch.uint8 (1, 3, 16, 16)."),
    ("one picture", lambda: torch.zeros(3, 16, 16), "(3, 16, 16). Add the batch dimension with images[None]."),
    ("gray", lambda: torch.zeros(1, 1, 16, 16), "expected float images of shape (n, 3, height, width) in [0, 1]"),
    ("channels last", lambda: torch.zeros(1, 16, 16, 3), "got torch.float32 (1, 16, 16, 3)."),
    ("none", lambda: torch.zeros(0, 3, 16, 16), "got torch.float32 (0, 3, 16, 16)."),
    ("0 to 255", lambda: torch.full((1, 3, 16, 16), 200.0), "got values from 200 to 200. Give pixels before"),
    ("normalized", lambda: torch.randn(1, 3, 16, 16), "expected images in [0, 1], got values from -"),
    ("not a number", lambda: torch.full((1, 3, 16, 16), float("nan")), "got values from nan to nan."),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), [case[1:] for case in IMAGES], ids=[case[0] for case in IMAGES])
@pytest.mark.parametrize("name", ["gradient", "grad_cam", "cam", "smooth_grad"])
def test_pictures_that_are_none(name, make, message, small_model, unchecked):
    with pytest.raises(ImageError) as error:
        method(name)(small_model, make(), "class:1")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_rounding_a_little_beyond_the_range_is_no_reason_to_complain(small_model):
    images = torch.tensor([-5e-5, 1 + 5e-5]).repeat(1, 3, 16, 8)
    assert Gradient()(small_model, images, "class:1").values.isfinite().all()


def test_a_picture_too_small_for_the_network(pooled):
    with pytest.raises(ModelError, match=r"does not run on 1×1 images: .* Its own input is 17×21"):
        Gradient()(pooled(padding=0), torch.zeros(1, 3, 1, 1), "class:1")


LAYERS = [
    ("conv3", AddressError, "no layer 'conv3' in net. Did you mean"),
    ("conv2:3", MethodError, "a class activation map weighs all channels of a layer, got 'conv2:3'. Give 'conv2'."),
    ("conv2@1,1", MethodError, "a class activation map weighs all channels of a layer, got 'conv2@1,1'. Give 'conv2'."),
    ("fc", MethodError, "layer 'fc' of net has output (3,), which has no positions to draw. Choose a layer with maps"),
    ("flat", MethodError, "layer 'flat' of net has output (8,), which has no positions to draw."),
    ("class:1", MethodError, "a class activation map weighs all channels of a layer, got 'class:1'. Give 'output'."),
    ("conv2~1", AddressError, "layer 'conv2' of net runs once: its call is ~0, got ~1."),
    ((), MethodError, "layer=() names no layer. Give one, several, or None for the suggested one."),
]


@pytest.mark.parametrize(("layer", "kind", "message"), LAYERS, ids=[str(case[0]) for case in LAYERS])
def test_layers_that_cannot_be_looked_at(layer, kind, message, pooled, pictures):
    with pytest.raises(kind) as error:
        GradCAM(layer=layer)(pooled(), pictures(1, 3, 17, 21), "class:1")
    assert message in str(error.value)


def test_a_layer_behind_the_target(pooled, pictures):
    with pytest.raises(MethodError) as error:
        GradCAM(layer="relu2")(pooled(), pictures(2, 3, 17, 21), ["class:1", "conv1:2"])
    assert str(error.value) == (
        "layer 'relu2' runs after 'conv1', where the target of image 1 is, and cannot influence it. "
        "Give an earlier layer, or a later target."
    )


def test_a_network_without_maps(linear_model, pictures):
    with pytest.raises(MethodError, match="linear has no layer with positions to draw a class activation map on"):
        GradCAM()(linear_model, pictures(1, 2, 4, 5), "class:1")


TARGETS = [
    ("class:99", ConvscopeError, "class:99: net has 3 channels there, 0 to 2."),
    ("class:tabby", AddressError, "net has no class names, so 'class:tabby' means nothing. Give an index"),
    ("class:top9", TargetError, "class:top9 asked of a network with 3 classes."),
    ("conv2:8", TargetError, "conv2:8: net has 8 channels there, 0 to 7."),
    ("conv2:0@99,0", TargetError, "conv2:0@99,0: conv2 has 9×11 positions, got row 99, column 0"),
    ("fc@0,0", TargetError, "fc has no positions, got row 0, column 0"),
    (["class:1", "class:2", "class:0"], TargetError, "3 targets for 2 images. Give one target, or one per image."),
]


@pytest.mark.parametrize(("target", "kind", "message"), TARGETS, ids=[str(case[0]) for case in TARGETS])
@pytest.mark.parametrize("name", ["gradient", "grad_cam", "integrated_gradients", "eigen_cam"])
def test_targets_that_are_not_there(name, target, kind, message, pooled, pictures):
    with pytest.raises(kind) as error:
        method(name)(pooled(), pictures(2, 3, 17, 21), target)
    assert message in str(error.value)


@pytest.mark.parametrize("head", ["max", "flat", "hidden", "half"])
def test_cam_of_a_head_that_is_not_global_average_pooling_and_linear(head, wrap, pictures):
    heads = {
        "max": [nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, 3)],
        "flat": [nn.Flatten(), nn.Linear(4 * 64, 3)],
        "hidden": [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)],
        "half": [nn.AdaptiveAvgPool2d((1, 4)), nn.Flatten(), nn.Linear(16, 3)],
    }
    model = wrap(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), *heads[head]), size=(8, 8))
    with pytest.raises(MethodError) as error:
        method("cam")(model, pictures(1, 3, 8, 8), "class:1")
    assert str(error.value) == (
        "cam is defined for networks that end in global average pooling and linear layers; net does not. Use grad_cam."
    )


def test_methods_for_classes_say_so_for_hidden_units(pooled, pictures):
    images = pictures(1, 3, 17, 21)
    with pytest.raises(MethodError, match=r"^cam is defined for class targets only. Use grad_cam for hidden units.$"):
        method("cam")(pooled(), images, "conv2:1")
    for target in ("conv2:1", "class:1 - class:2"):
        with pytest.raises(MethodError) as error:
            method("finer_cam(references=1)")(pooled(), images, target)
        expected = f"finer_cam contrasts a class with others, got target {target!r}. Use a class target."
        assert str(error.value) == expected
    with pytest.raises(MethodError, match=r"finer_cam needs more than 3 classes, net has output \(3,\)."):
        method("finer_cam")(pooled(), images, "class:1")


BASELINES = [
    (torch.zeros(3, 8, 8), MethodError, "for images of shape (2, 3, 16, 16). Give (c, h, w)"),
    (torch.zeros(5, 3, 16, 16), MethodError, "baseline of shape (5, 3, 16, 16) for images of shape (2, 3, 16, 16)."),
    (torch.zeros(16, 16), MethodError, "baseline of shape (16, 16) for images"),
    (torch.zeros(3, 16, 16, dtype=torch.uint8), MethodError, "floats in [0, 1], got torch.uint8 from 0 to 0."),
    (torch.full((3, 16, 16), -2.0), MethodError, "got torch.float32 from -2 to -2."),
    ("blak", MethodError, "not a baseline: 'blak'. Expected black, white, mean, blur, noise, image:PATH or a tensor."),
    ("tensor (3, 16, 16) 0123456789ab", MethodError, "holds only a digest of the baseline, which was a tensor (3,"),
    ("image:/nowhere/to/be/found.png", ImageError, "/nowhere/to/be/found.png"),
]  # fmt: skip


@pytest.mark.parametrize(("baseline", "kind", "message"), BASELINES, ids=[str(i) for i in range(len(BASELINES))])
def test_baselines_that_are_none(baseline, kind, message, small_model, pictures):
    with pytest.raises(kind) as error:
        IntegratedGradients(baseline=baseline)(small_model, pictures(2, 3, 16, 16), "class:1")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_expected_gradients_check_their_baselines_too(small_model, pictures):
    with pytest.raises(MethodError, match="not a baseline: 'grey'"):
        ExpectedGradients(baselines=("black", "grey"))(small_model, pictures(2, 3, 16, 16), "class:1")
    with pytest.raises(MethodError, match="baseline of shape"):
        ExpectedGradients(baselines=torch.zeros(2, 3, 8, 8))(small_model, pictures(2, 3, 16, 16), "class:1")


def test_a_method_with_a_tensor_is_spelled_by_its_digest():
    """Two baselines have two spellings, and neither pretends to be the default."""
    one, two = (IntegratedGradients(baseline=torch.full((3, 2, 2), level)) for level in (0.25, 0.5))
    assert spell(one) != spell(two)
    assert spell(one).startswith("integrated_gradients(baseline='tensor (3, 2, 2) ")
    assert spell(one) == spell(IntegratedGradients(baseline=torch.full((3, 2, 2), 0.25)))


def test_another_precision_must_be_a_floating_point_type(small_model, pictures):
    with pytest.raises(ModelError, match=r"a network runs in a floating-point type, got torch\.int32"):
        Gradient()(small_model, pictures(1, 3, 16, 16), "class:1", dtype=torch.int32)


def test_every_method_is_found_by_its_name_and_near_misses_name_it():
    for name in METHODS:
        assert method(name) == METHODS[name]()
        with pytest.raises(MethodError, match=f"'{name}'"):
            method(name + "x")
