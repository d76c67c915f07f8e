"""Where peers compute something else, a network small enough to compute by hand decides.

Each test states the right answer, that ours is that answer, and what the peer gives, so that a peer that is corrected
some day shows up here. The table is ``docs/explanation/disagreements.md``.
"""

import copy
import inspect
import warnings
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from convscope.attribution import method
from convscope.errors import TargetError
from convscope.probe import record

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import captum.attr as captum
    import pytorch_grad_cam as peer
    import torchcam.methods as torchcam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

pytestmark = pytest.mark.filterwarnings("ignore")  # the peers' own


class Split(nn.Module):
    """f(x) = a(x) − a(x) with one rectifier a: the gradient is 0, guided backpropagation passes the first branch, 1."""

    def __init__(self, activation) -> None:
        super().__init__()
        self.activation = activation
        self.signs = nn.Conv2d(2, 1, 1, bias=False)
        with torch.no_grad():
            self.signs.weight.copy_(torch.tensor([1.0, -1.0]).view(1, 2, 1, 1))

    def forward(self, x):
        return self.signs(self.activation(torch.cat([x, x], dim=1))).flatten(1)


SPELLINGS = {
    "nn.ReLU": nn.ReLU,
    "nn.ReLU in place": lambda: nn.ReLU(inplace=True),
    "nn.ReLU6": nn.ReLU6,
    "F.relu": lambda: F.relu,
    "F.relu in place": lambda: lambda x: F.relu(x, inplace=True),
    "torch.relu_": lambda: torch.relu_,
    "Tensor.relu": lambda: torch.Tensor.relu,
    "Tensor.clamp": lambda: lambda x: x.clamp(min=0),
}

SEEN_BY_CAPTUM = {"nn.ReLU", "nn.ReLU in place"}


class Skip(nn.Module):
    """f(x) = x + g · relu(x): the rule belongs to the rectifier's branch alone."""

    def __init__(self, g: float) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.g = g

    def forward(self, x):
        return (x + self.g * self.relu(x)).flatten(1)


def _pooled(weights, *, relu=None):
    """conv (1 × 1, given weights) → [relu] → global average pooling → linear (given weights)."""
    convolution, head = (torch.tensor(values, dtype=torch.float32) for values in weights)
    layers = OrderedDict(conv=nn.Conv2d(1, len(convolution), 1, bias=False))
    if relu is not None:
        layers["relu"] = relu
    layers |= {"gap": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), "fc": nn.Linear(*head.T.shape, bias=False)}
    net = nn.Sequential(layers)
    with torch.no_grad():
        net.conv.weight.copy_(convolution.view(-1, 1, 1, 1))
        net.fc.weight.copy_(head)
    return net.eval()


