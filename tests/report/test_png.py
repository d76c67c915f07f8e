"""The PNG is the figure, whatever the user's settings, and never too large to be opened."""

from io import BytesIO

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from convscope.plot import figure
from convscope.report import png, sheet


def test_it_is_the_figure_at_150_dpi(explanation):
    width, height = figure(explanation).get_size_inches()
    size = Image.open(BytesIO(png(explanation))).size
    assert size == pytest.approx((150 * width, 150 * height), abs=1)


def test_settings_for_saving_do_not_change_it(explanation):
    usual = np.asarray(Image.open(BytesIO(png(explanation))))
    with mpl.rc_context({"savefig.bbox": "tight", "savefig.facecolor": "black", "savefig.transparent": True}):
        np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(png(explanation)))), usual)


def test_very_long_pages_get_fewer_dots_per_inch(explanation, monkeypatch):
    monkeypatch.setattr(sheet, "_MOST_PIXELS", 700)
    assert max(Image.open(BytesIO(png(explanation))).size) in (699, 700)
