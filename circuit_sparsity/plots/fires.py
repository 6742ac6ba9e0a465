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

_WIDTH, _HEIGHT = 240, 44  # of the histogram, in its own units


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
    """A bar for each bin that is not empty, as high as the logarithm of its count."""
    if not counts.counts:
        return ""
    most, wide = max(counts.counts), _WIDTH / len(counts.counts)
    low, high = counts.edges[0], counts.edges[-1]
    bars = []
    for i, count in enumerate(counts.counts):
        if count:
            height = _HEIGHT * math.log1p(count) / math.log1p(most)
            centre = (counts.edges[i] + counts.edges[i + 1]) / 2
            colour = palette.positive if centre > 0 else palette.negative
            bars.append(
                f'<rect x="{i * wide:.1f}" y="{_HEIGHT - height:.1f}" width="{wide:.1f}" '
                f'height="{height:.1f}" fill="{colour}"><title>{centre:.3f}: {count:,} tokens'
                "</title></rect>"
            )
    label = f"Histogram of activations from {low:.2f} to {high:.2f}, counts on a log scale"
    return (
        f'<svg role="img" aria-label="{label}" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'preserveAspectRatio="none" style="width:100%;height:2.8rem;display:block">'
        f"{''.join(bars)}</svg>"
        f'<div style="display:flex;justify-content:space-between;color:{palette.faint}">'
        f"<span>{low:.2f}</span><span>activation, log counts</span><span>{high:.2f}</span></div>"
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