class TestRules:
    """Guided backpropagation and deconvnet."""

    @pytest.mark.parametrize("spelling", SPELLINGS)
    def test_every_spelling_of_relu_is_covered(self, spelling, wrap):
        net = Split(SPELLINGS[spelling]())
        image = torch.full((1, 1, 1, 1), 0.5)
        ours = method("guided_backprop")(wrap(net, channels=1, size=(1, 1)), image, "class:0")
        assert ours.values.item() == 1.0
        assert ours.facts["coverage"].startswith("1/1 activation calls covered")
        theirs = captum.GuidedBackprop(copy.deepcopy(net)).attribute(image.clone(), target=0)
        assert theirs.item() == (1.0 if spelling in SEEN_BY_CAPTUM else 0.0)

    def test_pytorch_grad_cam_replaces_modules_and_so_misses_functions_too(self):
        for spelling, activation in SPELLINGS.items():
            theirs = peer.GuidedBackpropReLUModel(Split(activation()))(torch.full((1, 1, 1, 1), 0.5), 0)
            assert theirs.item() == (1.0 if spelling in SEEN_BY_CAPTUM else 0.0)

    def test_the_signal_of_a_skip_connection_is_not_rectified(self, wrap):
        """x = ½, g = −3: R = 1 + max(−3, 0) = 1. captum rectifies the sum: max(1 − 3, 0) = 0."""
        image = torch.full((1, 1, 1, 1), 0.5)
        ours = method("guided_backprop")(wrap(Skip(-3.0), channels=1, size=(1, 1)), image, "class:0")
        assert ours.values.item() == 1.0
        assert captum.GuidedBackprop(Skip(-3.0)).attribute(image.clone(), target=0).item() == 0.0

    def test_the_signal_of_a_skip_connection_is_not_lost(self, wrap):
        """g = 2: deconvnet passes R = 1 + max(2, 0) = 3. captum puts the rectifier's part in place of the sum: 2."""
        image = torch.full((1, 1, 1, 1), 0.5)
        ours = method("deconvnet")(wrap(Skip(2.0), channels=1, size=(1, 1)), image, "class:0")
        assert ours.values.item() == 3.0
        assert captum.Deconvolution(Skip(2.0)).attribute(image.clone(), target=0).item() == 2.0

    def test_pytorch_grad_cam_leaves_a_changed_network_and_gradients_behind(self, wrap, trace_of):
        """Two in-place rectifiers become one shared object that is not in place; a second call adds to the first."""
        layers = OrderedDict(
            first=nn.Conv2d(1, 1, 1),
            a=nn.ReLU(inplace=True),
            second=nn.Conv2d(1, 1, 1),
            b=nn.ReLU(inplace=True),
            flat=nn.Flatten(),
        )
        net, image = nn.Sequential(layers).eval(), torch.full((1, 1, 2, 2), 0.5)
        for parameter in net.parameters():
            nn.init.ones_(parameter)
        model = wrap(net, channels=1, size=(2, 2))
        before = trace_of(net, image)
        first, second = (method("guided_backprop")(model, image, "class:0").values for _ in range(2))
        assert trace_of(net, image) == before
        assert torch.equal(first, second)
        guided = peer.GuidedBackpropReLUModel(net)
        one, two = (guided(image, 0).copy() for _ in range(2))
        assert net.a is net.b
        assert not net.a.inplace
        assert two.sum() == 2 * one.sum() != 0


