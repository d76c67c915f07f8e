"""What layers make of a photograph: the journey, a grid of one layer over the picture, and a moving sequence."""

from pathlib import Path

import torch

import convscope
from convscope.anatomy import activation_maps
from convscope.plot import animation, figure

ASSETS = Path("docs/assets")
PHOTO = ASSETS / "photos" / "pug_ball.jpg"

model = convscope.load()
journey = activation_maps(model, PHOTO, sort="contribution")
figure(journey, overlay=True).savefig(ASSETS / "activations_journey.webp", dpi=100)

grid = activation_maps(model, PHOTO, "blocks.3.0.bn1", sort="contribution", target="class:tennis ball", top=32)
figure(grid, overlay=True).savefig(ASSETS / "activations_grid.webp", dpi=100)

# A slow pan over a photograph, as a camera would make it.
wide = convscope.anatomy.activation_maps(model, PHOTO, "conv_stem", top=1).images[0]
pan = torch.stack([wide[:, :, step : step + 192] for step in range(0, 33, 4)])
pan = torch.nn.functional.interpolate(pan, size=(224, 224), mode="bilinear", antialias=True).clamp(0, 1)
moving = activation_maps(model, pan, "blocks.5.0.bn1", sort="contribution", target="class:tennis ball", top=8)
(ASSETS / "activations_moving.webp").write_bytes(animation(moving, rate=5.0, dpi=100, overlay=True, columns=4))
