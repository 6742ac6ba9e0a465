"""On what a node fires, small enough to stand beside a graph: a histogram and a few texts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from circuit_sparsity.nodes.firing import Counts
from circuit_sparsity.plots.colours import Palette, shade
from circuit_sparsity.plots.tokens import show_token
from circuit_sparsity.plots.weights import zeros_in_words
from circuit_sparsity.plots.words import signed


@dataclass(frozen=True)
class Firing:
    """A token that a node fires on, and the text around it."""

    before: Sequence[bytes]
    token: bytes
    after: Sequence[bytes]
    value: float


def fires_html(counts: Counts, texts: Sequence[Firing], palette: Palette) -> str:
    """The histogram of a node's activations, then the texts; blue is negative, orange positive."""
    largest = max((abs(text.value) for text in texts), default=1.0)
    rows = "".join(_text(text, largest, palette) for text in texts)
    return (
        f'<div class="circuit-fires" style="font-size:.8rem;color:{palette.text}">'
        f"{_histogram(counts, palette)}{rows}"
        f'<div style="color:{palette.faint}">{escape(zeros_in_words(counts).capitalize())}.</div>'
        "</div>"
    )


def _histogram(counts: Counts, palette: Palette) -> str:
    """A bar for each bin, as high as the logarithm of its count. Boxes: pages drop drawings."""
    if not counts.counts:
        return ""
    low, high = counts.edges[0], counts.edges[-1]
    label = f"Histogram of activations from {low:.2f} to {high:.2f}, counts on a log scale"
    bars = "".join(_bar(counts, i, palette) for i in range(len(counts.counts)))
    return (
        f'<div role="img" aria-label="{label}" style="display:flex;align-items:flex-end;'
        f'height:2.8rem;border-bottom:1px solid {palette.faint}">{bars}</div>'
        f'<div style="display:flex;justify-content:space-between;color:{palette.faint}">'
        f"<span>{low:.2f}</span><span>activation, log counts</span><span>{high:.2f}</span></div>"
    )


def _bar(counts: Counts, at: int, palette: Palette) -> str:
    count, centre = counts.counts[at], (counts.edges[at] + counts.edges[at + 1]) / 2
    if not count:
        return '<span style="flex:1"></span>'
    height = 100 * math.log1p(count) / math.log1p(max(counts.counts))
    colour = palette.positive if centre > 0 else palette.negative
    return (
        f'<span class="bar" title="{centre:.3f}: {count:,} tokens" '
        f'style="flex:1;height:{height:.0f}%;background:{colour}"></span>'
    )


def _text(text: Firing, largest: float, palette: Palette) -> str:
    before, after = (escape("".join(map(show_token, some))) for some in (text.before, text.after))
    ground = shade(palette, text.value, largest)
    ink = palette.background if abs(text.value) > 0.6 * largest else palette.text
    return (
        '<div dir="ltr" style="display:flex;gap:.4rem;align-items:baseline;white-space:pre">'
        '<span style="font-family:monospace;overflow:hidden;text-overflow:ellipsis;flex:1;'
        f'direction:ltr">{before}<b style="background:{ground};color:{ink};padding:0 .15rem">'
        f"{escape(show_token(text.token))}</b>{after}</span><b>{signed(text.value, 2)}</b></div>"
    )