class TestClassActivationMaps:
    """Activations, weights and signs."""

    def test_activations_are_seen_before_they_are_overwritten(self, wrap):
        """A convolution that subtracts ½, a rectifier in place: half of what the hook saw is negative."""
        net = _pooled(([1.0], [[1.0]]), relu=nn.ReLU(inplace=True))
        net.conv.bias = nn.Parameter(torch.tensor([-0.5]))
        image = torch.tensor([0.0, 0.25, 0.75, 1.0]).view(1, 1, 2, 2)
        ours = method("grad_cam(layer='conv', rectify=False)")(wrap(net, channels=1, size=(2, 2)), image, "class:0")
        # The gradient is ¼ where the rectifier is active (two of four cells), so the weight is ⅛.
        torch.testing.assert_close(ours.cells, (image - 0.5) / 8)
        with peer.GradCAM(net, [net.conv]) as cam:
            cam(image.clone(), [ClassifierOutputTarget(0)])
            theirs = cam.activations_and_grads.activations[0]
        torch.testing.assert_close(theirs, (image - 0.5).clamp(min=0))

    def test_grad_cam_plus_plus_weighs_small_gradients_as_the_paper_does(self, wrap):
        """Two channels with gradients G = 10⁻⁴ and 2 · 10⁻⁴: α ≈ ½, so the weights are as 1 to 2.

        pytorch-grad-cam adds 10⁻⁶ to the denominator, beside G² = 10⁻⁸; torchcam divides a masked copy, so nothing is
        divided: in both the weights are as G³, 1 to 8.
        """
        net = _pooled(([1.0, 1.0], [[4e-4, 8e-4]]))
        image = torch.tensor([0.0, 0.25, 0.5, 0.25]).view(1, 1, 2, 2)
        model = wrap(net, channels=1, size=(2, 2))
        ours = method("grad_cam_plus_plus(layer='conv')")(model, image, "class:0")
        exact = sum(4 * g / (2 + g * float(image.sum())) for g in (1e-4, 2e-4))
        torch.testing.assert_close(ours.cells, exact * image)
        gradient = torch.tensor([1e-4, 2e-4]).view(1, 2, 1, 1).expand(1, 2, 2, 2)
        activation = image.expand(1, 2, 2, 2)
        with peer.GradCAMPlusPlus(net, [net.conv]) as cam:
            weights = cam.get_cam_weights(image, [net.conv], None, activation.numpy(), gradient.numpy())
        assert weights[0, 1] / weights[0, 0] == pytest.approx(8, rel=0.1)
        with torchcam.GradCAMpp(net, "conv", input_shape=(1, 2, 2)) as extractor:
            scores = net(image.clone().requires_grad_())
            (weights,) = extractor._get_weights([0], scores)
        assert float(weights[0, 1] / weights[0, 0]) == pytest.approx(8, rel=1e-3)

    def test_eigen_cam_is_not_centered_and_has_a_sign(self, wrap):
        """One channel: A V₁ is the activation itself. pytorch-grad-cam gives ± its difference from the mean."""
        net = _pooled(([1.0], [[1.0]]))
        image = torch.tensor([0.5, 0.75, 0.5, 0.25]).view(1, 1, 2, 2)
        ours = method("eigen_cam(layer='conv')")(wrap(net, channels=1, size=(2, 2)), image, "class:0")
        torch.testing.assert_close(ours.cells, image)
        with peer.EigenCAM(net, [net.conv]) as cam:
            theirs = torch.as_tensor(cam.get_cam_image(image, net.conv, None, image.numpy(), None, False))
        torch.testing.assert_close(theirs.abs(), (image[0] - 0.5).abs())

    def test_negative_evidence_is_not_shown_unless_asked_for(self, wrap):
        """A head of weight −1: the paper's map is blank, which the facts say. captum's is negative by default."""
        net = _pooled(([1.0], [[-1.0]]))
        image = torch.tensor([0.0, 0.25, 0.5, 0.25]).view(1, 1, 2, 2)
        ours = method("grad_cam(layer='conv')")(wrap(net, channels=1, size=(2, 2)), image, "class:0")
        assert not ours.values.any()
        assert ours.facts["positive_share"] == (0.0,)
        theirs = captum.LayerGradCam(net, net.conv).attribute(image.clone(), target=0)
        torch.testing.assert_close(theirs.detach(), -image / 4)

    def test_too_few_targets_are_an_error_and_not_an_empty_map(self, wrap, pictures):
        net = _pooled(([1.0], [[1.0], [2.0]]))
        images = pictures(3, 1, 4, 4)
        model = wrap(net, channels=1, size=(4, 4))
        with pytest.raises(TargetError, match="2 targets for 3 images"):
            method("grad_cam")(model, images, ["class:0", "class:1"])
        with peer.GradCAM(net, [net.conv]) as cam:
            theirs = cam(images.clone(), [ClassifierOutputTarget(0), ClassifierOutputTarget(1)])
        assert theirs[:2].any()
        assert not theirs[2].any()

    def test_finer_cam_takes_the_plain_mean_of_the_references(self, wrap):
        """Classes see channels 0, 1 and 2; the margin of class 0 is w₀ − 0.6 · ½ (w₁ + w₂).

        pytorch-grad-cam weighs the references by their probabilities, differentiates those as well, and takes the
        strength 1.
        """
        net = _pooled(([1.0, 2.0, -4.0], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
        image = torch.tensor([0.0, 0.25, 0.5, 0.25]).view(1, 1, 2, 2)
        model = wrap(net, channels=1, size=(2, 2))
        ours = method("finer_cam(grad_cam(layer='conv', rectify=False), references=2)")(model, image, "class:0")
        torch.testing.assert_close(ours.cells, (1 - 0.3 * 2 + 0.3 * 4) / 4 * image)
        with peer.FinerCAM(net, [net.conv]) as cam:
            cam(image.clone(), None, target_idx=0)
            gradient = cam.base_cam.activations_and_grads.gradients[0].mean(dim=(2, 3))[0] * 4
        assert not torch.allclose(gradient, torch.tensor([1.0, -0.3, -0.3]), atol=0.05)


class TestPixels:
    """Baselines, noise and reductions."""

    def test_black_is_black_and_not_the_mean_color(self, linear_model, pictures):
        """On normalized input captum's zero baseline is the mean color; ours is black unless told."""
        spec = linear_model.spec
        preprocessing = type(spec.preprocessing)(size=(4, 5), mean=(0.3, 0.6), std=(0.5, 0.25))
        model = type(linear_model)(linear_model.module, type(spec)("linear", "", "test", preprocessing))
        images = pictures(1, 2, 4, 5)
        weight = model.module.fc.weight[1].detach().reshape(2, 4, 5) / torch.tensor([0.5, 0.25]).view(2, 1, 1)
        theirs = captum.IntegratedGradients(model.module).attribute(model.normalize(images), target=1).float()
        black, mean = (
            method(f"integrated_gradients(baseline={kind!r})")(model, images, "class:1").values
            for kind in ("black", "mean")
        )
        torch.testing.assert_close(black[0], images[0] * weight)
        torch.testing.assert_close(mean, theirs)

    def test_noise_is_relative_to_the_range_of_the_picture(self, wrap, pictures):
        """f(x) = Σ relu(x − ¼)². On a flat picture of ½ there is no range, no noise, and the gradient is ½ everywhere.

        captum's standard deviation is 1 in absolute units unless told otherwise.
        """

        class Square(nn.Module):
            def forward(self, x):
                return F.relu(x - 0.25).square().sum(dim=(1, 2, 3), keepdim=False)[:, None]

        ours = method("smooth_grad(samples=5)")(wrap(Square(), channels=1), torch.full((1, 1, 4, 4), 0.5), "class:0")
        torch.testing.assert_close(ours.values, torch.full((1, 1, 4, 4), 0.5))
        assert inspect.signature(captum.NoiseTunnel.attribute).parameters["stdevs"].default == 1.0

    def test_saliency_is_reduced_by_the_largest_absolute_channel(self, linear_model, pictures):
        """The paper's reduction. captum returns absolute values of every channel; ours are kept, signed."""
        images = pictures(1, 2, 4, 5)
        weight = linear_model.module.fc.weight[1].detach().reshape(1, 2, 4, 5)
        ours = method("gradient")(linear_model, images, "class:1")
        torch.testing.assert_close(ours.maps, weight.abs().amax(dim=1))
        torch.testing.assert_close(ours.values, weight)
        theirs = captum.Saliency(linear_model.module).attribute(images.clone(), target=1)
        torch.testing.assert_close(theirs, weight.abs())

    def test_a_softmax_is_looked_behind(self, wrap, pictures):
        """Of a certain answer the probability has no gradient, the logit has. captum takes what the network returns."""
        net = nn.Sequential(OrderedDict(flat=nn.Flatten(), fc=nn.Linear(4, 2, bias=False), softmax=nn.Softmax(dim=1)))
        with torch.no_grad():
            net.fc.weight.copy_(torch.tensor([[50.0] * 4, [-50.0] * 4]))
        images = pictures(1, 1, 2, 2)
        model = wrap(net, channels=1, size=(2, 2))
        ours = method("gradient")(model, images, "class:0")
        torch.testing.assert_close(ours.values, torch.full((1, 1, 2, 2), 50.0))
        torch.testing.assert_close(ours.scores, record(model, images, ["output"])["output"][:, 0])
        assert captum.Saliency(net).attribute(images.clone(), target=0).abs().max() < 1e-6
