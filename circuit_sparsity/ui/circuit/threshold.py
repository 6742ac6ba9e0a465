"""How strong a weight must be to be drawn, and how many are."""

from collections.abc import Sequence

import streamlit as st

from circuit_sparsity.circuits.wiring import Wiring
from circuit_sparsity.ui.circuit.blocks import BlockSight
from circuit_sparsity.ui.shell import cached
from circuit_sparsity.ui.shell.address import bound
from circuit_sparsity.ui.shell.cached import Sight

WEIGHT = "weight"  # the widget's key and the address's parameter
_STOPS = 24


def chosen(shown: Sight) -> tuple[Sight, str]:
    """``shown`` with the edges that the slider lets through, and how many in words; places stay."""
    strengths = sorted(abs(edge.weight) for edge in shown.wiring.edges)
    stops = stops_of(strengths)
    if len(stops) < 2:
        return shown, f"showing all {len(strengths):,} edges"
    asked = st.session_state.get(WEIGHT, st.query_params.get(WEIGHT))
    if asked is not None and asked not in stops:
        st.session_state[WEIGHT] = _nearest(asked, stops)
    least = st.select_slider(
        "Weights from",
        stops,
        **bound(WEIGHT, stops[0]),
        width=165,
        help="Weaker edges are left out of the picture; they run all the same.",
    )
    count = sum(strength >= float(least) for strength in strengths)
    words = f"showing {count:,} of {len(strengths):,} edges, |w| ≥ {least}"
    return (shown if least == stops[0] else _part(shown, cached.identity(shown), least)), words


def stops_of(strengths: Sequence[float]) -> list[str]:
    """Stops between which about as many edges lie; the first draws all. ``strengths`` rise.

    >>> stops_of([0.1, 0.25, 0.5, 1.0])
    ['0', '0.1', '0.25', '0.5', '1']
    """
    if not strengths:
        return []
    places = {round(i * (len(strengths) - 1) / _STOPS) for i in range(_STOPS + 1)}
    values = (_rounded_down(strengths[place]) for place in sorted(places))
    return ["0", *dict.fromkeys(value for value in values if float(value) > 0)]


def _rounded_down(value: float) -> str:
    """Three digits, not above the value: the edge at a stop is drawn."""
    text = f"{value:.3g}"
    return text if float(text) <= value else f"{float(text) - 10 ** _last_digit(value):.3g}"


def _last_digit(value: float) -> int:
    """The power of ten of the third digit.

    >>> _last_digit(0.0457), _last_digit(1.3)
    (-4, -2)
    """
    return int(f"{value:.2e}".split("e")[1]) - 2


def _nearest(asked: str, stops: Sequence[str]) -> str:
    try:
        wanted = float(asked)
    except ValueError:
        return stops[0]
    return min(stops, key=lambda stop: abs(float(stop) - wanted))


@st.cache_resource(max_entries=64, show_spinner=False)
def _part(_shown: Sight, identity: int, least: str) -> BlockSight:
    wiring = _shown.wiring
    strong = tuple(edge for edge in wiring.edges if abs(edge.weight) >= float(least))
    part = Wiring(wiring.nodes, strong, wiring.residual, wiring.attention)
    return BlockSight(_shown.circuit, _shown.config, part, _shown.layout)
