"""Two classes and the margin between them: what speaks for a muzzle, for a beagle, and for one over the other."""

from pathlib import Path

import convscope
from convscope.plot import attribution_figure

ASSETS = Path("docs/assets")

model = convscope.load()
signed = convscope.method("grad_cam(rectify=False)")
seen = convscope.explain(model, ASSETS / "photos" / "beagle_muzzle.jpg", methods=[signed], trust=False)
names = {answer.index: answer.name for answer in seen.answers[0]}

questions = ["class:muzzle", "class:beagle", "class:muzzle - class:beagle"]
result = signed(model, seen.images.repeat(3, 1, 1, 1), questions)
attribution_figure(result, names=names).savefig(ASSETS / "margin.webp", dpi=110)
