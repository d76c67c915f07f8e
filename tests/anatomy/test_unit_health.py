"""Planted units are found, and every number equals what a slow loop over pictures and positions says."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from convscope.anatomy import unit_health
from convscope.anatomy.unit_health import norm_scores
from convscope.errors import AddressError, ImageError, MethodError
from convscope.probe import replaced
from convscope.store import load, save


class Planted(nn.Module):
    """Ten units of known faults before a ReLU6, then a head."""

    def __init__(self):
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 10, 3), nn.ReLU6()
        self.fc = nn.Linear(10, 4)

    def forward(self, x):
        return self.fc(self.act(self.conv(x)).mean(dim=(2, 3)))


DEAD, ALWAYS, FULL, TWIN, SAME, SCALED, HUGE = range(7)


@pytest.fixture
def planted(wrap):
    torch.manual_seed(0)
    net = Planted()
    with torch.no_grad():
        weight, bias = net.conv.weight, net.conv.bias
        weight.copy_(torch.randn(10, 3, 3, 3) * 0.1)
        bias.zero_()
        bias[DEAD], bias[ALWAYS], bias[FULL] = -9.0, 3.0, 60.0
        weight[TWIN].copy_(torch.randn(3, 3, 3) * 0.1)
        weight[SAME], bias[TWIN], bias[SAME] = weight[TWIN], 0.2, 0.2
        weight[SCALED], bias[SCALED] = 1.5 * weight[TWIN], 0.3
        weight[HUGE] *= 40
    return wrap(net, size=(9, 8), name="planted")


def look(model, images):
    """What the units say, picture by picture."""
    x = model.normalize(images)
    return F.relu6(model.module.conv(x)).detach()


def test_planted_faults_are_found(planted, pictures):
    health = unit_health(planted, pictures(40, 3, 9, 8))
    (layer,) = health.layers
    activity = layer.activity
    assert (layer.layer, layer.kind, layer.activation, layer.measured) == ("conv", "conv", "ReLU6", "after ReLU6")
    assert activity.dead == (DEAD,)
    assert {ALWAYS, FULL} <= set(activity.always_on)
    assert DEAD not in activity.always_on
    assert FULL in activity.saturated
    assert ALWAYS not in activity.saturated
    assert HUGE in layer.norm_outliers
    assert int(layer.norm_scores.argmax()) == HUGE
    planted_pairs = {(TWIN, SAME), (TWIN, SCALED), (SAME, SCALED)}
    assert {(pair.first, pair.second) for pair in layer.weight_twins} == planted_pairs
    assert layer.weight_twin_pairs == 3
    assert {(pair.first, pair.second) for pair in activity.twins} == planted_pairs
    assert all(pair.cosine == pytest.approx(1, abs=1e-3) for pair in (*layer.weight_twins, *activity.twins))


def test_every_number_equals_a_slow_loop(planted, pictures):
    images = pictures(37, 3, 9, 8)  # several batches, the last one short
    labels = [("bee", "ant", "cow")[i % 3] if i % 5 else None for i in range(37)]
    (layer,) = unit_health(planted, images, labels=labels).layers
    activity = layer.activity
    values = look(planted, images).double()
    for unit in range(10):
        seen = [float(v) for picture in values for v in picture[unit].flatten()]
        assert float(activity.minimum[unit]) == pytest.approx(min(seen), abs=1e-5)
        assert float(activity.maximum[unit]) == pytest.approx(max(seen), abs=1e-5)
        assert float(activity.mean[unit]) == pytest.approx(sum(seen) / len(seen), abs=1e-5)
        assert float(activity.on[unit]) == pytest.approx(sum(v > 0 for v in seen) / len(seen), abs=1e-6)
        assert float(activity.at_end[unit]) == pytest.approx(sum(v >= 6 for v in seen) / len(seen), abs=1e-6)
        means = {
            name: np.mean([float(values[i, unit].mean()) for i in range(37) if labels[i] == name])
            for name in ("ant", "bee", "cow")
        }
        best = max(means, key=means.get)
        rest = np.mean([mean for name, mean in means.items() if name != best])
        expected = (means[best] - rest) / (means[best] + rest) if means[best] + rest else 0.0
        assert float(activity.selectivity[unit]) == pytest.approx(expected, abs=1e-4)
        if expected > 1e-3:
            assert ("ant", "bee", "cow")[activity.preferred[unit]] == best
    assert layer.sparsity == pytest.approx(float((values <= 0).double().mean()), abs=1e-6)


def test_pairs_that_act_alike_equal_numpys_correlation(planted, pictures):
    images = pictures(30, 3, 9, 8)
    (layer,) = unit_health(planted, images, alike=0.3).layers
    flat = look(planted, images).double().transpose(0, 1).flatten(1).numpy()
    wanted = {}
    for one in range(10):
        for other in range(one + 1, 10):
            if flat[one].std() > 1e-9 and flat[other].std() > 1e-9:
                cosine = np.corrcoef(flat[one], flat[other])[0, 1]
                if cosine >= 0.3:
                    wanted[one, other] = cosine
    found = {(pair.first, pair.second): pair.cosine for pair in layer.activity.twins}
    assert found == pytest.approx(wanted, abs=1e-4)
    assert layer.activity.twin_pairs == len(wanted) > 3
    cosines = [pair.cosine for pair in layer.activity.twins]
    assert cosines == sorted(cosines, reverse=True)


def test_a_perfectly_selective_unit_and_an_indifferent_one(wrap):
    net = nn.Sequential(
        nn.Conv2d(3, 2, 1, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)
    )
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 0, 0], [0, 0, 1.0]]).view(2, 3, 1, 1))
    images = torch.zeros(6, 3, 4, 4)
    images[:3, 0] = 0.7  # class a is red
    images[:, 2] = 0.5  # both are as blue
    (layer,) = unit_health(wrap(net, size=(4, 4)), images, labels=list("aaabbb")).layers
    assert layer.activity.selectivity.tolist() == pytest.approx([1, 0], abs=1e-6)
    assert layer.activity.preferred[0] == 0


@pytest.mark.parametrize("labels", [None, ["a"] * 5, [None, "a", None, None, None]])
def test_selectivity_needs_two_classes(planted, pictures, labels):
    (layer,) = unit_health(planted, pictures(5, 3, 9, 8), labels=labels).layers
    assert layer.activity.selectivity is None
    assert layer.activity.preferred == ()


def test_units_are_looked_at_behind_their_relu_however_it_is_spelled(small_model, pictures):
    # conv1 has a ReLU behind its batch norm; block.conv its own; conv2 a functional one that no layer returns.
    health = unit_health(small_model, pictures(6, 3, 16, 16), labels=list("ababab"))
    assert [(layer.layer, layer.measured) for layer in health.layers] == [
        ("conv1", "after ReLU"), ("block.conv", "after ReLU"), ("conv2", "after ReLU"),
    ]  # fmt: skip
    assert health.classes == ("a", "b")


def test_a_layer_without_activation_function(wrap, pictures):
    net = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Conv2d(5, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    net.append(nn.Linear(2, 2)).eval()
    with torch.no_grad():
        net[1].weight[3], net[1].bias[3] = 0, 7.0
    health = unit_health(wrap(net, size=(8, 8)), pictures(5, 3, 8, 8), labels=list("abaab"))
    first, second = health.layers
    assert (first.measured, second.measured) == ("after batch norm", "its own output")
    assert first.activity.dead == (3,)  # it speaks, yet always says the same
    assert first.activity.always_on == ()
    assert first.activity.at_end is None
    assert first.activity.selectivity is None
    assert first.sparsity is None


@pytest.mark.parametrize(
    ("function", "kind", "bias", "ends"),
    [
        (nn.Sigmoid(), "Sigmoid", [-9.0, 9.0, 0.0], [1, 1, 0]),
        (nn.Tanh(), "Tanh", [-9.0, 9.0, 0.0], [1, 1, 0]),
        (nn.Hardsigmoid(), "Hardsigmoid", [-9.0, 9.0, 0.0], [1, 1, 0]),
        (nn.Hardtanh(-2, 2), "Hardtanh(-2, 2)", [-9.0, 9.0, 0.0], [1, 1, 0]),
        (nn.ReLU6(), "ReLU6", [-9.0, 9.0, 1.0], [0, 1, 0]),
    ],
)
def test_both_ends_of_bounded_functions(wrap, pictures, function, kind, bias, ends):
    net = nn.Sequential(nn.Conv2d(3, 3, 1), function, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    with torch.no_grad():
        net[0].weight.mul_(0.1)
        net[0].bias.copy_(torch.tensor(bias))
    (layer,) = unit_health(wrap(net, size=(4, 4)), pictures(3, 3, 4, 4)).layers
    assert layer.activation == kind
    assert layer.activity.at_end.tolist() == ends
    assert layer.activity.saturated == tuple(i for i in range(3) if ends[i])


def test_smooth_rectifiers_also_when_spelled_out(wrap, pictures):
    class Swish(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 2, 1), nn.Linear(2, 2)

        def forward(self, x):
            x = self.conv(x)
            return self.fc((x * torch.sigmoid(x)).mean(dim=(2, 3)))

    net = Swish()
    with torch.no_grad():
        net.conv.weight.mul_(0.1)
        net.conv.bias.copy_(torch.tensor([-2.0, 2.0]))
    images = pictures(3, 3, 4, 4)
    (layer,) = unit_health(wrap(net, size=(4, 4)), images).layers
    assert (layer.activation, layer.rectified) == ("SiLU", True)
    assert (layer.activity.dead, layer.activity.always_on) == ((0,), (1,))
    assert float(layer.activity.maximum[1]) == pytest.approx(
        float(F.silu(net.conv(images)[:, 1]).detach().max()), abs=1e-6
    )


def test_norms_are_those_of_the_folded_filters(wrap):
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2)
    )
    with torch.no_grad():
        net[1].weight.uniform_(-2, 2)
        net[1].running_var.uniform_(0.1, 3)
    (layer,) = unit_health(wrap(net.eval(), size=(6, 6))).layers
    folded = torch.nn.utils.fuse_conv_bn_eval(net[0], net[1])
    torch.testing.assert_close(layer.norms, folded.weight.detach().flatten(1).norm(dim=1))


@pytest.mark.parametrize(
    ("norms", "scores"),
    [
        # median 3, deviations 2 1 0 1 97: MAD 1
        ([1.0, 2.0, 3.0, 4.0, 100.0], [-1.349, -0.6745, 0, 0.6745, 65.4265]),
        # MAD 0: mean deviation 2/5
        ([3.0, 3.0, 3.0, 3.0, 5.0], [0, 0, 0, 0, 2 / (1.253314 * 0.4)]),
        ([3.0, 3.0, 3.0], [0, 0, 0]),
    ],
)
def test_robust_scores_by_hand(norms, scores):
    assert norm_scores(torch.tensor(norms)).tolist() == pytest.approx(scores, rel=1e-5)


def test_units_that_read_other_inputs_are_no_twins(wrap):
    same = torch.ones(8, 1, 3, 3)
    net = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 3, groups=2), nn.Flatten(), nn.Linear(4 * 16, 2))
    with torch.no_grad():
        net[0].weight.copy_(same)
        net[1].weight.copy_(torch.ones(4, 4, 3, 3))
    depthwise, grouped = unit_health(wrap(net, size=(8, 8), channels=8)).layers
    assert depthwise.weight_twins == ()
    assert [(pair.first, pair.second) for pair in grouped.weight_twins] == [(0, 1), (2, 3)]


def test_pairs_are_counted_beyond_those_named(wrap):
    net = nn.Sequential(nn.Conv2d(3, 10, 1), nn.Flatten(), nn.Linear(160, 2))
    with torch.no_grad():
        net[0].weight.fill_(0.5)
    (layer,) = unit_health(wrap(net, size=(4, 4))).layers
    assert layer.weight_twin_pairs == 45
    assert len(layer.weight_twins) == 20


def test_linear_units_along_the_last_dimension(wrap, pictures):
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.fc = nn.Linear(3, 5), nn.Linear(5, 2)

        def forward(self, x):
            return self.fc(F.relu(self.inner(x.permute(0, 2, 3, 1))).mean(dim=(1, 2)))

    torch.manual_seed(0)
    net = Last()
    images = pictures(4, 3, 6, 7)
    layer = unit_health(wrap(net, size=(6, 7)), images).layers[0]
    values = F.relu(net.inner(images.permute(0, 2, 3, 1))).detach()
    torch.testing.assert_close(layer.activity.mean, values.mean(dim=(0, 1, 2)))
    torch.testing.assert_close(layer.activity.on, (values > 0).float().mean(dim=(0, 1, 2)))


# Ablation.


@pytest.mark.parametrize("layer", ["conv1", "block.conv", "conv2"])
def test_ablation_equals_a_dense_pass_with_the_channel_at_zero(small_model, pictures, layer):
    images = pictures(5, 3, 16, 16)
    (found,) = unit_health(small_model, images, layers=layer, ablate=4, ablate_on=3).layers
    assert found.ablation.pictures == 3
    units = found.units
    assert found.ablation.units == tuple(i * units // 4 for i in range(4))
    clean = dense(small_model.module, images[:3], None, None)
    answers = clean.argmax(dim=1)
    for place, unit in enumerate(found.ablation.units):
        without = dense(small_model.module, images[:3], layer, unit)
        moved = (without - clean)[torch.arange(3), answers].abs().mean()
        assert float(found.ablation.change[place]) == pytest.approx(float(moved), abs=1e-5)
        assert float(found.ablation.flips[place]) == pytest.approx(
            float((without.argmax(dim=1) != answers).float().mean()), abs=1e-6
        )
    assert float(found.ablation.change.max()) > 1e-3


def dense(net, images, layer, unit):
    """The small network written out, with one unit of one layer at zero behind its ReLU."""

    def without(name, values):
        values = values.clone()
        if name == layer:
            values[:, unit] = 0
        return values

    with torch.no_grad():
        x = net.pool(without("conv1", torch.relu(net.bn1(net.conv1((images - 0.4) / 0.3)))))
        x = torch.relu(x + without("block.conv", torch.relu(net.block.conv(x))))
        x = without("conv2", torch.relu(net.conv2(x)))
        return net.fc(x.mean(dim=(2, 3)))


def test_ablation_agrees_with_the_probe(planted, pictures):
    images = pictures(2, 3, 9, 8)
    (layer,) = unit_health(planted, images, ablate=99).layers
    assert layer.ablation.units == tuple(range(10))
    values = look(planted, images)
    for unit in range(10):
        changed = values.clone()
        changed[:, unit] = 0
        clean, without = planted.module(images).detach(), replaced(planted, images, {"act": changed})
        answer = clean.argmax(dim=1)
        expected = (without - clean)[torch.arange(2), answer].abs().mean()
        assert float(layer.ablation.change[unit]) == pytest.approx(float(expected), abs=1e-5)
    assert float(layer.ablation.change[DEAD]) < 1e-6


# Which pictures, which layers, which networks.


def write(folder, name, value):
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((20, 20, 3), value, dtype=np.uint8)).save(folder / name)


def test_files_are_streamed_and_bad_ones_named(planted, tmp_path):
    for index in range(19):
        write(tmp_path, f"{index:02}.png", 10 * index)
    (tmp_path / "05x.png").write_text("no picture")
    health = unit_health(planted, tmp_path)
    assert health.pictures == 19
    ((name, reason),) = health.failures
    assert name.endswith("05x.png")
    assert "not a picture" in reason
    images = torch.stack([torch.full((3, 9, 8), 10 * index / 255) for index in range(19)])
    values = look(planted, images)
    torch.testing.assert_close(health.layers[0].activity.mean, values.mean(dim=(0, 2, 3)), atol=1e-5, rtol=1e-5)


def test_labels_stay_with_their_pictures_when_a_file_is_bad(wrap, tmp_path):
    net = nn.Sequential(
        nn.Conv2d(3, 1, 1, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2)
    )
    nn.init.ones_(net[0].weight)
    for index in range(4):
        write(tmp_path, f"{index}.png", 200 if index % 2 else 0)
    (tmp_path / "0bad.png").write_text("no picture")
    health = unit_health(wrap(net, size=(4, 4)), tmp_path, labels=["dark", "dark", "bright", "dark", "bright"])
    assert health.layers[0].activity.selectivity.tolist() == [1.0]
    assert health.classes[health.layers[0].activity.preferred[0]] == "bright"


def test_without_pictures_only_weights_are_examined(small_model):
    health = unit_health(small_model)
    assert health.pictures == 0
    assert all(layer.activity is None and layer.ablation is None for layer in health.layers)
    assert health.notes == ("no pictures were given: only the weights were examined",)


def test_layers_by_name_block_and_glob(small_model):
    def layers(pattern):
        return [layer.layer for layer in unit_health(small_model, layers=pattern).layers]

    assert layers("conv?") == ["conv1", "conv2"]
    assert layers("block") == ["block.conv"]
    assert layers("block.conv") == ["block.conv"]
    assert layers("*") == ["conv1", "block.conv", "conv2"]


class Branching(nn.Module):
    """Takes another way where the picture is bright, which no export can follow."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x):
        x = torch.relu(self.conv(x)).mean(dim=(2, 3))
        return self.fc(x) if x.sum().item() >= 0 else x[:, :2]


