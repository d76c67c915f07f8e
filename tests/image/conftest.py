import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photo() -> Image.Image:
    """A smooth, asymmetric color picture, 60 wide and 40 high."""
    rows, columns = np.mgrid[0:40, 0:60]
    red, green, blue = columns * 4, rows * 6, 128 + 100 * np.sin(columns / 7 + rows / 5)
    return Image.fromarray(np.stack([red, green, blue], axis=-1).astype(np.uint8))
