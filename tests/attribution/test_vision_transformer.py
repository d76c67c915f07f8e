"""Class activation maps on a transformer, through the grid of its patch tokens."""

import copy
import warnings

import numpy as np
import pytest
import timm
import torch

from convscope.attribution import method
from convscope.errors import MethodError
from convscope.model import Model, ModelSpec, Preprocessing

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pytorch_grad_cam as peer
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

LAYER = "blocks.11.norm1"

pytestmark = pytest.mark.filterwarnings("ignore")  # the peer's own


@pytest.fixture(scope="module")
def vit():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = timm.create_model("vit_tiny_patch16_224", num_classes=10).eval()
        torch.nn.init.normal_(net.head.weight, std=0.5)  # timm starts it at nearly nothing
    preprocessing = Preprocessing(size=(224, 224), mean=(0.5,) * 3, std=(0.5,) * 3)
    return Model(net, ModelSpec("vit_tiny_patch16_224", "", "random", preprocessing))


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))


def test_the_suggested_layer_is_the_norm_before_the_last_attention(vit, images):
    result = method("grad_cam")(vit, images, "class:3")
    assert result.layers == (LAYER,)
    assert result.cells.shape == (2, 1, 14, 14)
    assert result.values.shape == (2, 1, 224, 224)


@pytest.mark.parametrize("name", ["grad_cam", "hires_cam", "layer_cam", "xgrad_cam"])
def test_maps_equal_those_of_a_peer_that_is_told_the_grid(name, vit, images):
    kinds = {"grad_cam": "GradCAM", "hires_cam": "HiResCAM", "layer_cam": "LayerCAM", "xgrad_cam": "XGradCAM"}

    def to_grid(tokens):
        return tokens[:, 1:].reshape(len(tokens), 14, 14, -1).permute(0, 3, 1, 2)

    net = copy.deepcopy(vit.module).requires_grad_(True)
    norm = net.blocks[-1].norm1
    inputs = vit.normalize(images)
    targets = [ClassifierOutputTarget(3)] * 2
    with getattr(peer, kinds[name])(net, [norm], reshape_transform=to_grid) as cam:
        cam(inputs, targets)
        seen = cam.activations_and_grads
        activation, gradient = seen.activations[0].numpy(), seen.gradients[0].numpy()
        theirs = cam.get_cam_image(inputs, norm, targets, activation, gradient, False)
    ours = method(f"{name}(layer='blocks.11.norm1', rectify=False)")(vit, images, "class:3").cells[:, 0].numpy()
    assert np.abs(ours).max() > 0
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-4 * np.abs(ours).max())


def test_a_tokens_value_stands_in_the_middle_of_its_patch(vit, images):
    """Patches tile the picture, so this is what stretching from the corners gives."""
    aligned, corners = (
        method(f"hires_cam(layer='blocks.0.norm1', rectify=False, upsampling={way!r})")(vit, images, "class:3")
        for way in ("aligned", "corners")
    )
    assert aligned.values.any()
    torch.testing.assert_close(aligned.values, corners.values)
    middle = aligned.values[0, 0, 7::16, 7::16] + aligned.values[0, 0, 8::16, 8::16]
    inner = aligned.cells[0, 0]
    assert float((middle[1:-1, 1:-1] / 2 - inner[1:-1, 1:-1]).abs().max()) < 0.1 * float(inner.abs().max())


def test_cam_is_refused(vit, images):
    with pytest.raises(MethodError, match="cam is defined for networks that end in global average pooling"):
        method("cam")(vit, images, "class:3")
