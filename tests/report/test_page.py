"""The page holds every fact, loads nothing, trusts no name, and shows the colors that the color bar promises."""

import re
from base64 import b64decode
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
import torch
from made_results import attribution, photograph
from made_results import explanation as make_explanation
from PIL import Image

from convscope.plot import backdrop, overlay, shared_scale, verdicts
from convscope.report import html
from convscope.results import Trust

VOID = {"meta", "img", "br", "wbr", "rect"}


class Page(HTMLParser):
    """The page as a browser would see it: elements with attributes, and what can be read."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.said = [], [], []
        self.feed(text)
        self.close()
        assert self.open == [], "elements left open"
        self.text = re.sub(r"\s+", " ", " ".join(self.said))

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.said.append(data)

    def all(self, tag, kind=None):
        return [a for t, a in self.elements if t == tag and (kind is None or kind in (a.get("class") or "").split())]


def decode(uri):
    return Image.open(BytesIO(b64decode(uri.split(",", 1)[1])))


def style(text):
    return re.search(r"<style>\s*(\.convscope.*?)</style>", text, re.DOTALL)[1]


def test_nothing_is_loaded_from_anywhere(explanation):
    text = html(explanation)
    page = Page(text)
    assert not re.search(r"https?:|ftp:|@import|url\(|\bfetch\b|XMLHttpRequest|WebSocket|import\s*\(", text)
    assert {tag for tag, _ in page.elements}.isdisjoint(
        {"link", "iframe", "object", "embed", "form", "base", "audio", "video"}
    )
    for tag, attributes in page.elements:
        assert not {"href", "srcset", "action", "poster", "background", "xlink:href"} & set(attributes), tag
        assert attributes.get("src", "data:image/").startswith("data:image/"), tag
    (policy,) = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "img-src data:" in policy
    assert not [name for _, a in page.elements for name in a if name.startswith("on")]


def test_every_fact_is_there(explanation):
    page = Page(html(explanation))
    for words in (
        "What made tiny_net answer so", "cats/chelsea.png", "mirrored", "Egyptian cat", "62 %", "25 %", "< 0.1 %",
        "The network saw columns 75 to 375 and rows 0 to 300 of 451 × 300 pixels, 67 % of the picture.",
        "rotated by its EXIF tag", "for Egyptian cat (class:3)", "for tiger cat (class:1)",
        "score 9.250", "score 4.500",
        "layer features.2", "at the input", "logits per unit of a [0, 1] pixel", "sum over 3 channels",
        "0.25 s for 2 pictures", "completeness error 0.01230", "completeness error 0.4560", "coverage ReLU 2, missed 0",
        "exact yes", "upsampling aligned", "The baseline is close to this picture.",
        "notes.txt : not a picture: it is text",
        "weights digest 0123456789abcdef", "seed 17", "device cpu, float32, 2 threads",
        "versions convscope 0.1.0, torch 2.15.0", "created 2026-02-03T04:05:06Z", "convscope rerun cats",
        "loaded from torchvision:tiny_net",
    ):  # fmt: skip
        assert words in page.text, words
    for trusts in explanation.trust:
        for trust in trusts:
            for verdict in verdicts(trust):
                assert f"{verdict.words} {verdict.value} {verdict.meaning}" in page.text
    judged = [a["class"] for a in page.all("details") if a.get("class") in ("good", "doubtful")]
    assert Counter(judged) == {
        "good": 9,
        "doubtful": 4,
    }


def test_probability_bars_are_as_long_as_probabilities(explanation):
    widths = [a["style"] for a in Page(html(explanation)).all("span") if "width" in a.get("style", "")]
    assert widths == ["width: 62.50%", "width: 25.00%", "width: 0.04%", "width: 50.00%", "width: 25.00%"]


def test_every_picture_has_an_alternative_text(explanation):
    images = Page(html(explanation)).all("img")
    assert all("alt" in image for image in images)
    # Only the gray picture below a map says nothing: the map above it says it.
    assert sum(image["alt"] == "" for image in images) == 6
    assert images[1]["alt"] == ""
    assert (
        images[2]["alt"] == "The map of gradient for Egyptian cat (class:3), over the gray picture of cats/chelsea.png"
    )


def test_a_bare_map_has_the_exact_colors_of_its_values(explanation):
    bare = [decode(image["src"]) for image in Page(html(explanation)).all("img", "map")]
    wanted = [(a, index) for index in range(2) for a in explanation.attributions]
    for image, (made, index) in zip(bare, wanted, strict=True):
        assert image.mode == "P"
        colors = np.asarray(image.convert("RGB")) / 255
        np.testing.assert_allclose(colors, shared_scale(made).rgb(made.maps[index].numpy()), atol=0.5001 / 255)


def test_the_color_bar_has_the_colors_from_low_to_high(explanation):
    bars = [decode(image["src"]) for image in Page(html(explanation)).all("img", "bar")]
    for bar, made in zip(bars[:3], explanation.attributions, strict=True):
        scale = shared_scale(made)
        values = np.linspace(scale.low, scale.limit, bar.width, dtype=np.float32)
        colors = np.asarray(bar.convert("RGB"))[0] / 255
        assert np.abs(colors - scale.rgb(values)).max() < 0.03
        np.testing.assert_allclose(colors[[0, -1]], scale.rgb(values[[0, -1]]), atol=0.5001 / 255)


def test_the_layers_blend_to_the_overlay(explanation):
    page = Page(html(explanation))
    over = decode(page.all("img", "over")[1]["src"]).convert("RGBA")
    made = explanation.attributions[1]
    colors, alpha = np.split(np.asarray(over) / 255, [3], axis=2)
    below = backdrop(explanation.images[0])[..., None]
    wanted = overlay(explanation.images[0], made.maps[0].numpy(), shared_scale(made))
    np.testing.assert_allclose(below * (1 - alpha) + colors * alpha, wanted, atol=2.5 / 255)
    gray = next(decode(i["src"]) for i in page.all("img") if i["alt"] == "")
    assert np.abs(np.asarray(gray) / 255 - below[..., 0]).mean() < 0.01


def test_one_raw_value_has_one_color_in_all_rows():
    images = photograph(2, 2).repeat(2, 1, 1, 1)
    values = torch.tensor([[0.0, 0.25, 0.5, 1.0], [0.5, 0.25, 4.0, 0.0]]).view(2, 1, 2, 2)
    made = attribution(images, values)
    two = replace(make_explanation(2, 2), images=images, attributions=(made,), trust=((Trust(None, 0.0, None),) * 2,))
    first, second = (np.asarray(decode(i["src"]).convert("RGB")) for i in Page(html(two)).all("img", "map"))
    assert (first[1, 0] == second[0, 0]).all()
    assert (first[0, 1] == second[0, 1]).all()
    assert (first[0, 0] == second[1, 1]).all()
    assert (first[1, 1] != second[1, 0]).any()


def test_blank_maps_say_so_and_stay_blank(explanation):
    first, *others = explanation.attributions
    blank = replace(explanation, attributions=(replace(first, values=0 * first.values), *others))
    page = Page(html(blank))
    assert page.text.count("blank: all zero") == 2
    assert len(decode(page.all("img", "map")[0]["src"]).convert("RGB").getcolors()) == 1
    assert len(decode(page.all("img", "bar")[0]["src"]).convert("RGB").getcolors()) == 1
    assert Page(html(explanation)).text.count("blank: all zero") == 0


EVIL = "\"'><img src=x onerror=alert(1)><script>alert(2)</script></style>{{ 7*7 }}&amp;"


def test_names_cannot_become_markup(explanation):
    answers = tuple(tuple(replace(a, name=EVIL) for a in row) for row in explanation.answers)
    evil = replace(
        explanation,
        sources=tuple(replace(s, name=EVIL, notes=(EVIL,)) for s in explanation.sources),
        answers=answers,
        attributions=tuple(
            replace(a, layers=(EVIL,), facts={EVIL: EVIL, "unit": EVIL}, provenance=replace(a.provenance, method=EVIL))
            for a in explanation.attributions
        ),
        trust=tuple(tuple(replace(t, notes=(EVIL,)) for t in row) for row in explanation.trust),
        failures=((EVIL, EVIL),),
        provenance=replace(explanation.provenance, model=EVIL, origin=EVIL, options={EVIL: EVIL, "command": EVIL}),
    )
    page = Page(html(evil))
    plain = Page(html(replace(explanation, sources=tuple(replace(s, notes=("x",)) for s in explanation.sources))))
    for tag in ("img", "script", "style"):
        assert len(page.all(tag)) == len(plain.all(tag))
    assert all(image["src"].startswith("data:image/") for image in page.all("img"))
    assert page.text.count("alert(2)</script></style>{{ 7*7 }}&amp;") > 20
    assert not [name for _, a in page.elements for name in a if name.startswith("on")]


def test_a_file_name_that_is_not_unicode_can_be_written(explanation):
    odd = replace(explanation, sources=(replace(explanation.sources[0], name="caf\udce9.jpg"), explanation.sources[1]))
    assert "caf?.jpg" in html(odd)
    html(odd).encode("utf-8")


def test_a_fragment_is_only_a_part_of_a_page(explanation):
    text = html(explanation, fragment=True)
    page = Page(text)
    assert {tag for tag, _ in page.elements}.isdisjoint({"html", "head", "body", "title", "meta"})
    assert page.elements[0] == ("main", {"class": "convscope"})
    assert explanation._repr_html_() == text
    # Two on one page do not get in each other's way, nor in the way of the page.
    assert not [a for _, a in page.elements if "id" in a]
    rules = re.sub(r"@media[^{]*\{", "", style(text))
    selectors = [s.strip() for block in re.findall(r"([^{}]+)\{[^{}]*\}", rules) for s in block.split(",")]
    assert len(selectors) > 40
    assert all(s.startswith(".convscope") for s in selectors)


def luminance(color):
    digits = color.lstrip("#")
    digits = "".join(2 * d for d in digits) if len(digits) == 3 else digits
    light = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    light = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in light]
    return 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_has_the_contrast_that_wcag_asks_for(explanation, scheme):
    blocks = [b for b in re.findall(r"\.convscope \{([^}]*)\}", style(html(explanation))) if "--paper" in b]
    assert len(blocks) == 2
    color = dict(re.findall(r"--(\w+): (#\w+);", blocks[scheme]))
    for ground in ("paper", "card"):
        for ink in ("ink", "faint", "accent", "good", "doubtful"):
            a, b = sorted((luminance(color[ground]), luminance(color[ink])))
            assert (b + 0.05) / (a + 0.05) >= 4.5, (ground, ink)


def test_large_inputs_stay_small_on_the_page():
    large = make_explanation(600, 900)
    text = html(large)
    page = Page(text)
    assert decode(page.all("img", "map")[0]["src"]).size == (400, 267)
    assert "drawn at 400 × 267 of 900 × 600 pixels" in page.text
    assert len(text) / (len(large.images) * len(large.attributions)) < 400_000


def test_averaging_down_keeps_the_values(explanation):
    images = photograph(800, 800)
    values = torch.zeros(1, 1, 800, 800)
    values[..., :400] = 1.0
    made = replace(
        explanation,
        images=images,
        sources=explanation.sources[:1],
        answers=explanation.answers[:1],
        attributions=(attribution(images, values),),
        trust=((Trust(None, 0.0, None),),),
    )
    shown = np.asarray(decode(Page(html(made)).all("img", "map")[0]["src"]).convert("RGB"))
    np.testing.assert_array_equal(np.unique(shown[:, :199].reshape(-1, 3), axis=0), shown[:1, 0])
    np.testing.assert_array_equal(np.unique(shown[:, 201:].reshape(-1, 3), axis=0), shown[:1, -1])


@pytest.mark.parametrize("channels", [1, 5])
def test_any_number_of_channels(channels):
    assert ("shown: the mean of 5 channels" in html(make_explanation(12, 20, channels))) == (channels == 5)


def test_without_methods_or_images(explanation):
    bare = replace(explanation, attributions=(), trust=())
    assert len(Page(html(bare)).all("img")) == 2
    nothing = replace(bare, images=bare.images[:0], sources=(), answers=())
    assert "notes.txt : not a picture" in Page(html(nothing)).text
