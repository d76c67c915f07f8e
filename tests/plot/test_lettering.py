"""Text stays within its width and can always be drawn."""

import pytest

from convscope.plot.lettering import ellipsize, printable, width, wrap

SPELLING = "smooth_grad(integrated_gradients(steps=50,baseline='black'),samples=50,sigma=0.15)"


@pytest.mark.parametrize("limit", [0.4, 1.0, 1.75, 4.0])
@pytest.mark.parametrize("text", [SPELLING, "a short one", "x" * 200, "words and words " * 9])
def test_lines_fit(text, limit):
    lines = wrap(text, limit, 8.0, lines=3)
    assert 1 <= len(lines) <= 3
    assert all(width(line, 8.0) <= limit for line in lines)


def test_wrapping_loses_nothing_while_there_are_lines():
    assert "".join(wrap(SPELLING, 1.75, 8.0, lines=9)) == SPELLING
    assert " ".join(wrap("one two three four five six", 0.5, 8.0, lines=9)) == "one two three four five six"


def test_what_is_cut_says_so():
    assert wrap("one two three four five six", 0.5, 8.0, lines=2)[-1].endswith("…")
    assert ellipsize("short", 2.0, 8.0) == "short"
    cut = ellipsize("Old English sheepdog, bobtail", 1.0, 8.0)
    assert cut.endswith("…")
    assert cut.startswith("Old Engl")
    assert width(cut + "mm", 8.0) > 1.0


def test_what_no_font_has_is_replaced():
    assert printable("a\nb\tc") == "a b c"
    assert printable("bell\x07 \udcff") == "bell� �"
    assert printable("naïve Ω $x$") == "naïve Ω $x$"
