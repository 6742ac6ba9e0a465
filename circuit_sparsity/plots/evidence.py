"""Evidence as tables of escaped HTML: each number with its unit, baseline, controls, definition."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from types import MappingProxyType

from circuit_sparsity.evidence.definitions import DEFINITIONS, Definition
from circuit_sparsity.evidence.evidence import Control, Evidence
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


_STYLE = """<style>
.evidence {{overflow-x: auto}}
.evidence table {{border-collapse: collapse; width: 100%; min-width: 46rem; font-size: .9rem}}
.evidence th {{text-align: left; font-weight: 600; color: {faint}}}
.evidence th, .evidence td {{padding: .35rem .7rem .35rem 0; vertical-align: top;
  border-bottom: 1px solid {band}}}
.evidence td.number {{font-variant-numeric: tabular-nums; font-weight: 600; white-space: nowrap}}
@media (max-width: 640px) {{
  .evidence table {{min-width: 0}}
  .evidence tr:has(th) {{display: none}}
  .evidence tr {{display: block; padding: .4rem 0; border-bottom: 1px solid {band}}}
  .evidence td {{display: block; border: none; padding: .05rem 0}}
}}
.evidence abbr {{text-decoration: underline dotted; cursor: help}}
.evidence .trouble {{color: {trouble}; font-weight: 600}}
.evidence .faint {{color: {faint}}}
</style>"""
_TROUBLE: Mapping[str, str] = MappingProxyType({"#ffffff": "#b3122a", "#0e1117": "#ff8a94"})
_CONTROLLED = ("sufficiency", "necessity")


def measures_table(evidence: Evidence, palette: Palette) -> str:
    """One row a measure, in the order of their definitions; what is not measured says so."""
    rows = [_row(one, evidence) for one in DEFINITIONS.values() if one.key != "controls"]
    return _table(("measure", "value", "unit", "compare with", "controls"), rows, palette)


def controls_table(evidence: Evidence, palette: Palette) -> str:
    """One row a control, beside the circuit on the same prompts."""
    head = ("control", "its loss", "the circuit's", "without it", "without the circuit", "prompts")
    return _table(head, [_control_row(one) for one in evidence.controls], palette)


def _row(one: Definition, evidence: Evidence) -> list[str]:
    what = f'<abbr title="{escape(one.sentence)}" tabindex="0">{escape(one.name)}</abbr>'
    value = _VALUES.get(one.key, _plain_value(one.key))(evidence)
    unit, anchor = escape(one.unit), escape(one.anchor)
    if one.key in ("sufficiency", "necessity", "faithfulness", "completeness"):
        anchor += (
            f'<br><span class="faint">model {evidence.model_loss:.4f}, '
            f"empty circuit {evidence.empty_loss:.4f} nats</span>"
        )
    controls = _beside(one.key, evidence) if one.key in _CONTROLLED else ""
    return [f"<td>{what}</td>", f'<td class="number">{value}</td>'] + [
        f"<td>{cell}</td>" for cell in (unit, anchor, controls)
    ]


def _plain_value(key: str) -> Callable[[Evidence], str]:
    def told(evidence: Evidence) -> str:
        value = getattr(evidence, key)
        if value is not None:
            return f"{value:.4f}"
        if key.startswith(("cpr", "cmd")) and not evidence.curve:
            return '<span class="faint">not measured</span>'
        return '<span class="faint">undefined</span>'

    return told


def _minimality(evidence: Evidence) -> str:
    spare = sum(rise <= 0 for rise in evidence.minimality.values())
    return f"{spare} of {len(evidence.minimality)} nodes at 0 or less"


def _stability(evidence: Evidence) -> str:
    found = evidence.stability
    if found is None:
        return '<span class="faint">not measured</span>'
    sizes = ", ".join(f"{n:,}" for n in found.nodes)
    return f"{found.overlap:.2f}<br>seeds {_listed(found.seeds)}: {sizes} nodes"


def _edges_needed(evidence: Evidence) -> str:
    if evidence.edges_needed is None or evidence.loss_of_needed is None:
        return '<span class="faint">not looked for</span>'
    return (
        f"{evidence.edges_needed:,} of {evidence.edges:,}<br>with these alone: "
        f"{evidence.loss_of_needed:.4f} nats"
    )


def _share_of(whole: str, key: str) -> Callable[[Evidence], str]:
    def told(evidence: Evidence) -> str:
        return f"{getattr(evidence, key):.4f}<br>{evidence.nodes:,} of {getattr(evidence, whole):,}"

    return told


_VALUES: Mapping[str, Callable[[Evidence], str]] = MappingProxyType(
    {
        "minimality": _minimality,
        "stability": _stability,
        "edges_needed": _edges_needed,
        "relative_sparsity": _share_of("learnable_nodes", "relative_sparsity"),
        "full_sparsity": _share_of("model_nodes", "full_sparsity"),
    }
)


def _beside(key: str, evidence: Evidence) -> str:
    """The controls' mean of that measure, red where a control looks as good as the circuit."""
    cells = []
    for control in evidence.controls:
        value = control.loss if key == "sufficiency" else control.necessity
        if value is not None:
            is_as_good = key in _troubled(control)
            cells.append(_red(f"{escape(control.name)} {value:.4f}", is_as_good))
    return "<br>".join(cells) or '<span class="faint">none run</span>'


def _control_row(one: Control) -> list[str]:
    troubled = _troubled(one)
    name = f"<td>{_red(escape(one.name), one.trouble is not None)}</td>"
    alone = _red(_spread(one.losses), "sufficiency" in troubled)
    without = _red(_spread(one.necessities), "necessity" in troubled)
    real = "" if one.circuit_necessity is None else f"{one.circuit_necessity:.4f}"
    numbers = (alone, f"{one.circuit_loss:.4f}", without, real)
    cells = [f'<td class="number">{number}</td>' for number in numbers]
    return [name, *cells, f"<td>{escape(one.prompts)}</td>"]


def _troubled(control: Control) -> tuple[str, ...]:
    """The measures in which a control is as good as the circuit."""
    found = []
    if min(control.losses) <= control.circuit_loss:
        found.append("sufficiency")
    real = control.circuit_necessity
    if real is not None and control.necessities and max(control.necessities) >= real:
        found.append("necessity")
    return tuple(found)


def _spread(values: Sequence[float]) -> str:
    """
    >>> _spread([0.5]), _spread([0.25, 0.75]), _spread([])
    ('0.5000', '0.5000 (0.2500 to 0.7500, 2 draws)', '')
    """
    if not values:
        return ""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return f"{mean:.4f}"
    return f"{mean:.4f} ({min(values):.4f} to {max(values):.4f}, {len(values)} draws)"


def _red(text: str, is_trouble: bool) -> str:
    return f'<span class="trouble">{text}</span>' if is_trouble else text


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], palette: Palette) -> str:
    style = _STYLE.format(
        faint=palette.faint,
        band=palette.residual + "55",
        trouble=_TROUBLE.get(palette.background, "#b3122a"),
    )
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f'{style}<div class="evidence"><table><tr>{cells}</tr>{body}</table></div>'
