"""A node's activations beside the graph: one bar a bin that is not empty, and texts as text."""

from circuit_sparsity.nodes.firing import Counts
from circuit_sparsity.plots.colours import DARK, LIGHT
from circuit_sparsity.plots.fires import Firing, fires_html


def test_bars_are_the_bins_that_hold_something_and_blue_is_negative():
    counts = Counts((-2.0, -1.0, 0.0, 1.0), (4, 0, 9), zeros=7, total=20)
    for palette in (LIGHT, DARK):
        drawn = fires_html(counts, (), palette)
        assert drawn.count('class="bar"') == 2
        assert drawn.index(palette.negative) < drawn.index(palette.positive)
        assert "-1.500: 4 tokens" in drawn
        assert "Exactly zero on 7 of 20 tokens (35.0%)" in drawn


def test_prompts_are_shown_as_text_whatever_they_hold():
    text = Firing([b"<i>", b" x"], b"<b>", [b"</b>"], -1.25)
    drawn = fires_html(Counts((), (), 0, 4), [text], LIGHT)
    assert "&lt;i&gt;" in drawn
    assert "&lt;b&gt;</b>&lt;/b&gt;" in drawn
    assert "\N{MINUS SIGN}1.25" in drawn
