import sys
from pathlib import Path

import pytest

# The figures and the page are tested on the same results.
sys.path.append(str(Path(__file__).parents[1] / "plot"))

from made_results import explanation as make_explanation

from convscope.results import Explanation


@pytest.fixture
def explanation() -> Explanation:
    return make_explanation()