def test_a_network_without_a_graph_is_examined_at_its_layers(wrap, pictures):
    torch.manual_seed(0)
    net, images = Branching(), pictures(20, 3, 8, 8)
    health = unit_health(wrap(net, size=(8, 8)), images)
    (layer,) = health.layers
    assert layer.measured == "its own output"
    assert "the network cannot be traced: units were looked at before their activation functions" in health.notes
    torch.testing.assert_close(layer.activity.maximum, net.conv(images).detach().amax(dim=(0, 2, 3)))
    with pytest.raises(MethodError, match=r"cannot be ablated: torch\.export gives no graph for any batch size"):
        unit_health(wrap(net, size=(8, 8)), images, ablate=2)


class Pairwise(nn.Module):
    """Its graph holds for even batches only."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x):
        x = torch.relu(self.conv(x))
        x = x + 0 if x.shape[0] == 2 else x
        return self.fc(x.mean(dim=(2, 3)))


def test_a_graph_of_one_batch_size_does_for_any_number_of_pictures(wrap, pictures):
    torch.manual_seed(0)
    net, images = Pairwise(), pictures(5, 3, 8, 8)
    (layer,) = unit_health(wrap(net, size=(8, 8)), images).layers
    values = torch.relu(net.conv(images)).detach()
    torch.testing.assert_close(layer.activity.mean, values.mean(dim=(0, 2, 3)))
    with pytest.raises(MethodError, match="cannot be ablated"):
        unit_health(wrap(net, size=(8, 8)), images, ablate=2)


EMPTY, TWO = torch.zeros(0, 3, 16, 16), torch.zeros(2, 3, 16, 16)
REFUSED = {
    "no layer of small_net with weights matches 'relu'. Layers with weights: conv1, block.conv, conv2.": (
        AddressError,
        {"layers": "relu"},
    ),
    "alike=0.0: a cosine from which units count as twins lies in (0, 1]. 0.95 is usual.": (MethodError, {"alike": 0.0}),
    "ablation shows what answers lose, so it needs pictures. Give some, such as sample:cat.": (
        MethodError,
        {"ablate": 3},
    ),
    "ablate=-1, ablate_on=8: give a number of units ≥ 0 and of pictures ≥ 1.": (MethodError, {"ablate": -1}),
    "cannot read 'gone.jpg': no such file or folder.": (ImageError, {"pictures": "gone.jpg"}),
    "no picture given. Give files, a folder, or sample:cat.": (ImageError, {"pictures": []}),
    "no pictures: the tensor is empty. Give (n, c, h, w) with n of at least 1.": (ImageError, {"pictures": EMPTY}),
    "1 labels for 2 pictures. Give one label per picture, in their order.": (
        ImageError,
        {"pictures": TWO, "labels": ["a"]},
    ),
}


@pytest.mark.parametrize("words", REFUSED)
def test_bad_input_is_one_line(small_model, words):
    error, options = REFUSED[words]
    with pytest.raises(error) as caught:
        unit_health(small_model, **options)
    assert str(caught.value) == words


def test_it_is_stored(planted, pictures, tmp_path):
    health = unit_health(planted, pictures(6, 3, 9, 8), labels=list("aabbcc"), ablate=3)
    back = load(save(health, tmp_path / "health"))
    one, other = health.layers[0], back.layers[0]
    assert (back.classes, back.pictures, back.alike) == (("a", "b", "c"), 6, 0.95)
    assert other.weight_twins == one.weight_twins
    assert torch.equal(other.activity.selectivity, one.activity.selectivity)
    assert torch.equal(other.ablation.change, one.ablation.change)
    assert math.isclose(other.sparsity, one.sparsity)
