"""Every method on one photograph and one question: why "tennis ball"?"""

from pathlib import Path

from matplotlib.figure import Figure

import convscope
from convscope.plot import overlay, picture, shared_scale

ASSETS = Path("docs/assets")

model = convscope.load()
photo = ASSETS / "photos" / "pug_ball.jpg"
page = convscope.explain(model, photo, methods=[*convscope.METHODS], target="class:tennis ball", trust=False)
panels = {"the photograph": picture(page.images[0])}
for result in page.attributions:
    panels[result.method] = overlay(page.images[0], result.maps[0].numpy(), shared_scale(result))

figure = Figure(figsize=(10.4, 5.75), layout="constrained")
for axes, (name, pixels) in zip(figure.subplots(3, 6).flat, panels.items(), strict=True):
    axes.imshow(pixels)
    axes.set_title(name, fontsize=8.5)
    axes.set_axis_off()
figure.savefig(ASSETS / "compare_methods.webp", dpi=110)
