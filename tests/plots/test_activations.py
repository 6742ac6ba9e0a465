"""Strips of activations: hostile text stays text, signs and scale can be read without colour."""

import re
from html.parser import HTMLParser

import pytest

from circuit_sparsity.plots.activations import activation_strip, scale_legend
from circuit_sparsity.plots.colours import DARK, LIGHT, contrast, shade

HOSTILE = [
    b"<script>alert(1)</script>",
    b'" onmouseover="x',
    b"'&amp;",
    b"\x00\x1b[31m",
    b"\xe2\x80\xae",
]


class Reader(HTMLParser):
    """The tags, attributes and text of a strip as a browser sees them."""

    def __init__(self, strip: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.names: set[str] = set()
        self.titles: list[str] = []
        self.texts: list[str] = []
        self.feed(strip)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.names |= {name for name, _ in attrs}
        self.titles += [value for name, value in attrs if name == "title"]

    def handle_data(self, data):
        self.texts.append(data)


def test_hostile_tokens_are_text_and_control_characters_are_escapes():
    read = Reader(activation_strip(HOSTILE, [1.0, -1.0, 0.0, 0.5, 0.5], LIGHT, 1.0))
    assert set(read.tags) == {"div", "span"}
    assert read.names == {"style", "title"}
    assert read.texts == [
        "<script>alert(1)</script>",
        '"·onmouseover="x',
        "'&amp;",
        "\\x00\\x1b[31m",
        "\\u202e",
    ]


def test_each_box_says_its_token_and_its_value_with_sign():
    read = Reader(activation_strip([b"a", b"b", b"c"], [0.25, -1.5, 0.0], LIGHT, 1.5))
    assert read.titles == ["token 1: +0.2500", "token 2: \N{MINUS SIGN}1.5000", "token 3: 0.0000"]


def test_sign_is_also_in_the_underline():
    boxes = activation_strip([b"a", b"b", b"c"], [1.0, -1.0, 0.0], DARK, 1.0).split("<span")[1:]
    assert [re.search(r"border-bottom:(none|2px \w+)", box)[1] for box in boxes] == [
        "2px solid",
        "2px dashed",
        "none",
    ]


def test_parts_of_one_character_share_a_box_coloured_by_the_strongest():
    strip = activation_strip([b"\xe2\x82", b"\xac", b"x"], [0.1, -0.9, 0.0], LIGHT, 1.0)
    read = Reader(strip)
    assert read.texts == ["€", "x"]
    assert read.titles[0] == "tokens 1 to 2: +0.1000, \N{MINUS SIGN}0.9000"
    assert shade(LIGHT, -0.9, 1.0) in strip


def test_the_marked_token_alone_has_a_frame():
    boxes = activation_strip([b"a", b"b"], [0.0, 0.0], LIGHT, 1.0, marked=1).split("<span")[1:]
    assert ["outline" in box for box in boxes] == [False, True]


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_text_on_every_shade_has_the_contrast_of_wcag_aa(palette):
    for step in range(-20, 21):
        strip = activation_strip([b"x"], [step / 20], palette, 1.0)
        fill = re.search(r"background:(#\w+)", strip)[1]
        ink = re.search(r";color:(#\w+)", strip)[1]
        assert contrast(ink, fill) >= 4.5, (step, fill, ink)


def test_a_scale_of_zero_is_the_middle_colour_and_no_error():
    assert LIGHT.scale[2] in activation_strip([b"x"], [0.0], LIGHT, 0.0)


def test_the_legend_names_both_ends():
    assert "\N{MINUS SIGN}2.500" in scale_legend(LIGHT, 2.5)
    assert "+2.500" in scale_legend(LIGHT, 2.5)


def test_a_missing_activation_is_an_error_with_both_counts():
    with pytest.raises(ValueError, match="2 tokens and 1 activations"):
        activation_strip([b"a", b"b"], [1.0], LIGHT, 1.0)
