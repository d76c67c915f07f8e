import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from convscope.errors import ImageError
from convscope.image import read


def valid(form):
    noise = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, form, **({} if form in ("BMP", "GIF", "PPM") else {"exif": exif}))
    return buffer.getvalue()


FILES = {form: valid(form) for form in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "AVIF")}


@pytest.mark.parametrize("form", FILES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damage_gives_a_picture_or_one_clear_line_and_never_a_traceback(form, data):
    damaged = bytearray(FILES[form])
    position = st.one_of(st.integers(0, min(200, len(damaged) - 1)), st.integers(0, len(damaged) - 1))
    for place, byte in data.draw(st.lists(st.tuples(position, st.integers(0, 255)), max_size=6)):
        damaged[place] = byte
    end = data.draw(st.one_of(st.just(len(damaged)), st.integers(0, len(damaged))))
    try:
        picture = read("-", stdin=bytes(damaged[:end]))
    except ImageError as error:
        assert str(error).startswith("cannot ")
        assert "\n" not in str(error)
    else:
        assert picture.pixels.mode == "RGB"
        assert picture.pixels.size == (picture.source.width, picture.source.height)
