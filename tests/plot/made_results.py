"""Results made on the spot: a real photograph, real gradients of a small network, and maps of known values."""

from dataclasses import replace

import torch
from skimage import data
from torch import Tensor, nn
from torch.nn.functional import interpolate

from convscope.results import Answer, Attribution, Explanation, Provenance, Source, Trust

NAMES = {3: "Egyptian cat", 1: "tiger cat"}


def photograph(height: int = 48, width: int = 48, channels: int = 3) -> Tensor:
    """The cat Chelsea, (1, c, h, w) in [0, 1]."""
    cat = torch.from_numpy(data.chelsea()).permute(2, 0, 1)[None].float() / 255
    small = interpolate(cat, size=(height, width), mode="area")
    return small if channels == 3 else small.mean(dim=1, keepdim=True).repeat(1, channels, 1, 1)


def provenance(method: str = "gradient()", **changes) -> Provenance:
    made = Provenance(
        action="explain",
        method=method,
        model="tiny_net",
        origin="torchvision:tiny_net",
        weights_digest="0123456789abcdef",
        targets=("class:3", "class:1"),
        seed=17,
        device="cpu",
        dtype="float32",
        threads=2,
        versions={"convscope": "0.1.0", "torch": "2.15.0"},
        seconds=0.25,
        created="2026-02-03T04:05:06Z",
        options={"command": "convscope rerun cats"},
    )
    return replace(made, **changes)


def attribution(
    images: Tensor, values: Tensor, *, signed: bool = False, method: str = "gradient()", **changes
) -> Attribution:
    made = Attribution(
        images=images,
        values=values,
        reduction="sum" if signed else "max_abs",
        signed=signed,
        scores=torch.tensor([9.25, 4.5])[: len(images)],
        targets=("class:3", "class:1")[: len(images)],
        layers=(),
        cells=None,
        facts={},
        provenance=provenance(method),
    )
    return replace(made, **changes)


def gradient(images: Tensor) -> Tensor:
    """The gradient of one output of a small random network: a real map with a real map's distribution."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(images.shape[1], 8, 5, padding=2), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 4),
        )  # fmt: skip
    leaf = images.clone().requires_grad_(True)
    return torch.autograd.grad(net(leaf)[:, 3].sum(), leaf)[0]


def explanation(height: int = 48, width: int = 48, channels: int = 3) -> Explanation:
    """Two pictures (Chelsea, and Chelsea mirrored and darker) under a gradient, input × gradient and a CAM."""
    cat = photograph(height, width, channels)
    images = torch.cat([cat, 0.7 * cat.flip(3)])
    slope = gradient(images)
    cam = interpolate(slope.abs().mean(dim=1, keepdim=True), size=(4, 4), mode="area")
    cam = interpolate(cam, size=(height, width), mode="bilinear")
    attributions = (
        attribution(images, slope, facts={"unit": "logits per unit of a [0, 1] pixel"}),
        attribution(
            images,
            slope * images,
            signed=True,
            method="integrated_gradients(steps=50,baseline='black')",
            facts={"completeness_error": (0.0123, 0.456), "coverage": {"ReLU": 2, "missed": 0}, "exact": True},
        ),
        attribution(images, cam, method="grad_cam()", layers=("features.2",), facts={"upsampling": "aligned"}),
    )
    trust = (
        (Trust(None, 0.11, 0.22), Trust(None, 0.71, 0.62)),
        (Trust(0.0123, -0.2, None), Trust(0.456, 0.3, 0.1, ("The baseline is close to this picture.",))),
        (Trust(None, 0.5, 0.5), Trust(None, 0.1, 0.95)),
    )
    answers = (
        (Answer(3, "Egyptian cat", 0.625, 9.25), Answer(1, "tiger cat", 0.25, 8.3), Answer(0, "class 0", 0.0004, 1.0)),
        (Answer(1, "tiger cat", 0.5, 4.5), Answer(3, "Egyptian cat", 0.25, 3.8)),
    )
    sources = (
        Source("cats/chelsea.png", "ab" * 32, 451, 300, (75.0, 0.0, 375.0, 300.0), ("rotated by its EXIF tag",)),
        Source("mirrored"),
    )
    failures = (("notes.txt", "not a picture: it is text"),)
    return Explanation(images, sources, answers, attributions, trust, failures, provenance())
