"""The health of all units of the embedded network on 140 random crops of the seven bundled photographs."""

from pathlib import Path

import torch

import convscope
from convscope.anatomy import unit_health
from convscope.image import SAMPLES, read, to_input

CROPS = 20

model = convscope.load()
size = model.spec.preprocessing.size
generator = torch.Generator().manual_seed(0)
images, labels = [], []
for name in SAMPLES:
    photograph, _ = to_input(read(f"sample:{name}"), (size[0] + 96, size[1] + 96), fit="stretch")
    for top, left in torch.randint(0, 97, (CROPS, 2), generator=generator).tolist():
        images.append(photograph[:, top : top + size[0], left : left + size[1]])
        labels.append(name)

order = torch.randperm(len(images), generator=generator).tolist()
health = unit_health(
    model, torch.stack(images)[order], labels=[labels[place] for place in order], ablate=16, ablate_on=4
)
health.figure().savefig(Path("docs/assets/health_units.webp"), dpi=100)
print(sum(len(layer.activity.dead) for layer in health.layers), "dead of", sum(layer.units for layer in health.layers))
