"""The page itself: a pug with a tennis ball, and what made the network say "tennis ball"."""

from pathlib import Path

import convscope

ASSETS = Path("docs/assets")

page = convscope.explain(
    convscope.load(),
    ASSETS / "photos" / "pug_ball.jpg",
    methods=["grad_cam", "guided_backprop", "integrated_gradients(steps=200)", "smooth_grad"],
)
page.figure().savefig(ASSETS / "explain_page.webp", dpi=120)
