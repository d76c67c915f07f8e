"""``class:top`` and its like: whose answer, where, and of which shape."""

import pytest
import torch
from torch import nn

from convscope.attribution import Gradient
from convscope.errors import AddressError, TargetError
from convscope.probe import batch_target, direction, score, target, untouched


class Fixed(nn.Module):
    """Logits that a test can foresee: means of the picture's quarters, in the shape asked for."""

    def __init__(self, shape) -> None:
        super().__init__()
        self.quarters, self.shape = nn.AdaptiveAvgPool2d(2), shape

    def forward(self, x):
        return self.shape(self.quarters(x).flatten(1))


def answers(wrap, shape, images, wanted, classes=()):
    model = wrap(Fixed(shape), size=(4, 4), channels=1, classes=classes)
    question = batch_target(model, images, wanted)
    with untouched(model):
        return question, score(model, images, question)


@pytest.fixture
def images():
    """Two pictures whose quarters are 0.1 0.4 / 0.3 0.2 and 0.5 0.6 / 0.9 0.7."""
    quarters = torch.tensor([[[[0.1, 0.4], [0.3, 0.2]]], [[[0.5, 0.6], [0.9, 0.7]]]])
    return quarters.repeat_interleave(2, 2).repeat_interleave(2, 3)


RANKS = {
    "class:top": (["class:1", "class:2"], [0.4, 0.9]),
    "class:top1": (["class:1", "class:2"], [0.4, 0.9]),
    "class:top2": (["class:2", "class:3"], [0.3, 0.7]),
    "class: top4": (["class:0", "class:0"], [0.1, 0.5]),
    "class:top - class:top2": (["class:1 - class:2", "class:2 - class:3"], [0.1, 0.2]),
    "class:0 + class:top": (["class:0 + class:1", "class:0 + class:2"], [0.5, 1.4]),
}


@pytest.mark.parametrize("wanted", RANKS)
def test_ranks_are_each_pictures_own(wrap, images, wanted):
    names, scores = RANKS[wanted]
    question, found = answers(wrap, lambda x: x, images, wanted)
    assert question.names == tuple(names)
    torch.testing.assert_close(found, torch.tensor(scores))


def test_equal_logits_are_ranked_by_index(wrap):
    question, _ = answers(wrap, lambda x: x, torch.full((1, 1, 4, 4), 0.5), "class:top - class:top2")
    assert question.names == ("class:0 - class:1",)


CLASSES = ("top hat", "topknot", "flat top", "cap")


@pytest.mark.parametrize(("wanted", "index"), [("class:top hat", 0), ("class:topknot", 1), ("class:flat top", 2)])
def test_classes_with_top_in_their_names_are_no_ranks(wrap, images, wanted, index):
    question, _ = answers(wrap, lambda x: x, images, wanted, CLASSES)
    assert question.names == (f"class:{index}",) * 2
    question, _ = answers(wrap, lambda x: x, images, f"class:top - {wanted}", CLASSES)
    assert question.names == (f"class:1 - class:{index}", f"class:2 - class:{index}")


@pytest.mark.parametrize("wanted", ["class:top0", "class:top-1", "class:top2x"])
def test_ranks_that_are_none(wrap, images, wanted):
    with pytest.raises(AddressError, match=r"^no class 'top.*' in net\."):
        answers(wrap, lambda x: x, images, wanted, CLASSES)


def _segmentation(x):
    """Four classes at 1 × 2 positions; the right one sees the classes in reverse."""
    return torch.stack([x, x.flip(1)], dim=2)[:, :, None]


def test_the_top_class_of_a_position(wrap, images):
    question, found = answers(wrap, _segmentation, images, "class:top@0,0")
    assert question.names == ("class:1@0,0", "class:2@0,0")
    torch.testing.assert_close(found, torch.tensor([0.4, 0.9]))
    question, found = answers(wrap, _segmentation, images, "class:top2@0,1")
    assert question.names == ("class:1@0,1", "class:0@0,1")
    torch.testing.assert_close(found, torch.tensor([0.3, 0.7]))
    question, found = answers(wrap, _segmentation, images, "class:top")  # of the mean over positions
    torch.testing.assert_close(found, torch.tensor([0.35, 0.75]))
    with pytest.raises(TargetError, match=r"^class:top@1,0: output has 1×2 positions, got row 1, column 0 "):
        answers(wrap, _segmentation, images, "class:top@1,0")


@pytest.mark.parametrize("shape", [lambda x: x.mean(1), lambda x: x.mean(1, keepdim=True)], ids=["(n,)", "(n, 1)"])
@pytest.mark.parametrize("wanted", ["class:0", "class:top", "output", "output:0"])
def test_a_single_logit_is_class_0(wrap, images, shape, wanted):
    _, found = answers(wrap, shape, images, wanted)
    torch.testing.assert_close(found, torch.tensor([0.25, 0.675]))
    model = wrap(Fixed(shape), size=(4, 4), channels=1)
    torch.testing.assert_close(Gradient()(model, images, wanted).values, torch.full((2, 1, 4, 4), 1 / 16))
    with pytest.raises(TargetError, match=r"^class:1: net has 1 channels there, 0 to 0\.$"):
        answers(wrap, shape, images, "class:1")
    with pytest.raises(TargetError, match=r"^class:top2 asked of a network with 1 classes\.$"):
        answers(wrap, shape, images, "class:top2")


def test_directions_of_one_batch_are_told_apart(wrap, images):
    """They have one name, and are two targets."""
    model = wrap(Fixed(lambda x: x), size=(4, 4), channels=1)
    first, second = (direction(model, "output", torch.eye(4)[index]) for index in (1, 3))
    with untouched(model):
        found = score(model, images, batch_target(model, images, [first, second]))
        torch.testing.assert_close(found, torch.tensor([0.4, 0.7]))
        mixed = score(model, images, batch_target(model, images, [first, "class:top"]))
        torch.testing.assert_close(mixed, torch.tensor([0.4, 0.9]))


def test_an_answer_is_settled_by_the_pictures_themselves(wrap, images):
    model = wrap(Fixed(lambda x: x), size=(4, 4), channels=1)
    question = batch_target(model, images, "class:top")
    with (
        untouched(model),
        pytest.raises(TargetError, match=r"^'class:top' of 2 images cannot be settled by 6"),
    ):
        score(model, images.repeat(3, 1, 1, 1), question)
    question.settle(images)
    with untouched(model):
        found = score(model, images.repeat_interleave(3, dim=0), question)
    torch.testing.assert_close(found, torch.tensor([0.4] * 3 + [0.9] * 3))
    assert target("class:1", model).name == question.names[0]
