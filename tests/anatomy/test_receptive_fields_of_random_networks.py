"""Exact boxes against the pixels with a gradient, for hundreds of random networks."""

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from random_networks import networks
from seen_pixels import SumOfWindow, places, positive, seen_box
from torch import nn

from convscope.anatomy import receptive_field


class Forest(nn.Module):
    """Several networks side by side: traced in one go, which is most of the time."""

    def __init__(self, trees):
        super().__init__()
        self.trees = nn.ModuleList(trees)

    def forward(self, x):
        return torch.stack([tree(x).mean(dim=(1, 2, 3)) for tree in self.trees], dim=1)


@st.composite
def forests(draw):
    """A picture size and six networks that take it."""
    size = draw(st.sampled_from([(17, 17), (16, 21), (13, 9)]))
    return size, [draw(networks(size)) for _ in range(6)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@settings(
    max_examples=52,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # making a failing example smaller takes minutes; the network that fails is printed
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
@given(forests())
def test_boxes_are_the_pixels_with_a_gradient(wrap, drawn):
    size, trees = drawn
    forest = positive(Forest(trees))
    model = wrap(forest, size=size)
    inputs = torch.rand(1, 3, *size, dtype=torch.float64, requires_grad=True)
    for index, tree in enumerate(forest.trees):
        with SumOfWindow():
            value = tree(inputs)
        field = receptive_field(model, f"trees.{index}")
        if "joined with its own transpose: not followed" in field.notes:
            assert field.whole
            continue
        assert field.map_size == tuple(value.shape[2:])
        assert field.exact or any("boxes may be too large" in note for note in field.notes), field.notes
        for row, column in places(*field.map_size):
            box, seen = field.box(row, column), seen_box(value, inputs, row, column)
            if not agree((box.top, box.left, box.bottom, box.right), seen, exact=field.exact):
                pytest.fail(f"{size}, unit {row},{column}: {box}, but {seen} has a gradient\n{tree}", pytrace=False)


def agree(box, seen, *, exact):
    """Equal; or, where the field says that it may be too large, around."""
    blind = seen == (0, 0, 0, 0)
    around = blind or (box[0] <= seen[0] and box[1] <= seen[1] and box[2] >= seen[2] and box[3] >= seen[3])
    return box == seen if exact else around
