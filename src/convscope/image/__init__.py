"""Pictures: find, read, resize, blur and write them. Positions are (row, column), values in [0, 1]."""

from convscope.image.blur import gaussian_blur
from convscope.image.edges import edges, luminance
from convscope.image.find import find
from convscope.image.frames import read_frames
from convscope.image.labels import labels_from_csv, labels_from_folders
from convscope.image.picture import Picture, from_array, from_pil
from convscope.image.place import place
from convscope.image.read import read
from convscope.image.resize import Fit, Interpolation, to_input
from convscope.image.samples import SAMPLES, Sample, sample_path
from convscope.image.write import encode_png, write_bytes, write_png

__all__ = [
    "SAMPLES",
    "Fit",
    "Interpolation",
    "Picture",
    "Sample",
    "edges",
    "encode_png",
    "find",
    "from_array",
    "from_pil",
    "gaussian_blur",
    "labels_from_csv",
    "labels_from_folders",
    "luminance",
    "place",
    "read",
    "read_frames",
    "sample_path",
    "to_input",
    "write_bytes",
    "write_png",
]
