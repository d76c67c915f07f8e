import subprocess
import sys

import pytest

from convscope.errors import ImageError
from convscope.image import SAMPLES, read, sample_path


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_is_in_the_wheel_and_can_be_read(name):
    picture = read(f"sample:{name}")
    assert min(picture.pixels.size) >= 300
    assert picture.source.name == f"sample:{name}"
    assert SAMPLES[name].license
    assert sample_path(name).parent.name == "data"


def test_the_cat_is_the_cat():
    source = read("sample:cat").source
    assert (source.width, source.height) == (451, 300)
    assert source.sha256 == "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb"


def test_an_unknown_sample_lists_what_there_is():
    with pytest.raises(ImageError, match=r"^no sample 'dog'\. *Samples: sample:cat, .*sample:coins\.$"):
        read("sample:dog")


def test_the_package_is_light():
    heavy = "{'matplotlib', 'skimage', 'scipy', 'timm'}"
    code = f"import sys, convscope.image; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
