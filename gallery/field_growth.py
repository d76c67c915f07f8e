"""How the receptive field grows with depth, what one element sees, and which of those pixels count."""

from pathlib import Path

import convscope
from convscope.anatomy import field

ASSETS = Path("docs/assets")

model = convscope.load()
grown = field(model, "blocks.3@6,6", image="sample:cat", column=True)
grown.figure().savefig(ASSETS / "field_growth.webp", dpi=110)
