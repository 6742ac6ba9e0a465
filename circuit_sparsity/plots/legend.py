"""What the marks of the circuit's graph mean, as a strip of HTML that wraps on narrow screens."""

from html import escape

from circuit_sparsity.plots.colours import Palette

_MARKS = (
    ("▲", "reads the residual stream"),
    ("◆", "query, key or value channel"),
    ("●", "MLP neuron"),
    ("■", "writes to the residual stream"),
    ("★", "final residual channel"),
)


def legend_html(palette: Palette, weakest: float, strongest: float) -> str:
    """Lines and marks with their meanings; ``weakest`` and ``strongest`` bound the weights shown.

    Both are 0 when the circuit has no edges.
    """
    items = [
        _line(f"3px solid {palette.positive}", "positive weight"),
        _line(f"3px dashed {palette.negative}", "negative weight"),
        *([_item("", _scale(weakest, strongest))] if strongest else []),
        _line(f"2px dotted {palette.residual}", "same residual channel"),
        _line(f"2px dashed {palette.attention}", "same attention head"),
        *(_mark(sign, palette.node, meaning) for sign, meaning in _MARKS),
        _mark("●", palette.ablated, "ablated now", size="1.4em"),
    ]
    return (
        '<div style="display:flex;flex-wrap:wrap;gap:.15rem 1.1rem;font-size:.82rem;'
        f'color:{palette.faint}">{"".join(items)}</div>'
    )


def _scale(weakest: float, strongest: float) -> str:
    return f"thicker is stronger, |weight| {weakest:.2g} to {strongest:.2g}"


def _line(style: str, meaning: str) -> str:
    sample = f'<span style="display:inline-block;width:1.8rem;border-top:{style}"></span>'
    return _item(sample, meaning)


def _mark(sign: str, colour: str, meaning: str, size: str = "1em") -> str:
    return _item(
        f'<span style="color:{colour};font-size:{size};line-height:1">{sign}</span>', meaning
    )


def _item(sample: str, meaning: str) -> str:
    return (
        '<span style="display:inline-flex;align-items:center;gap:.4rem;white-space:nowrap">'
        f"{sample}{escape(meaning)}</span>"
    )
