"""Side by side with captum, pytorch-grad-cam and torchcam where the definitions agree, on published architectures.

Where they do not agree is in ``test_disagreements.py``, decided by networks small enough to compute by hand.
"""

import copy
import warnings

import numpy as np
import pytest
import torch
from published import LAYERS, Normalized, make

from convscope.attribution import Gradient, method
from convscope.attribution.eigen_cam import combine as eigen_cam
from convscope.attribution.grad_cam_plus_plus import GradCAMPlusPlus
from convscope.model import Model, load, parse
from convscope.probe import batch_target, layer_gradients, layout, untouched

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import captum.attr as captum
    import pytorch_grad_cam as peer
    import torchcam.methods as torchcam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

TARGET = 3
TOLERANCE = 1e-4
EMBEDDED_LAYER = "bn2"

RELU_MODULES = ("resnet18", "vgg11_bn", "squeezenet1_1")
"""Networks whose rectifiers are all ``nn.ReLU`` modules: the only spelling that captum sees."""

pytestmark = pytest.mark.filterwarnings("ignore")  # the peers' own: hooks set, deprecated calls, missing grads


class Case:
    """A network, pictures for it, and the same function of [0, 1] pixels for the peers."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.model = load() if name == "embedded" else make(name)
        self.layer = LAYERS.get(name, EMBEDDED_LAYER)
        side = 96 if name == "embedded" else 64
        self.images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(2))
        # The peers change requires_grad, hooks and even modules of what they are given.
        self.theirs = Normalized(Model(copy.deepcopy(self.model.module), self.model.spec)).requires_grad_(True)
        self.their_layer = self.theirs.net.get_submodule(self.layer)

    def ours(self, text: str):
        return method(text)(self.model, self.images, f"class:{TARGET}")

    def cells(self, name: str) -> torch.Tensor:
        return self.ours(f"{name}(layer={self.layer!r}, rectify=False)").cells[:, 0]


@pytest.fixture(scope="module", params=[*LAYERS, "embedded"])
def case(request):
    return Case(request.param)


def close(theirs, ours) -> None:
    theirs = torch.as_tensor(np.asarray(theirs.detach() if isinstance(theirs, torch.Tensor) else theirs))
    scale = float(ours.abs().max())
    assert scale > 0
    assert float((theirs.to(ours) - ours).abs().max()) <= TOLERANCE * scale


class TestCaptum:
    """captum 0.9."""

    def test_saliency(self, case):
        theirs = captum.Saliency(case.theirs).attribute(case.images.clone(), target=TARGET, abs=False)
        close(theirs, case.ours("gradient").values)

    def test_saliency_of_the_normalized_picture_differs_by_the_standard_deviation(self, case):
        inputs = case.model.normalize(case.images)
        theirs = captum.Saliency(case.theirs.net).attribute(inputs, target=TARGET, abs=False)
        close(theirs / case.theirs.std, case.ours("gradient").values)

    def test_input_times_gradient(self, case):
        theirs = captum.InputXGradient(case.theirs).attribute(case.images.clone(), target=TARGET)
        close(theirs, case.ours("input_x_gradient").values)

    def test_integrated_gradients_by_the_same_rule(self, case):
        """In double precision: in single, rounding of a point on the path flips a rectifier now and then."""
        double = copy.deepcopy(case.model.module).double()
        model = Model(double, case.model.spec)
        ours = method("integrated_gradients(steps=4)")(model, case.images, f"class:{TARGET}")
        theirs = captum.IntegratedGradients(Normalized(model)).attribute(
            case.images.double(), target=TARGET, n_steps=4, method="riemann_middle"
        )
        close(theirs, ours.values)

    @pytest.mark.parametrize("name", ["guided_backprop", "deconvnet"])
    def test_rules_where_every_rectifier_is_a_module(self, name, case):
        """Elsewhere captum's map is the plain gradient in part or in whole, which the other half of this file says."""
        kind = captum.GuidedBackprop if name == "guided_backprop" else captum.Deconvolution
        theirs = kind(case.theirs).attribute(case.images.clone(), target=TARGET)
        ours, plain = case.ours(name).values, case.ours("gradient").values
        if case.name in RELU_MODULES:
            close(theirs, ours)
        elif case.name != "densenet121":  # densenet121 has both: modules inside, a function at its end
            close(theirs, plain)
        assert float((ours - plain).abs().max()) > 0.1 * float(plain.abs().max())
        if case.name not in RELU_MODULES:
            assert float((ours - theirs).abs().max()) > 0.1 * float(ours.abs().max())

    def test_grad_cam(self, case):
        theirs = captum.LayerGradCam(case.theirs, case.their_layer).attribute(case.images.clone(), target=TARGET)
        close(theirs[:, 0], case.cells("grad_cam"))


