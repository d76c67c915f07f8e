import pytest
import torch

from convscope.results import Answer, Attribution, Explanation, Provenance, Source, Trust

NAN, INF = float("nan"), float("inf")


def provenance(**changes):
    fields = {
        "action": "explain",
        "method": "smooth_grad(gradient(), samples=50)",
        "model": "resnet18",
        "origin": "resnet18",
        "weights_digest": "0123456789abcdef",
        "targets": ("class:281", "class:7"),
        "seed": 7,
        "device": "cpu",
        "dtype": "float32",
        "threads": 2,
        "seconds": 0.1 + 0.2,
        "versions": {"torch": "2.15"},
        "created": "2030-01-02T03:04:05Z",
        "options": {"σ": 0.15, "layers": ["layer4", ("a", 1)], "deep": {"none": None, "on": True}},
    }
    return Provenance(**{**fields, **changes})


@pytest.fixture
def attribution():
    values = torch.randn(2, 3, 4, 5)
    values[0, 0, 0] = torch.tensor([NAN, INF, -INF, -0.0, 1e-45])
    return Attribution(
        images=torch.rand(2, 3, 4, 5),
        values=values,
        reduction="max_abs",
        signed=True,
        scores=torch.tensor([1.5, NAN]),
        targets=("class:281", "class:7"),
        layers=(),
        cells=None,
        facts={"completeness": (1e-9, NAN), "worst": -INF, "steps": 50, "curve": torch.arange(3), "note": "ok"},
        provenance=provenance(),
    )


@pytest.fixture
def explanation(attribution):
    return Explanation(
        images=attribution.images,
        sources=(
            Source("sample:cat", "ab" * 32, 451, 300, (93.5, 18.75, 357.0, 281.25), ("turned upright",)),
            Source("caf\udce9 ☕.png"),
        ),
        answers=(
            (Answer(281, "tabby", 0.7, 9.5), Answer(282, "tiger cat", 0.2, 8.25)),
            (Answer(7, "cock", 1.0, 30.0),),
        ),
        attributions=(attribution, attribution),
        trust=((Trust(None, 0.3, None), Trust(0.01, -0.2, 0.9, ("note",))),) * 2,
        failures=(("gone.jpg", "cannot read 'gone.jpg': no such file or folder."),),
        provenance=provenance(),
    )
