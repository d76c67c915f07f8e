"""The effective field against what can be worked out by hand: convolved kernels, Jacobians, Luo's variance."""

import math

import pytest
import torch
from torch import nn

from convscope.anatomy import effective_receptive_field, receptive_field
from convscope.anatomy.effective_receptive_field import smallest_area
from convscope.errors import AddressError, ImageError, MethodError, TargetError
from convscope.store import load, save


def linear_stack(kernels, strides):
    layers = []
    for kernel, stride in zip(kernels, strides, strict=True):
        layer = nn.Conv2d(1, 1, tuple(kernel.shape), stride=stride, bias=False)
        layer.weight = nn.Parameter(kernel[None, None])
        layers.append(layer)
    return nn.Sequential(*layers)


def convolved(kernels, strides):
    """The composition of cross-correlations as one kernel, entry by entry, and its stride."""
    total, reach = torch.ones(1, 1, dtype=torch.float64), 1
    for kernel, stride in zip(kernels, strides, strict=True):
        rows, columns = kernel.shape
        grown = torch.zeros(total.shape[0] + (rows - 1) * reach, total.shape[1] + (columns - 1) * reach).double()
        for i in range(rows):
            for j in range(columns):
                grown[i * reach : i * reach + total.shape[0], j * reach : j * reach + total.shape[1]] += (
                    float(kernel[i, j]) * total
                )
        total, reach = grown, reach * stride
    return total, reach


@pytest.mark.parametrize("strides", [(1, 1, 1), (2, 1, 2), (1, 3, 1)])
@pytest.mark.parametrize("position", [(3, 4), (0, 0), (5, 1)])
def test_a_linear_stack_gives_the_square_of_its_convolved_kernels(wrap, strides, position):
    generator = torch.Generator().manual_seed(1)
    kernels = [
        torch.randn(3, 3, generator=generator),
        torch.randn(5, 3, generator=generator),
        torch.randn(3, 4, generator=generator),
    ]
    model = wrap(linear_stack(kernels, strides), size=(48, 40), channels=1)
    rows, columns = receptive_field(model, "2").map_size
    if position[0] >= rows or position[1] >= columns:
        position = (rows - 1, columns - 1)
    field = effective_receptive_field(model, f"2:0@{position[0]},{position[1]}", samples=3)

    kernel, stride = convolved(kernels, strides)
    expected = torch.zeros(48, 40, dtype=torch.float64)
    top, left = (position[i] * stride for i in range(2))
    expected[top : top + kernel.shape[0], left : left + kernel.shape[1]] = kernel.square()
    torch.testing.assert_close(field.energy.double(), expected, rtol=1e-4, atol=1e-6)
    assert field.box.box == (top, left, top + kernel.shape[0], left + kernel.shape[1])


def test_the_energy_is_the_mean_of_squared_jacobians(small_model, pictures):
    images = pictures(19, 3, 16, 16)
    field = effective_receptive_field(small_model, "conv2:3@2,1", pictures=images)
    total = torch.zeros(16, 16)
    for image in images:
        jacobian = torch.autograd.functional.jacobian(
            lambda x: hidden(small_model.module, (x - 0.4) / 0.3)[0, 3, 2, 1], image[None]
        )
        total += jacobian[0].square().sum(dim=0)
    torch.testing.assert_close(field.energy, total / 19, rtol=1e-4, atol=1e-8)
    assert (field.samples, field.inputs) == (19, "19 pictures")


def hidden(net, x):
    """What ``conv2`` of the small network gives."""
    x = net.pool(torch.relu(net.bn1(net.conv1(x))))
    return net.conv2(torch.relu(x + torch.relu(net.block.conv(x))))


def test_a_position_adds_up_its_channels(wrap):
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(2, 6, 3), nn.Conv2d(6, 5, 3))
    model = wrap(net, size=(12, 12), channels=2)
    together = effective_receptive_field(model, "1@3,3", samples=4000).energy
    single = sum(effective_receptive_field(model, f"1:{channel}@3,3", samples=1).energy for channel in range(5))
    # Random signs are right on average; 4000 draws leave a few percent.
    assert float((together - single).abs().max() / single.max()) < 0.06
    assert float(together.sum()) == pytest.approx(float(single.sum()), rel=0.03)


def test_uniform_kernels_give_the_gaussian_of_the_paper(wrap):
    # Luo et al. 2016, 2.2: n layers of k × k ones have a gradient of variance n (k² − 1) / 12; its square half of that.
    layers = [nn.Conv2d(1, 1, 3, padding=1, bias=False) for _ in range(12)]
    for layer in layers:
        nn.init.constant_(layer.weight, 1 / 9)
    field = effective_receptive_field(wrap(nn.Sequential(*layers), size=(41, 41), channels=1), "11:0", samples=1)
    assert field.gaussian.sigma == pytest.approx([math.sqrt(12 * 8 / 12 / 2)] * 2, rel=0.03)
    assert field.gaussian.center == pytest.approx((20, 20), abs=1e-4)
    assert field.gaussian.r_squared > 0.999
    assert field.box.box == (8, 8, 33, 33)


