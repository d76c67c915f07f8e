"""The effective receptive field of a layer, on noise: a bright core of a much larger theoretical field."""

from pathlib import Path

import convscope
from convscope.anatomy import effective_receptive_field, field

ASSETS = Path("docs/assets")

model = convscope.load()
measured = field(model, "blocks.3@6,6", image="sample:cat", effective=True, samples=256).effective
measured.figure().savefig(ASSETS / "field_effective.webp", dpi=110)

print("layer  size  95 % of energy in  two-sigma side  sigma")
for block in range(1, 7):
    found = effective_receptive_field(model, f"blocks.{block}", samples=64)
    sigma = " × ".join(f"{side:.1f}" for side in found.gaussian.sigma)
    fractions = f"{found.energy_fraction:.1%} of {found.box.area} pixels, {found.side_ratio:.1%}"
    print(f"blocks.{block}  {found.box.size[0]:g}  {fractions}, {sigma}, R² {found.gaussian.r_squared:.2f}")
