"""Every kind of picture file, with the value that a known pixel must have; and every kind of bad file."""

import hashlib
import io
import os
import struct
import sys
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from convscope.errors import ImageError
from convscope.image import from_array, from_pil, read


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, color, rows, extra=b""):
    """A PNG written by hand, for what Pillow cannot write."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def sixteen(values):
    """PNG rows of 16-bit samples, each behind its filter byte."""
    return b"".join(b"\0" + row.astype(">u2").tobytes() for row in np.atleast_2d(values))


def encoded(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def numpy_file(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def levels(picture):
    return np.asarray(picture.pixels).astype(int)


@pytest.mark.parametrize(
    ("form", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("TIFF", {}, 0),
        ("PPM", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("JPEG", {"quality": 100, "subsampling": 0}, 5),
        ("JPEG", {"quality": 100, "subsampling": 0, "progressive": True}, 5),
    ],
)
def test_formats_give_the_pixels_that_were_saved(photo, form, options, tolerance):
    data = encoded(photo, form, **options)
    picture = read("-", stdin=data)
    assert picture.pixels.mode == "RGB"
    assert np.abs(levels(picture) - np.asarray(photo)).max() <= tolerance
    source = picture.source
    assert (source.width, source.height, source.box) == (60, 40, (0, 0, 60, 40))
    assert source.sha256 == hashlib.sha256(data).hexdigest()
    assert source.notes == ()


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_frames_the_first_is_taken(form):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime", "blue")]
    lossless = {"lossless": True} if form == "WEBP" else {}
    picture = read("-", stdin=encoded(frames[0], form, save_all=True, append_images=frames[1:], **lossless))
    assert levels(picture)[4, 4].tolist() == [255, 0, 0]
    assert picture.source.notes == ("the first of several frames",)


@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
def test_exif_rotation_is_honored(photo, tag, form):
    # How the camera held the picture: the inverse of what the tag asks for.
    undo = {
        2: "FLIP_LEFT_RIGHT",
        3: "ROTATE_180",
        4: "FLIP_TOP_BOTTOM",
        5: "TRANSPOSE",
        6: "ROTATE_90",
        7: "TRANSVERSE",
        8: "ROTATE_270",
    }
    held = photo.transpose(Image.Transpose[undo[tag]]) if tag in undo else photo
    exif = Image.Exif()
    exif[0x0112] = tag
    lossless = {"lossless": True} if form == "WEBP" else {}
    picture = read("-", stdin=encoded(held, form, exif=exif, **lossless))
    assert np.array_equal(levels(picture), np.asarray(photo))
    assert (picture.source.width, picture.source.height) == (60, 40)
    assert picture.source.notes == ((f"turned upright by its EXIF tag ({tag})",) if tag > 1 else ())


def half(values, alpha):
    return Image.merge("LA", [Image.fromarray(np.asarray(band, np.uint8)) for band in (values, alpha)])


def palette(clear=None):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    return encoded(image, "PNG", **({} if clear is None else {"transparency": clear}))


GRAY16 = np.array([[0, 257, 32896, 65535]])
WHITE = [255, 255, 255]
OVER_WHITE = ("transparency laid over white",)
MODES = {
    "gray": (encoded(Image.new("L", (2, 1), 77), "PNG"), [77] * 3, ()),
    "1 bit": (encoded(Image.new("1", (2, 1), 1), "PNG"), WHITE, ()),
    "gray+alpha": (encoded(half([[100, 0]], [[51, 255]]), "PNG"), [224] * 3, OVER_WHITE),
    "rgba, clear": (encoded(Image.new("RGBA", (2, 1), (255, 0, 0, 0)), "PNG"), WHITE, OVER_WHITE),
    "rgba, opaque": (encoded(Image.new("RGBA", (2, 1), (9, 8, 7, 255)), "PNG"), [9, 8, 7], ()),
    "rgba webp": (
        encoded(Image.new("RGBA", (2, 1), (0, 0, 0, 51)), "WEBP", lossless=True),
        [204] * 3,
        OVER_WHITE,
    ),
    "palette": (palette(), [10, 20, 30], ()),
    "palette, one color clear": (palette(0), WHITE, OVER_WHITE),
    "palette, alpha per color": (palette(b"\x33\xff"), [206, 208, 210], OVER_WHITE),
    "rgb, one color clear": (
        encoded(Image.new("RGB", (2, 1), (1, 2, 3)), "PNG", transparency=(1, 2, 3)),
        WHITE,
        OVER_WHITE,
    ),
    "cmyk tiff": (
        encoded(Image.new("CMYK", (2, 1), (0, 255, 255, 0)), "TIFF"),
        [255, 0, 0],
        ("CMYK turned to RGB without its color profile",),
    ),
    "16-bit rgb": (png(1, 1, 16, 2, sixteen([[65535, 32896, 257]])), [255, 128, 1], ()),
    "16-bit rgba": (png(1, 1, 16, 6, sixteen([[65535, 32896, 257, 65535]])), [255, 128, 1], ()),
    "16-bit gray+alpha": (png(1, 1, 16, 4, sixteen([[32896, 65535]])), [128] * 3, ()),
    "float": (
        encoded(Image.fromarray(np.full((1, 2), 0.2, np.float32)), "TIFF"),
        [51] * 3,
        ("float pixels brought to 8 bits (1 is white)",),
    ),
    "float to 255": (
        encoded(Image.fromarray(np.full((1, 2), 51.2, np.float32)), "TIFF"),
        [51] * 3,
        ("float pixels brought to 8 bits (255 is white)",),
    ),
}


@pytest.mark.parametrize("mode", MODES)
def test_modes_give_the_color_that_is_meant(mode):
    data, color, notes = MODES[mode]
    picture = read("-", stdin=data)
    assert picture.pixels.mode == "RGB"
    assert levels(picture)[0, 0].tolist() == color
    assert picture.source.notes == notes


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "data",
    [
        png(4, 1, 16, 0, sixteen(GRAY16)),
        encoded(Image.fromarray(GRAY16.astype(np.uint16)), "TIFF"),
        encoded(Image.fromarray(GRAY16.astype(np.int32)), "TIFF"),
    ],
    ids=["png", "tiff", "32-bit tiff"],
)
def test_16_bit_gray_is_scaled_and_never_clipped(data, channels):
    picture = read("-", channels=channels, stdin=data)
    assert levels(picture).reshape(4, -1)[:, 0].tolist() == [0, 1, 128, 255]
    assert picture.source.notes == ("16-bit gray brought to 8 bits",)


def test_the_clear_gray_of_a_16_bit_png_becomes_white():
    clear = png_chunk(b"tRNS", struct.pack(">H", 257))
    picture = read("-", channels=1, stdin=png(4, 1, 16, 0, sixteen(GRAY16), clear))
    assert levels(picture)[0].tolist() == [0, 255, 128, 255]


def test_a_gray_network_gets_luminance():
    picture = from_pil(Image.new("RGB", (2, 1), (200, 100, 50)), channels=1)
    assert picture.pixels.mode == "L"
    assert levels(picture)[0, 0] == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    assert picture.channels == 1
    assert picture.source.notes == ("color turned to gray",)


def test_cmyk_jpeg_of_adobe_is_not_inverted(photo):
    picture = read("-", stdin=encoded(photo.convert("CMYK"), "JPEG", quality=95))
    assert np.abs(levels(picture) - np.asarray(photo)).mean() < 3


def test_lab_becomes_the_color_that_it_is():
    data = encoded(Image.new("LAB", (2, 1), (138, 166, 174)), "TIFF")
    assert np.allclose(levels(read("-", stdin=data))[0, 0], [200, 100, 50], atol=2)
    assert np.allclose(levels(read("-", channels=1, stdin=data))[0, 0], 124, atol=2)


@pytest.mark.parametrize("mode", ["RGBa", "La", "PA", "YCbCr", "HSV", "RGBX"])
def test_modes_that_only_live_in_memory(photo, mode):
    gray = mode in ("La", "PA")
    image = photo.convert("LA").convert(mode) if mode == "La" else photo.convert({"RGBa": "RGBA"}.get(mode, mode))
    if mode == "RGBa":
        image = image.convert("RGBa")
    picture = from_pil(image)
    expected = np.asarray(photo.convert("L").convert("RGB") if mode == "La" else photo).astype(int)
    assert np.abs(levels(picture) - expected).mean() < (30 if gray else 4)
    assert picture.source.notes == ()


def test_the_given_image_is_left_alone(photo):
    before = photo.tobytes()
    from_pil(photo, channels=1)
    assert photo.mode == "RGB"
    assert photo.tobytes() == before


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        (np.uint8, 51, 0.2),
        (np.uint16, 13107, 0.2),
        (np.float64, 0.25, 0.25),
        (np.float16, 0.25, 0.25),
        (bool, 1, 1.0),
    ],
)
def test_arrays_of_any_number_of_channels(tmp_path, dtype, value, expected):
    path = tmp_path / "bands.npy"
    path.write_bytes(numpy_file(np.full((5, 4, 6), value, dtype)))
    picture = read(str(path), channels=5)
    assert picture.pixels.dtype == np.float32
    assert picture.pixels.shape == (5, 4, 6)
    assert np.allclose(picture.pixels, expected, atol=1e-7)
    assert (picture.channels, picture.source.width, picture.source.height) == (5, 6, 4)


def test_channels_last_arrays_are_turned_and_it_is_said():
    values = np.random.default_rng(0).random((4, 6, 5))
    picture = from_array(values, channels=5)
    assert np.array_equal(picture.pixels, values.transpose(2, 0, 1).astype(np.float32))
    assert picture.source.notes == ("array read as (row, column, channel)",)
    assert from_array(values[..., 0], channels=1).pixels.shape == (1, 4, 6)


def bomb(side):
    return png(side, side, 8, 0, b"")


WHOLE = encoded(Image.effect_noise((64, 64), 80).convert("RGB"), "JPEG")
NOISE_PNG = encoded(Image.effect_noise((64, 64), 80), "PNG")
BAD = {
    "empty": (b"", r"it is empty \(0 bytes\)\."),
    "text": (
        b"hello world, not a picture",
        r"not a picture \(it starts with b'hello world,'\)\. Expected JPEG, PNG",
    ),
    "cut jpeg": (WHOLE[:900], r"the picture is damaged or cut off \(.*truncated.*\)\. Get a complete copy\."),
    "cut png": (NOISE_PNG[:1500], r"the picture is damaged or cut off \(.*\)\. Get a complete copy\."),
    "cut header": (WHOLE[:11], r"(the picture is damaged or cut off|not a picture) \(.*"),
    "bomb": (
        bomb(10_000),
        r"too large to decode safely \(Image size \(100000000 pixels\) exceeds limit of \d+ pixels\)\. ",
    ),
    "huge bomb": (
        bomb(30_000),
        r"too large to decode safely \(Image size \(900000000 pixels\) exceeds limit .*",
    ),
    "32 bits": (
        encoded(Image.fromarray(np.array([[-5, 70000]], np.int32)), "TIFF"),
        r"its 32-bit pixels lie in \[-5, 70000\], and what is white is not known\. Save it with 8 or 16 bits\.",
    ),
    "floats": (
        encoded(Image.fromarray(np.array([[-1, 2.5]], np.float32)), "TIFF"),
        r"its float pixels lie in \[-1, 2\.5\]; expected \[0, 1\] or \[0, 255\]\.",
    ),
    "nan": (
        encoded(Image.fromarray(np.array([[np.nan, 0]], np.float32)), "TIFF"),
        r"its float pixels lie in \[nan",
    ),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    "npy shape": (
        numpy_file(np.zeros((4, 5, 6))),
        r"the array has shape \(4, 5, 6\); expected \(3, height, width\)\.",
    ),
    "npy empty": (
        numpy_file(np.zeros((3, 0, 6))),
        r"the array has shape \(3, 0, 6\); expected \(3, height, width\)\.",
    ),
    "npy type": (numpy_file(np.zeros((3, 5, 6), np.int64)), "it holds int64; expected floats in"),
    "npy range": (
        numpy_file(np.full((3, 5, 6), 2.0)),
        r"the array's values lie in \[2, 2\]; expected \[0, 1\]\.",
    ),
    "npy nan": (numpy_file(np.full((3, 5, 6), np.nan)), r"the array's values lie in \[nan, nan\]"),
    "npy cut": (numpy_file(np.zeros((3, 5, 6)))[:200], r"the \.npy array is damaged or pickled \("),
    "npy pickle": (
        numpy_file(np.array([{}], object), allow_pickle=True),
        r"the \.npy array is damaged or pickled \(Obj",
    ),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("action", ["error", "default", "ignore"])
def test_a_bad_file_is_one_line_that_names_it(tmp_path, case, action):
    data, pattern = BAD[case]
    path = tmp_path / "holiday.jpg"
    path.write_bytes(data)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter(action)
        with pytest.raises(ImageError, match=rf"^cannot (read|use) '{path}': {pattern}") as error:
            read(str(path))
    assert "\n" not in str(error.value)
    assert not caught


def test_paths_that_give_no_file(tmp_path):
    (tmp_path / "cat.jpg").write_bytes(WHOLE)
    with pytest.raises(ImageError, match=r"cta\.jpg': no such file or folder\. Did you mean 'cat\.jpg'\?$"):
        read(str(tmp_path / "cta.jpg"))
    with pytest.raises(ImageError, match="it is a folder; expected a picture file"):
        read(str(tmp_path))
    with pytest.raises(ImageError, match="file name too long"):
        read("x" * 300)
    with pytest.raises(ImageError, match="not a directory"):
        read(str(tmp_path / "cat.jpg" / "x.jpg"))


def test_a_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "private.png"
    path.write_bytes(NOISE_PNG)
    path.chmod(0)
    was = os.geteuid()
    if was == 0:  # root reads everything: become nobody, who may not even enter the folder
        os.seteuid(65534)
    try:
        with pytest.raises(ImageError, match=r"private\.png': permission denied\.$"):
            read(str(path))
    finally:
        os.seteuid(was)


def test_a_network_with_other_channels_asks_for_an_array():
    with pytest.raises(ImageError, match=r"takes 4 channels and picture files give 1 or 3\. Give an \.npy array of"):
        read("-", channels=4, stdin=NOISE_PNG)


def test_standard_input(monkeypatch):
    class Stream(io.TextIOWrapper):
        def isatty(self):
            return terminal

    terminal = False
    monkeypatch.setattr(sys, "stdin", Stream(io.BytesIO(NOISE_PNG)))
    assert read("-", channels=1).pixels.size == (64, 64)
    with pytest.raises(ImageError, match=r"'-': it is empty"):
        read("-")  # read to its end
    terminal = True
    with pytest.raises(ImageError, match="nothing is piped into standard input"):
        read("-")


def test_what_pillow_warns_about_becomes_a_note():
    # An EXIF block that promises more than it holds.
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12\0\x03\0\0\0\x01\0\x06"
    data = WHOLE[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + WHOLE[2:]
    picture = read("-", stdin=data)
    assert picture.pixels.size == (64, 64)
    assert any(note.startswith("Pillow says: ") for note in picture.source.notes)
