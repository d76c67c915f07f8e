import pytest
from made_results import explanation as make_explanation

from convscope.results import Explanation


@pytest.fixture
def explanation() -> Explanation:
    return make_explanation()
