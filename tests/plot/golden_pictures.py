"""Figures compared with small stored pictures: what moves, vanishes or changes color is seen."""

import os
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).parent / "golden"


def check_golden(figure, name):
    """Compare a figure, averaged down to 64×64 pixels, with its stored picture.

    Letters differ a little between font engines, so single pixels may differ by a quarter of the range and all of them
    by 2 % on average. ``CONVSCOPE_GOLDEN=write`` stores the pictures anew: look at them before committing.
    """
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    drawn = Image.open(buffer).convert("RGB").resize((64, 64), Image.Resampling.BOX)
    path = FOLDER / f"{name}.png"
    if os.environ.get("CONVSCOPE_GOLDEN") == "write":
        drawn.save(path, optimize=True)
    wanted = np.asarray(Image.open(path).convert("RGB"), dtype=np.float64)
    difference = np.abs(np.asarray(drawn, dtype=np.float64) - wanted)
    assert difference.mean() < 0.02 * 255, f"{name}: {difference.mean():.1f} levels on average"
    assert difference.max() < 0.25 * 255, f"{name}: {difference.max():.0f} levels at most"
