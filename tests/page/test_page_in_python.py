"""The page from Python: ``explain``, ``write``, ``rerun``."""

import subprocess
import sys

import pytest
import torch
from torch import nn

import convscope
from convscope.errors import ImageError, MethodError, ModelError, TargetError
from convscope.model import load
from convscope.page import TOGETHER

QUICK = ("gradient", "grad_cam", "integrated_gradients(steps=4)")


def small(*, head=()):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4), *head]
    return nn.Sequential(*layers)


@pytest.fixture(scope="module")
def model():
    return load(small(), size=32, mean=0.5, std=0.25, classes=["ant", "bee", "cat", "dog"], name="small")


@pytest.fixture(scope="module")
def images():
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_answers_are_the_networks_own(model, images):
    page = convscope.explain(model, images, methods=["gradient"], trust=False, top=2)
    with torch.no_grad():
        expected = model.module(model.normalize(images)).softmax(dim=1)
    for answers, probabilities in zip(page.answers, expected, strict=True):
        assert [answer.index for answer in answers] == probabilities.argsort(descending=True)[:2].tolist()
        assert answers[0].probability == pytest.approx(probabilities.max().item(), abs=1e-6)
        assert answers[0].name == ["ant", "bee", "cat", "dog"][answers[0].index]


def test_a_network_that_ends_in_sigmoid_has_independent_probabilities(images):
    model = load(small(head=[nn.Sigmoid()]), size=32, mean=0.0, std=1.0)
    page = convscope.explain(model, images, methods=["gradient"], trust=False)
    with torch.no_grad():
        expected = model.module(images).max(dim=1).values
    assert [answers[0].probability for answers in page.answers] == pytest.approx(expected.tolist(), abs=1e-6)


def test_many_pictures_get_what_each_would_get_alone(model):
    images = torch.rand(TOGETHER + 3, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    page = convscope.explain(model, images, methods=QUICK, target="class:cat")
    for index in (0, TOGETHER - 1, TOGETHER, TOGETHER + 2):
        alone = convscope.explain(model, images[index : index + 1], methods=QUICK, target="class:cat")
        for column, single in zip(page.attributions, alone.attributions, strict=True):
            assert torch.allclose(column.values[index], single.values[0], rtol=1e-4, atol=1e-7)
        assert page.trust[2][index].completeness_error == pytest.approx(
            alone.trust[2][0].completeness_error, rel=1e-2, abs=1e-5
        )
    assert page.attributions[0].targets == ("class:2",) * (TOGETHER + 3)


def test_each_picture_may_have_its_own_target(model, images):
    page = convscope.explain(
        model, images, methods=["gradient"], target=["class:ant", "class:bee", "class:top2"], trust=False
    )
    assert page.attributions[0].targets == ("class:0", "class:1", f"class:{page.answers[2][1].index}")
    with pytest.raises(ImageError, match="2 targets for 3 pictures"):
        convscope.explain(model, images, target=["class:ant", "class:bee"])


def test_a_direction_is_explained_and_trusted_like_a_class(model, images):
    toward = convscope.direction(model, "0", torch.arange(8.0))
    page = convscope.explain(model, images, methods=["gradient"], target=toward)
    assert all(card.randomization_similarity is not None for card in page.trust[0])
    with pytest.raises(TargetError, match="was made in Python"):
        convscope.rerun(page, model)
    again = convscope.rerun(page, model, target=toward)
    assert torch.equal(again.attributions[0].values, page.attributions[0].values)


def test_good_pictures_are_done_and_bad_ones_listed(model, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_text("not a picture")
    page = convscope.explain(model, ["sample:cat", str(broken), "missing.png"], methods=["gradient"], trust=False)
    assert [source.name for source in page.sources] == ["sample:cat"]
    assert sorted(name for name, _ in page.failures) == sorted([str(broken), "missing.png"])
    with pytest.raises(ImageError, match=r"missing\.png"):
        convscope.explain(model, "missing.png")


def test_the_layer_reaches_methods_that_name_none_also_inside_a_wrapper(model, images):
    methods = ["grad_cam", "grad_cam(layer='1')", "smooth_grad(grad_cam, samples=2)"]
    page = convscope.explain(model, images, methods=methods, layer="0", trust=False)
    assert [column.layers for column in page.attributions] == [("0",), ("1",), ("0",)]


def test_written_read_and_made_again(model, images, tmp_path):
    page = convscope.explain(model, images, methods=QUICK, seed=3)
    files = convscope.write(page, tmp_path / "page", formats=["html", "npz"])
    assert [file.name for file in files] == ["page.html", "arrays.npz", "manifest.json"]
    assert not (tmp_path / "page" / "page.png").exists()
    stored = convscope.read_result(tmp_path / "page")
    again = convscope.rerun(stored, model)
    for column, first in zip(again.attributions, stored.attributions, strict=True):
        assert torch.equal(column.values, first.values)
    assert again.trust == stored.trust
    assert again.answers == stored.answers


def test_what_cannot_be_made_again_says_why(model, images):
    page = convscope.explain(model, images, methods=["gradient"], trust=False)
    with pytest.raises(ModelError, match="was made in Python"):
        convscope.rerun(page)
    other = load(small(), size=32, mean=0.5, std=0.25)
    with torch.no_grad():
        other.module[0].weight += 1
    with pytest.raises(ModelError, match="the result was made with"):
        convscope.rerun(page, other)


def test_another_precision_states_its_error(model, images):
    page = convscope.explain(model, images, methods=["gradient"], dtype=torch.bfloat16, trust=False)
    assert page.provenance.dtype == "bfloat16"
    assert 0 < page.attributions[0].facts["precision_error"] < 0.2
    assert torch.equal(convscope.rerun(page, model).attributions[0].values, page.attributions[0].values)


def test_progress_is_told_to_the_end(model, images):
    told = []
    convscope.explain(
        model, images, methods=["gradient", "grad_cam"], trust=False, progress=lambda *step: told.append(step)
    )
    assert told == [("gradient", 0, 2), ("grad_cam", 1, 2), ("done", 2, 2)]


def test_nothing_to_do_is_an_error(model, images, tmp_path):
    with pytest.raises(MethodError, match="no method to explain with"):
        convscope.explain(model, images, methods=[])
    page = convscope.explain(model, images, methods=["gradient"], trust=False)
    with pytest.raises(MethodError, match="no format 'pdf'"):
        convscope.write(page, tmp_path / "page", formats=["pdf"])
    assert list(tmp_path.iterdir()) == []


def test_every_public_name_is_there():
    assert [name for name in convscope.__all__ if not hasattr(convscope, name)] == []


def test_importing_convscope_loads_nothing_heavy():
    heavy = ("torch", "torchvision", "timm", "matplotlib", "skimage", "typer")
    code = f"import sys, convscope; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