class TestPytorchGradCam:
    """pytorch-grad-cam 1.5.7, its raw maps before rectification and scaling."""

    @pytest.fixture
    def run(self, case):
        def run(kind, activations=None, gradients=None):
            with kind(case.theirs, [case.their_layer]) as cam:
                targets = [ClassifierOutputTarget(TARGET)] * len(case.images)
                if activations is None:
                    cam(case.images.clone(), targets)
                    activations = cam.activations_and_grads.activations[0].numpy()
                    gradients = cam.activations_and_grads.gradients[0].numpy()
                return cam.get_cam_image(case.images, case.their_layer, targets, activations, gradients, False)

        return run

    @pytest.fixture
    def seen(self, case):
        """Activations and gradients of the layer, in double precision."""
        with untouched(case.model):
            tap = layout(case.model).tap(parse(case.layer, case.model), case.model)
            question = batch_target(case.model, case.images, f"class:{TARGET}")
            found = layer_gradients(case.model, case.images, [tap], question)
        return found.values[tap].double(), found.gradients[tap].double()

    @pytest.mark.parametrize("name", ["grad_cam", "hires_cam", "layer_cam", "xgrad_cam"])
    def test_maps(self, name, case, run):
        kinds = {
            "grad_cam": peer.GradCAM,
            "hires_cam": peer.HiResCAM,
            "layer_cam": peer.LayerCAM,
            "xgrad_cam": peer.XGradCAM,
        }
        theirs, ours = run(kinds[name]), case.cells(name)
        if case.name == "densenet121" and name in {"grad_cam", "xgrad_cam"}:
            # Its last activation is overwritten in place after their hook has seen it.
            assert np.abs(theirs - ours.numpy()).max() > 0.01 * np.abs(theirs).max()
        else:
            close(theirs, ours)

    def test_grad_cam_plus_plus_where_their_epsilon_is_negligible(self, seen, run):
        """Scaling G by k and A by 1/k leaves the equations as they are, and their 10⁻⁶ beside G² behind."""
        activation, gradient = seen
        k = 1e6
        theirs = run(peer.GradCAMPlusPlus, (activation / k).numpy(), (gradient * k).numpy())
        close(theirs, GradCAMPlusPlus().combine(activation, gradient))

    def test_eigen_cam_of_centered_activations(self, seen, run):
        """They center each channel first, the paper does not; and a singular vector has either sign."""
        activation, gradient = seen
        centered = activation - activation.mean(dim=(2, 3), keepdim=True)
        theirs = torch.as_tensor(run(peer.EigenCAM, centered.numpy(), gradient.numpy()))
        ours = eigen_cam(centered)
        sign = (theirs * ours).sum(dim=(1, 2), keepdim=True).sign()
        close(theirs * sign, ours)

    def test_the_picture_they_return_is_ours_from_the_corners_stretched_from_0_to_1(self, case):
        if case.name == "densenet121":
            return  # see above: another map
        with peer.GradCAM(case.theirs, [case.their_layer]) as cam:
            theirs = cam(case.images.clone(), [ClassifierOutputTarget(TARGET)] * len(case.images))
        ours = case.ours(f"grad_cam(layer={case.layer!r}, upsampling='corners')")
        for picture, values, share in zip(theirs, ours.values[:, 0], ours.facts["positive_share"], strict=True):
            if share == 0:
                assert not picture.any()
            else:
                close(picture, (values - values.min()) / (values.max() - values.min()))


class TestTorchcam:
    """torchcam 0.5, on one network: its maps are rectified."""

    @pytest.fixture(scope="class")
    def resnet(self):
        return Case("resnet18")

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("grad_cam", torchcam.GradCAM),
            ("layer_cam", torchcam.LayerCAM),
            ("xgrad_cam", torchcam.XGradCAM),
            ("finer_cam", torchcam.FinerCAM),
        ],
    )
    def test_maps(self, name, kind, resnet):
        options = {"base_method": torchcam.GradCAM} if name == "finer_cam" else {}
        with kind(resnet.theirs.net, "layer4", input_shape=(3, 64, 64), **options) as extractor:
            scores = resnet.theirs(resnet.images.clone())
            (theirs,) = extractor([TARGET] * 2, scores, normalized=False)
        inner = "grad_cam(layer='layer4')" if name == "finer_cam" else "layer='layer4'"
        ours = resnet.ours(f"{name}({inner})").cells[:, 0]
        assert ours.any()
        close(theirs, ours)


def test_noise_tunnel_on_the_same_noise(small_model, pictures, monkeypatch):
    """captum draws its noise by ``torch.normal``; handed ours, its averages are ours."""
    images = pictures(1, 3, 16, 16)
    heard = []
    original = Gradient.compute
    monkeypatch.setattr(Gradient, "compute", lambda self, m, x, q, g: (heard.append(x), original(self, m, x, q, g))[1])
    smooth = method("smooth_grad(samples=6, sigma=0.2)")(small_model, images, "class:1")
    noise = torch.cat(heard) - images
    variance = method("var_grad(samples=6, sigma=0.2)")(small_model, images, "class:1")
    monkeypatch.setattr(torch, "normal", lambda *_: noise)
    net = Normalized(Model(copy.deepcopy(small_model.module), small_model.spec))
    saliency = captum.NoiseTunnel(captum.Saliency(net))
    theirs = {
        kind: saliency.attribute(images.clone(), nt_type=kind, nt_samples=6, target=1, abs=False)
        for kind in ("smoothgrad", "vargrad")
    }
    close(theirs["smoothgrad"], smooth.values)
    close(theirs["vargrad"] * 6 / 5, variance.values)  # theirs divides by n, ours by n − 1
