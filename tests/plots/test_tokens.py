"""Tokens on the screen: nothing hidden, nothing that the browser would take for markup."""

import unicodedata
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from circuit_sparsity.plots.colours import LIGHT
from circuit_sparsity.plots.tokens import join_partial, show_token, token_strip, visible


class Text(HTMLParser):
    """Tags and text that a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def read(markup):
    parser = Text()
    parser.feed(markup)
    parser.close()
    return parser


@given(st.text())
def test_nothing_invisible_is_left(text):
    shown = visible(text)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Zs")]


def test_whitespace_has_signs_and_control_characters_are_escapes():
    assert visible(" \n\t") == "·↵⇥"
    assert visible("\u202e\u200b\x07\xa0") == "\\u202e\\u200b\\x07\\xa0"


@given(st.lists(st.binary(max_size=6), max_size=20))
def test_joining_loses_no_byte(tokens):
    joined = join_partial(tokens)
    assert b"".join(data for _, data in joined) == b"".join(tokens)


@given(st.text(min_size=1, max_size=20))
def test_characters_cut_into_bytes_come_back_whole(text):
    tokens = [bytes([b]) for b in text.encode("utf-8", errors="surrogatepass")]
    joined = b"".join(data for _, data in join_partial(tokens))
    assert joined.decode("utf-8", errors="surrogatepass") == text


def test_the_pieces_of_one_character_are_one_box():
    euro = "€".encode()
    assert join_partial([euro[:1], euro[1:2], euro[2:], b"x"]) == [(0, euro), (3, b"x")]


def test_a_part_of_a_character_alone_is_shown_as_bytes():
    assert show_token("€".encode()[:2]) == "\\xe2\\x82"


def test_markup_in_a_token_is_text():
    markup = token_strip([b"<script>alert(1)</script>", b'"><img src=x>'], LIGHT)
    parsed = read(markup)
    assert set(parsed.tags) == {"div", "span"}
    assert parsed.text == '<script>alert(1)</script>"><img·src=x>'


@given(st.lists(st.binary(max_size=8), max_size=12))
def test_a_strip_holds_no_tags_but_its_own(tokens):
    assert set(read(token_strip(tokens, LIGHT)).tags) <= {"div", "span"}


def test_tokens_that_are_cut_away_are_struck_out():
    markup = token_strip([b"a", b"b", b"c"], LIGHT, dropped=2)
    assert markup.count("line-through") == 2
