"""Where a class activation map belongs: a detector whose right answer is known, placed in two ways."""

from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import nn

import convscope
from convscope.plot import overlay, shared_scale

ASSETS = Path("docs/assets")

# A network that can only see red, through unpadded strides as in AlexNet; its score is the mean over the picture.
stride = nn.Sequential(*[nn.AvgPool2d(3, stride=2) for _ in range(4)])
red = nn.Conv2d(3, 1, 1, bias=False)
red.weight.data = torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1)
network = nn.Sequential(red, nn.ReLU(), stride, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 1))
nn.init.ones_(network[-1].weight)
model = convscope.load(network, size=224, mean=0.0, std=1.0, classes=["red"])

picture = torch.full((1, 3, 224, 224), 0.85)
rows, columns = torch.meshgrid(torch.arange(224), torch.arange(224), indexing="ij")
for row, column in [(60, 70), (150, 165)]:
    picture[0, 1:, (rows - row) ** 2 + (columns - column) ** 2 < 15**2] = 0.1

panels = {"the picture": picture[0].permute(1, 2, 0).numpy()}
for upsampling in ["corners", "aligned"]:
    result = convscope.method(f"grad_cam(layer='2', upsampling='{upsampling}')")(model, picture, "class:red")
    panels[f"upsampling='{upsampling}'"] = overlay(picture[0], result.maps[0].numpy(), shared_scale(result))

figure = Figure(figsize=(9.3, 3.4), layout="constrained")
for axes, (title, pixels) in zip(figure.subplots(1, 3), panels.items(), strict=True):
    axes.imshow(pixels)
    axes.plot([70, 165], [60, 150], "+", color="deepskyblue", markersize=14, markeredgewidth=2)
    axes.set_title(title, fontsize=10)
    axes.set_axis_off()
figure.savefig(ASSETS / "alignment.webp", dpi=110)