def test_areas_of_a_planted_gaussian(wrap):
    sigma, size = 6.0, 65
    ramp = torch.arange(size) - size // 2
    bell = torch.exp(-(ramp[:, None] ** 2 + ramp**2) / (2 * sigma**2))
    layer = nn.Conv2d(1, 1, size, bias=False)
    layer.weight = nn.Parameter(bell[None, None])
    field = effective_receptive_field(wrap(nn.Sequential(layer), size=(65, 65), channels=1), "0:0", samples=2)
    # The gradient is the bell itself: above 4.55 % within σ √(2 ln 22); of its square 95 % lie within σ √(ln 20).
    assert field.two_sigma_area == pytest.approx(math.pi * 2 * sigma**2 * math.log(1 / 0.0455), rel=0.02)
    assert field.energy_area == pytest.approx(math.pi * sigma**2 * math.log(20), rel=0.03)
    assert field.energy_fraction == field.energy_area / 65**2
    assert field.side_ratio == pytest.approx(math.sqrt(field.two_sigma_area) / 65)


def test_the_smallest_area_by_hand():
    energy = torch.tensor([[0.0, 3.0], [1.0, 6.0]])
    assert [smallest_area(energy, share) for share in (0.5, 0.6, 0.61, 0.9, 0.95, 1.0)] == [1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("address", ["pool:2@0,0", "block@7,3", "conv2:1", "conv2"])
def test_nothing_outside_the_theoretical_box(small_model, address):
    field = effective_receptive_field(small_model, address, samples=16)
    top, left, bottom, right = field.box.box
    outside = field.energy.clone()
    outside[top:bottom, left:right] = 0
    assert not outside.any()
    assert field.energy.any()


def test_class_logits_have_a_field_too(small_model):
    field = effective_receptive_field(small_model, "class:2", samples=16)
    assert field.address == "class:2"
    assert field.box.area == 16 * 16
    assert field.box.notes


def test_the_seed_decides(small_model):
    one, again, other = (effective_receptive_field(small_model, "conv2", samples=9, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.energy, again.energy)
    assert not torch.equal(one.energy, other.energy)


def test_inputs_on_which_the_unit_is_off_are_counted(wrap, pictures):
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU())
    with torch.no_grad():
        net[0].weight.fill_(1)
        net[0].bias.copy_(torch.tensor([-0.5, -2.0]))
    model = wrap(net, size=(4, 4), channels=1)
    images = torch.tensor([0.2, 0.9, 0.4, 0.8]).view(4, 1, 1, 1).expand(4, 1, 4, 4)
    field = effective_receptive_field(model, "1:0@1,2", pictures=images)
    assert field.silent == 2
    assert field.energy[1, 2] == 0.5
    with pytest.raises(MethodError, match=r"gradient of 1:1@1,2 is zero on all of 4 pictures: the unit was off\. Give"):
        effective_receptive_field(model, "1:1@1,2", pictures=images)


@pytest.mark.parametrize(
    ("address", "options", "error", "words"),
    [
        ("conv2:8", {}, AddressError, "conv2 of small_net has channels 0 to 7, got 8."),
        ("conv2:1@4,0", {}, AddressError, "conv2 has 4×4 positions for a 16×16 picture, got 4,0."),
        ("class:5", {}, AddressError, "output of small_net has classes 0 to 4, got 5."),
        ("class:top", {}, TargetError, "'class:top' depends on the picture. Give a class"),
        ("conv3", {}, AddressError, "no layer 'conv3' in small_net. Did you mean"),
        ("conv2", {"samples": 0}, MethodError, "samples=0: at least one input is needed."),
        ("conv2", {"pictures": "nothing.jpg"}, ImageError, "cannot read 'nothing.jpg': no such file or folder."),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(small_model, address, options, error, words):
    with pytest.raises(error) as caught:
        effective_receptive_field(small_model, address, **options)
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)


def test_it_is_stored_bit_for_bit(small_model, tmp_path, pictures):
    field = effective_receptive_field(small_model, "conv2:1", samples=8, image=pictures(1, 3, 16, 16))
    back = load(save(field, tmp_path / "field"))
    assert torch.equal(back.energy, field.energy)
    assert torch.equal(back.image, field.image)
    assert (back.box, back.gaussian, back.two_sigma_area) == (field.box, field.gaussian, field.two_sigma_area)
