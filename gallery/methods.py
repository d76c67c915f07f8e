"""One picture for each method's page: the same photograph, asked about two classes; and how alike the two maps are."""

from pathlib import Path

import convscope
from convscope.audit import rank_correlation
from convscope.plot import attribution_figure

ASSETS = Path("docs/assets")
(ASSETS / "methods").mkdir(exist_ok=True)

model = convscope.load()
seen = convscope.explain(model, ASSETS / "photos" / "pug_ball.jpg", methods=["gradient"], trust=False)
names = {answer.index: answer.name for answer in seen.answers[0]}

for name in convscope.METHODS:
    explain = convscope.method(name)
    result = explain(model, seen.images.repeat(2, 1, 1, 1), ["class:tennis ball", "class:pug"])
    attribution_figure(result, names=names).savefig(ASSETS / "methods" / f"{name}.webp", dpi=110)
    size = result.maps.abs()
    print(f"| [{name}]({name}.md) | {rank_correlation(size[:1], size[1:]).item():.2f} |")
