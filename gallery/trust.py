"""The trust line: the same maps when the layer that decides has random weights. A map that stays cannot explain."""

from pathlib import Path

from matplotlib.figure import Figure

import convscope
from convscope.audit import randomized_values
from convscope.plot import overlay, picture, shared_scale
from convscope.results import reduce_channels

ASSETS = Path("docs/assets")

model = convscope.load()
methods = ["grad_cam", "smooth_grad", "guided_backprop"]
page = convscope.explain(model, ASSETS / "photos" / "pug_ball.jpg", methods=methods)

figure = Figure(figsize=(8.2, 4.9), layout="constrained")
grid = figure.subplots(2, 4)
grid[0, 0].imshow(picture(page.images[0]))
grid[0, 0].set_title('Why "tennis ball"?', fontsize=9.5)
for column, (result, (card,)) in enumerate(zip(page.attributions, page.trust, strict=True), start=1):
    other = randomized_values(convscope.method(result.method), model, result)
    for row, values in enumerate([result.values, other]):
        scale = shared_scale(result)
        maps = reduce_channels(values, result.reduction)[0].numpy()
        grid[row, column].imshow(overlay(page.images[0], maps, scale))
    grid[0, column].set_title(f"{result.method}\nas trained", fontsize=9.5)
    grid[1, column].set_title(f"random last layer\nchange {1 - card.randomization_similarity:.2f}", fontsize=9.5)
for axes in grid.flat:
    axes.set_axis_off()
figure.savefig(ASSETS / "trust.webp", dpi=110)
