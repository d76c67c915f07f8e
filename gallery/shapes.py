"""A network of one's own: gray pictures, three classes, trained here in seconds, then explained like any other."""

import torch
from torch import nn

import convscope

NAMES = ["circle", "square", "triangle"]


def pictures(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw gray 64 × 64 pictures, each with one shape at a random place, size and level, on noise."""
    draws = torch.Generator().manual_seed(seed)
    kinds = torch.randint(3, (count,), generator=draws)
    place, size, level = torch.rand((3, count, 2, 1, 1), generator=draws)
    row, column = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    r, c = ((axis - 16 - 32 * place[:, i]) / (8 + 6 * size[:, 0]) for i, axis in enumerate([row, column]))
    circle, square, triangle = r**2 + c**2 < 1, (r.abs() < 0.9) & (c.abs() < 0.9), (r < 0.8) & (2 * c.abs() < r + 1.2)
    shape = torch.stack([circle, square, triangle])[kinds, torch.arange(count)]
    noise = 0.2 + 0.1 * torch.rand((count, 64, 64), generator=draws)
    return torch.where(shape, 0.5 + 0.5 * level[:, 0], noise)[:, None], kinds


def network() -> convscope.Model:
    """Train a small network on them; `convscope layers gallery/shapes.py:network` calls this too."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 16, 3, stride=2), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU(), nn.Conv2d(32, 64, 3)]
    net = nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 3))
    images, kinds = pictures(1024, seed=1)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(30):
        for chosen in torch.randperm(1024).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net((images[chosen] - 0.4) / 0.3), kinds[chosen]).backward()
            optimizer.step()
    return convscope.load(net.eval(), size=64, mean=0.4, std=0.3, classes=NAMES, name="shapes")


if __name__ == "__main__":
    images, kinds = pictures(64, seed=2)
    first = [int((kinds == kind).nonzero()[0]) for kind in (1, 2)]
    page = convscope.explain(network(), images[first], methods=["cam", "grad_cam", "integrated_gradients(steps=200)"])
    page.figure().savefig("docs/assets/own_model.webp", dpi=90)
