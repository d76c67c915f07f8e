"""What class activation maps must be on networks whose maps can be written down."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

from convscope.attribution import METHODS, GradCAM, method
from convscope.errors import MethodError
from convscope.probe import record

CAMS = [name for name in METHODS if name.endswith("cam") or name == "grad_cam_plus_plus"]
WITH_LAYER = [name for name in CAMS if name not in {"cam", "guided_grad_cam", "finer_cam"}]


class TestIdentities:
    """Behind global average pooling and one linear layer, the methods are one and the same."""

    def test_grad_cam_is_cam_up_to_the_number_of_cells(self, pooled, pictures):
        model, images = pooled(), pictures(3, 3, 17, 21)
        cam = method("cam")(model, images, ["class:0", "class:1", "class:2"])
        grad = method("grad_cam(rectify=False)")(model, images, ["class:0", "class:1", "class:2"])
        assert cam.layers == grad.layers == ("relu2",)
        cells = cam.cells.shape[2] * cam.cells.shape[3]
        torch.testing.assert_close(cam.cells, cells * grad.cells)
        torch.testing.assert_close(cam.values, cells * grad.values)

    @pytest.mark.parametrize("name", ["hires_cam", "xgrad_cam"])
    def test_other_weightings_agree_with_it(self, name, pooled, pictures):
        model, images = pooled(), pictures(2, 3, 17, 21)
        grad, other = (method(f"{n}(rectify=False)")(model, images, "class:1") for n in ("grad_cam", name))
        torch.testing.assert_close(other.cells, grad.cells)

    def test_cam_is_made_of_the_weights_of_the_class(self, pooled, pictures):
        model, images = pooled(), pictures(2, 3, 17, 21)
        activation = record(model, images, ["relu2"])["relu2"]
        weight = model.module.fc.weight.detach()
        one = method("cam")(model, images, "class:2")
        torch.testing.assert_close(one.cells[:, 0], torch.einsum("c,nchw->nhw", weight[2], activation))
        margin = method("cam")(model, images, "class:2 - class:0")
        expected = torch.einsum("c,nchw->nhw", weight[2] - weight[0], activation)
        torch.testing.assert_close(margin.cells[:, 0], expected)

    def test_cams_mean_is_the_logit_without_the_bias(self, pooled, pictures):
        model, images = pooled(), pictures(2, 3, 17, 21)
        result = method("cam")(model, images, "class:2")
        bias = model.module.fc.bias.detach()[2]
        torch.testing.assert_close(result.cells.mean(dim=(1, 2, 3)), result.scores - bias)
        assert max(result.facts["completeness_error"]) < 1e-5

    def test_cam_reads_maps_that_keep_their_channels_last(self, wrap, seeded, pictures):
        """As in Swin: a norm over the last dimension, turned round just before pooling."""

        class ChannelsLast(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv = nn.Conv2d(3, 6, 3, stride=2, padding=1)
                self.norm = nn.LayerNorm(6)
                self.fc = nn.Linear(6, 3)

            def forward(self, x):
                x = self.norm(self.conv(x).permute(0, 2, 3, 1))
                return self.fc(nn.functional.adaptive_avg_pool2d(x.permute(0, 3, 1, 2), 1).flatten(1))

        model, images = wrap(seeded(ChannelsLast), size=(16, 12)), pictures(2, 3, 16, 12)
        cam = method("cam")(model, images, "class:2")
        norm = record(model, images, ["norm"])["norm"]
        assert norm.shape == (2, 8, 6, 6)
        assert cam.layers == ("norm",)
        torch.testing.assert_close(cam.cells[:, 0], norm @ model.module.fc.weight.detach()[2])
        grad = method("grad_cam(layer='norm', rectify=False)")(model, images, "class:2")
        torch.testing.assert_close(cam.values, 48 * grad.values)

    @pytest.mark.parametrize("layer", ["relu1", "conv2", "relu2"])
    def test_hires_cam_adds_up_where_only_linear_layers_follow(self, layer, wrap, seeded, pictures):
        """Σ map = score − bias behind an average pool, a flatten and two linear layers without a rectifier."""
        net = OrderedDict(
            conv1=nn.Conv2d(3, 5, 3),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(5, 6, 3, bias=False),
            relu2=nn.Identity() if layer != "relu2" else nn.ReLU(),
            pool=nn.AvgPool2d(2),
            flat=nn.Flatten(),
            fc1=nn.Linear(6 * 16, 7, bias=False),
            fc2=nn.Linear(7, 3),
        )
        model = wrap(seeded(lambda: nn.Sequential(net)), size=(12, 12))
        result = method(f"hires_cam(layer={layer!r}, rectify=False)")(model, pictures(2, 3, 12, 12), "class:1")
        torch.testing.assert_close(result.cells.sum(dim=(1, 2, 3)), result.scores - model.module.fc2.bias.detach()[1])

    def test_guided_grad_cam_is_the_product_of_its_parts(self, pooled, pictures):
        model, images = pooled(), pictures(2, 3, 17, 21)
        whole, coarse, fine = (
            method(name)(model, images, "class:1") for name in ("guided_grad_cam", "grad_cam", "guided_backprop")
        )
        assert whole.values.any()
        torch.testing.assert_close(whole.values, coarse.values * fine.values)
        assert whole.facts["coverage"] == fine.facts["coverage"]
        assert torch.equal(whole.cells, coarse.cells)

    def test_finer_cam_of_no_strength_is_the_plain_method_and_of_full_strength_the_margin(self, pooled, pictures):
        model, images = pooled(2), pictures(2, 3, 17, 21)
        plain, none, full, margin = (
            method(text)(model, images, target)
            for text, target in (
                ("grad_cam(rectify=False)", "class:1"),
                ("finer_cam(grad_cam(rectify=False), references=1, strength=0.0)", "class:1"),
                ("finer_cam(grad_cam(rectify=False), references=1, strength=1.0)", "class:1"),
                ("grad_cam(rectify=False)", "class:1 - class:0"),
            )
        )
        torch.testing.assert_close(none.values, plain.values)
        torch.testing.assert_close(full.values, margin.values)
        torch.testing.assert_close(full.scores, plain.scores)

    def test_finer_cam_compares_with_the_classes_of_the_nearest_logits(self, pooled, pictures):
        model, images = pooled(6), pictures(4, 3, 17, 21)
        result = method("finer_cam(references=2)")(model, images, "class:4")
        logits = record(model, images, ["output"])["output"]
        for row, names in zip(logits, result.facts["compared_with"], strict=True):
            others = sorted((d for d in range(6) if d != 4), key=lambda d: abs(float(row[d] - row[4])))
            assert names == f"class {others[0]}, class {others[1]}"


class TestInvariances:
    """What must not change a map, and what must turn with it."""

    @pytest.mark.parametrize("name", METHODS)
    def test_the_order_of_hidden_channels_does_not_matter(self, name, pooled, pictures):
        model, images = pooled(5), pictures(2, 3, 17, 21)
        before = method(name)(model, images, "class:1")
        order = torch.tensor([5, 0, 3, 7, 1, 6, 2, 4])
        module = model.module
        with torch.no_grad():
            for tensor, values in (
                (module.conv2.weight, module.conv2.weight[order].clone()),
                (module.conv2.bias, module.conv2.bias[order].clone()),
                (module.fc.weight, module.fc.weight[:, order].clone()),
            ):
                tensor.copy_(values)
        after = method(name)(model, images, "class:1")
        assert before.values.any()
        torch.testing.assert_close(after.values, before.values, rtol=1e-4, atol=1e-5 * float(before.values.abs().max()))

    # Noise does not turn with the picture, so the methods that draw some are left out.
    @pytest.mark.parametrize("name", [n for n in METHODS if n not in {"smooth_grad", "var_grad", "expected_gradients"}])
    @pytest.mark.parametrize("stride", [1, 2])
    def test_on_a_mirror_symmetric_network_the_map_turns_with_the_picture(self, name, stride, pooled, pictures):
        model, images = pooled(5, stride=stride), pictures(2, 3, 17, 21)
        with torch.no_grad():
            for conv in (model.module.conv1, model.module.conv2):
                conv.weight.copy_(conv.weight + conv.weight.flip(3))
        there = method(name)(model, images, "class:1").values
        back = method(name)(model, images.flip(3), "class:1").values.flip(3)
        assert there.any()
        torch.testing.assert_close(back, there, rtol=1e-4, atol=1e-5 * float(there.abs().max()))

    def test_eigen_cam_is_never_inverted(self, wrap, pictures):
        """A detector for bright spots: the map is high at the spot, whatever sign an eigenvector happens to have."""
        conv = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        for seed in range(8):
            with torch.no_grad():
                conv.weight.copy_(pictures(4, 1, 3, 3, seed=seed) + 0.1)
            model = wrap(
                nn.Sequential(OrderedDict(conv=conv, gap=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten())), channels=1
            )
            image = torch.zeros(1, 1, 16, 16)
            image[0, 0, 4, 11] = 1.0
            result = method("eigen_cam(layer='conv', rectify=False)")(model, image, "class:0")
            assert result.cells.max() > 0
            row, column = divmod(int(result.cells.argmax()), 16)
            assert abs(row - 4) <= 1
            assert abs(column - 11) <= 1
            assert result.cells.min() >= -1e-6

    def test_eigen_cam_of_a_large_map_needs_no_full_decomposition(self, wrap, seeded, pictures):
        """56 × 56 × 4 positions: the larger Gram matrix alone would take 1.2 GB."""
        conv = seeded(lambda: nn.Conv2d(3, 16, 3, padding=1))
        net = nn.Sequential(OrderedDict(conv=conv, gap=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten()))
        image = pictures(1, 3, 112, 112)
        result = method("eigen_cam(layer='conv', rectify=False)")(wrap(net, size=(112, 112)), image, "class:0")
        matrix = conv(image).detach()[0].flatten(1).T.double()
        strongest = torch.linalg.svdvals(matrix)[0]
        torch.testing.assert_close(result.cells.double().square().sum().sqrt(), strongest, rtol=1e-5, atol=0)


class TestBlankMaps:
    """Negative evidence is not brightened up into something to see."""

    @pytest.fixture
    def negative(self, pooled):
        model = pooled()
        with torch.no_grad():
            model.module.fc.weight[1] = -model.module.fc.weight[1].abs()
        return model

    @pytest.mark.parametrize(
        "name", ["grad_cam", "hires_cam", "layer_cam", "xgrad_cam", "grad_cam_plus_plus", "guided_grad_cam"]
    )
    def test_all_negative_evidence_gives_a_blank_map_that_says_so(self, name, negative, pictures):
        result = method(name)(negative, pictures(2, 3, 17, 21), "class:1")
        assert not result.values.any()
        assert result.facts["positive_share"] == (0.0, 0.0)

    def test_the_evidence_is_there_without_rectification(self, negative, pictures):
        for text in ("grad_cam(rectify=False)", "cam"):
            result = method(text)(negative, pictures(2, 3, 17, 21), "class:1")
            assert result.values.max() <= 0
            assert result.values.min() < 0
            assert result.signed

    def test_each_picture_has_its_own_share(self, pooled, pictures):
        model, images = pooled(), pictures(2, 3, 17, 21)
        with torch.no_grad():
            model.module.fc.weight[0] = model.module.fc.weight[0].abs()
            model.module.fc.weight[1] = -model.module.fc.weight[0]
        for text in ("grad_cam", "cam(rectify=True)"):
            result = method(text)(model, images, ["class:0", "class:1"])
            assert result.facts["positive_share"] == (1.0, 0.0)
            assert result.values[0].any()
            assert not result.values[1].any()

    def test_the_share_is_the_positive_part_of_all_evidence(self, pooled, pictures):
        model, images = pooled(), pictures(2, 3, 17, 21)
        signed, rectified = (method(f"grad_cam(rectify={r})")(model, images, "class:1") for r in (False, True))
        share = signed.cells.clamp(min=0).sum(dim=(1, 2, 3)) / signed.cells.abs().sum(dim=(1, 2, 3))
        assert rectified.facts["positive_share"] == pytest.approx(share.tolist(), rel=1e-5)
        assert "positive_share" not in signed.facts


class TestLayers:
    """Which layer, how many, and where the default lies."""

    def test_several_layers_are_fused_by_the_mean_of_their_normalized_maps(self, pooled, pictures):
        model, images = pooled(), pictures(2, 3, 17, 21)
        fused = GradCAM(layer=("relu1", "relu2"))(model, images, "class:1")
        maps = [GradCAM(layer=layer)(model, images, "class:1").values for layer in ("relu1", "relu2")]
        scaled = [value / value.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-30) for value in maps]
        torch.testing.assert_close(fused.values, torch.stack(scaled).mean(dim=0))
        assert fused.layers == ("relu1", "relu2")
        assert fused.cells.shape[2:] == (17, 21)
        assert "mean" in fused.facts["fusion"]

    def test_the_order_of_layers_does_not_matter(self, pooled, pictures):
        model, images = pooled(), pictures(2, 3, 17, 21)
        one, other = (
            method(f"hires_cam(layer={layers!r})")(model, images, "class:1")
            for layers in (("relu1", "conv2"), ("conv2", "relu1"))
        )
        torch.testing.assert_close(one.values, other.values)

    def test_a_hidden_unit_is_explained_at_its_own_layer_where_the_suggested_one_comes_later(self, pooled, pictures):
        model, images = pooled(), pictures(2, 3, 17, 21)
        result = GradCAM(rectify=False)(model, images, "conv1:3")
        assert result.layers == ("conv1",)
        activation = record(model, images, ["conv1"])["conv1"][:, 3]
        torch.testing.assert_close(result.cells[:, 0], activation / activation[0].numel())

    def test_targets_at_different_depths_have_no_default_layer(self, pooled, pictures):
        with pytest.raises(MethodError, match="no one layer suits all these targets: conv1, relu2"):
            GradCAM()(pooled(), pictures(2, 3, 17, 21), ["class:1", "conv1:3"])

    def test_calls_of_a_reused_layer_are_told_apart(self, small_model, pictures):
        images = pictures(1, 3, 16, 16)
        first, last, bare = (
            method(f"hires_cam(layer={layer!r}, rectify=False)")(small_model, images, "class:1")
            for layer in ("relu~0", "relu~1", "relu")
        )
        assert (first.layers, last.layers, bare.layers) == (("relu~0",), ("relu~1",), ("relu~1",))
        assert torch.equal(last.values, bare.values)
        assert first.cells.shape != last.cells.shape

    @pytest.mark.parametrize("name", WITH_LAYER)
    def test_activations_overwritten_in_place_are_seen_as_they_were(self, name, wrap, seeded, pictures):
        """A hook on ``conv`` must not see what the in-place ReLU behind it leaves."""

        layers = OrderedDict(
            conv=nn.Conv2d(3, 5, 3, padding=1),
            relu=nn.ReLU(),
            gap=nn.AdaptiveAvgPool2d(1),
            flat=nn.Flatten(),
            fc=nn.Linear(5, 3),
        )
        net, images = seeded(lambda: nn.Sequential(layers)), pictures(2, 3, 16, 16)
        asked = method(f"{name}(layer='conv', rectify=False)")
        kept = asked(wrap(net), images, "class:1")
        net.relu.inplace = True
        overwritten = asked(wrap(net), images, "class:1")
        assert kept.values.any()
        assert torch.equal(kept.values, overwritten.values)


class TestNumbersThatDivide:
    """Weights with a denominator stay finite where it vanishes."""

    @pytest.mark.parametrize("name", ["xgrad_cam", "grad_cam_plus_plus"])
    def test_channels_that_add_up_to_nothing(self, name, wrap, pictures):
        """One channel is zero everywhere, one adds up to zero, one is ordinary."""
        conv = nn.Conv2d(1, 3, 1, bias=False)
        with torch.no_grad():
            conv.weight.copy_(torch.tensor([0.0, 1.0, 1.0]).view(3, 1, 1, 1))
        fc = nn.Linear(3, 2)
        net = nn.Sequential(OrderedDict(conv=conv, gap=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), fc=fc))
        image = torch.tensor([0.0, 1.0, 0.25, 0.75]).view(1, 1, 2, 2)
        model = wrap(net, channels=1, size=(2, 2), mean=0.5)  # activations −½, ½, −¼, ¼
        result = method(f"{name}(layer='conv', rectify=False)")(model, image, "class:1")
        assert result.values.isfinite().all()

    def test_xgrad_cam_gives_such_channels_no_weight(self, wrap):
        conv = nn.Conv2d(1, 2, 1, bias=False)
        net = nn.Sequential(OrderedDict(conv=conv, gap=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), fc=nn.Linear(2, 2)))
        model = wrap(net, channels=1, size=(2, 2), mean=0.5)
        image = torch.tensor([0.0, 1.0, 0.25, 0.75]).view(1, 1, 2, 2)
        assert not method("xgrad_cam(layer='conv', rectify=False)")(model, image, "class:1").values.any()

    def test_grad_cam_plus_plus_counts_every_instance_alike(self, wrap):
        """Its reason to be: with a head that sees each place once, α G is the same for a gradient of any size.

        With G > 0 constant on the support and Σ A = S, the weight of a position is G / (2 + G S).
        """
        conv = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.ones_(conv.weight)
        net = nn.Sequential(OrderedDict(conv=conv, flat=nn.Flatten(), fc=nn.Linear(6, 1, bias=False)))
        gradient = torch.tensor([2.0, 0.0, -1.0, 0.5, 3.0, 0.0])
        with torch.no_grad():
            net.fc.weight.copy_(gradient[None])
        model = wrap(net, channels=1, size=(2, 3))
        image = torch.tensor([0.5, 0.25, 1.0, 0.0, 0.75, 0.5]).view(1, 1, 2, 3)
        result = method("grad_cam_plus_plus(layer='conv')")(model, image, "class:0")
        total = image.sum()
        weight = sum(g / (2 + g * total) for g in gradient if g > 0)
        torch.testing.assert_close(result.cells, weight * image)
