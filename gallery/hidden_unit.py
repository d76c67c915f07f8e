"""Hidden units: what each of six channels saw where it was excited most, and which of those pixels excited it."""

from pathlib import Path

from matplotlib.figure import Figure

import convscope
from convscope.plot import overlay, picture, shared_scale

ASSETS = Path("docs/assets")
LAYER = "blocks.3.0.conv_pw"  # before its ReLU6: a unit at the ceiling of 6 has no gradient

model = convscope.load()
guided = convscope.method("guided_backprop")
images = convscope.pictures(model, ASSETS / "photos" / "pug_ball.jpg")
(activation,) = convscope.record(model, images, [LAYER])[LAYER]
field = convscope.receptive_field(model, LAYER)

figure = Figure(figsize=(9.6, 3.7), layout="constrained")
for axes, channel in zip(figure.subplots(2, 6).T, activation.std(dim=(1, 2)).topk(6).indices.tolist(), strict=True):
    row, column = divmod(int(activation[channel, 4:-4, 4:-4].argmax()), activation.shape[2] - 8)
    unit = f"{LAYER}:{channel}@{row + 4},{column + 4}"
    result, box = guided(model, images, unit), field.box(row + 4, column + 4)
    seen = (slice(box.top, box.bottom), slice(box.left, box.right))
    axes[0].imshow(picture(images[0])[seen])
    axes[0].set_title(unit.removeprefix("blocks.3.0."), fontsize=9)
    axes[1].imshow(overlay(images[0], result.maps[0].numpy(), shared_scale(result))[seen])
    axes[0].set_axis_off(), axes[1].set_axis_off()
figure.savefig(ASSETS / "hidden_unit.webp", dpi=110)
