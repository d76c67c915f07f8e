"""What filters look like: first-layer colors by hue, a separable pair, a deep layer at once, and spectra."""

from pathlib import Path

import convscope
from convscope.anatomy import filters
from convscope.plot import figure

ASSETS = Path("docs/assets")

model = convscope.load()
figure(filters(model, "conv_stem", sort="hue"), scale="filter").savefig(ASSETS / "filters_color.webp", dpi=110)
figure(filters(model, "blocks.0.0.conv_dw", view="pairs")).savefig(ASSETS / "filters_pairs.webp", dpi=90)
figure(filters(model, "blocks.2.1.conv_dw")).savefig(ASSETS / "filters_collated.webp", dpi=110)
figure(filters(model, "blocks.4.1.conv_dw", view="spectrum", sort="norm", only=range(64))).savefig(
    ASSETS / "filters_spectrum.webp", dpi=100
)
