"""Faithfulness as a bar from the empty circuit to the whole model. Escaped HTML."""

from circuit_sparsity.plots.colours import Palette

_LOW, _HIGH = -0.5, 1.5  # ends of the bar; what lies beyond stands at the end, with its number


def meter_html(palette: Palette, now: float, of_circuit: float) -> str:
    """A bar with marks at 0 and 1, filled from 0 to ``now``, and a tick at ``of_circuit``.

    The number stands beside it, so that nothing rests on the picture.
    """
    zero, one, here, tick = (_place(value) for value in (0.0, 1.0, now, of_circuit))
    colour = palette.positive if now < 0 else palette.negative
    left, width = min(zero, here), abs(here - zero)
    marks = "".join(_line(place, palette.faint, "1px") for place in (zero, one))
    return (
        '<div role="meter" aria-label="faithfulness" aria-valuemin="0" aria-valuemax="1" '
        f'aria-valuenow="{now:.4f}" style="display:flex;align-items:center;gap:.6rem;'
        f'font-size:.9rem;color:{palette.text}">'
        f'<div style="position:relative;flex:1;height:.9rem;background:{palette.band};'
        f'border:1px solid {palette.faint};border-radius:3px;overflow:hidden">'
        f'<div style="position:absolute;top:0;bottom:0;left:{left:.1f}%;width:{width:.1f}%;'
        f'background:{colour}"></div>{marks}{_line(tick, palette.text, "3px")}</div>'
        f'<b>{now:.3f}</b><span style="color:{palette.faint}">circuit {of_circuit:.3f}</span></div>'
    )


def _place(value: float) -> float:
    return 100 * (min(max(value, _LOW), _HIGH) - _LOW) / (_HIGH - _LOW)


def _line(place: float, colour: str, width: str) -> str:
    return (
        f'<div style="position:absolute;top:0;bottom:0;left:{place:.1f}%;width:{width};'
        f'background:{colour}"></div>'
    )
