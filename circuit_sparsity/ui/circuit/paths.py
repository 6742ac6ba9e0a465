"""Paths from a token to the answer: which token, the strongest found, as chips and in the graph."""

from dataclasses import dataclass

import streamlit as st

from circuit_sparsity.circuits.edges import Edge
from circuit_sparsity.circuits.paths import Path, logit_slopes, reads_of_token, strongest_paths
from circuit_sparsity.plots.activations import activation_strip
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.paths import chips, path_html
from circuit_sparsity.plots.tokens import show_token
from circuit_sparsity.ui.shell import cached
from circuit_sparsity.ui.shell.address import bound
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.costs import MOST_PARTS, costs_of_edges
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.shared import shared

ON, _PAIR, _CLASS, _TOKEN, _WHICH = "paths", "path_pair", "path_class", "path_token", "path"
_MOST = 5
_HELP = (
    "A path is as strong as its weakest edge: the least that the loss moves, up or down, when one "
    "of its edges alone is held at its source's mean, in nats per sequence on the circuit's "
    "prompts. Links through the residual stream and attention have no weight and weaken nothing. "
    "It begins at a read of a channel that the token's embedding writes, and ends at a final "
    "channel that tells the two answers apart; from a token before the last one it passes a key or "
    "a value, since nothing else leads from one position to another."
)


@dataclass(frozen=True)
class Start:
    """The token that paths begin at: of a pair's first or second prompt, counted from 0."""

    row: int
    place: int
    last: bool
    token: int


def points_out(view: LiveView) -> list[list[str]]:
    """The nodes of the paths that the graph shows, path by path; nothing unless asked."""
    if not _asked(ON, False) or len(view.wiring.edges) > MOST_PARTS:
        return []
    found, which = _found(view, cached.identity(view), _start(view)), _asked(_WHICH, 0)
    shown = found[which - 1 : which] if which else found
    return [[str(node) for node in path.nodes] for path in shown]


def section(view: LiveView) -> None:
    """The switch, the token, and the paths as rows of chips."""
    if not st.toggle("Paths from a token to the answer", **bound(ON, False), help=_HELP):
        return
    if len(view.wiring.edges) > MOST_PARTS:
        st.info(
            f"Paths need the cost of each edge, which is measured for up to {MOST_PARTS:,} edges; "
            f"this circuit has {len(view.wiring.edges):,}. Choose a smaller k.",
            icon=":material/info:",
        )
        return
    start = _fields(view)
    found = _found(view, cached.identity(view), start)
    token = show_token(cached.tokenizer(view.choice.model).token_bytes(start.token))
    if not found:
        st.info(
            f"No path leads from “{plain(token)}” to the answer: no kept read takes a channel "
            "that its embedding writes, or nothing carries it on. Try another token.",
            icon=":material/info:",
        )
        return
    slopes = logit_slopes(view.wiring, view.experiment.model, *_answers(view, start))
    colours = palette(st.context.theme.type)
    for number, path in enumerate(found, start=1):
        stops = chips(path, view.config, token, slopes[path.nodes[-1]])
        st.html(path_html(number, path.strength, stops, colours))
    st.caption(
        "Over each arrow: the weight, or how the two are linked. Hover over a chip for more."
    )


def _fields(view: LiveView) -> Start:
    batch = view.experiment.batch
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        pairs = batch.n_pairs
        st.number_input("Pair", 1, pairs, **bound(_PAIR, 1), width=110)
        st.number_input("Class, 1 or 2", 1, 2, **bound(_CLASS, 1), width=120)
        end = int(batch.last[_start(view).row])
        if _asked(_TOKEN, end + 1) > end + 1:
            st.session_state[_TOKEN] = end + 1
        if _TOKEN not in st.session_state and _TOKEN not in st.query_params:
            st.session_state[_TOKEN] = _start(view).place + 1
        st.number_input(f"Token, 1 to {end + 1}", 1, end + 1, **bound(_TOKEN, 1), width=130)
        count = len(_found(view, cached.identity(view), _start(view)))
        if _asked(_WHICH, 0) > count:
            st.session_state[_WHICH] = 0
        if count:
            st.number_input(
                f"Show path, 0 for all {count}",
                0,
                count,
                **bound(_WHICH, 0),
                width=170,
            )
    start = _start(view)
    tokenizer = cached.tokenizer(view.choice.model)
    ids = batch.tokens[start.row, : end + 1].tolist()
    shown = [tokenizer.token_bytes(token) for token in ids]
    colours = palette(st.context.theme.type)
    st.html(activation_strip(shown, [0.0] * len(shown), colours, 1.0, start.place))
    return start


def _start(view: LiveView) -> Start:
    """What the fields say, or would say before they are drawn."""
    batch = view.experiment.batch
    pair = min(max(_asked(_PAIR, 1), 1), batch.n_pairs)
    row = pair - 1 + (batch.n_pairs if _asked(_CLASS, 1) == 2 else 0)
    end = int(batch.last[row])
    place = min(max(_asked(_TOKEN, _telling(view, pair) + 1) - 1, 0), end)
    return Start(row, place, place == end, int(batch.tokens[row, place]))


def _telling(view: LiveView, pair: int) -> int:
    """The first token in which the two prompts of a pair differ."""
    batch = view.experiment.batch
    one, two = (batch.tokens[row].tolist() for row in (pair - 1, pair - 1 + batch.n_pairs))
    return next((i for i, (a, b) in enumerate(zip(one, two, strict=True)) if a != b), 0)


def _asked(key: str, otherwise: int) -> int:
    """A field's number, from its widget or from the address; a bad one counts as none."""
    value = st.session_state.get(key, st.query_params.get(key, otherwise))
    if value in ("true", "True"):
        return 1
    try:
        return int(value)
    except (TypeError, ValueError):
        return int(otherwise)


def _answers(view: LiveView, start: Start) -> tuple[int, int]:
    batch = view.experiment.batch
    return int(batch.right[start.row]), int(batch.wrong[start.row])


@shared("Following the token …")
def _found(_view: LiveView, identity: int, start: Start) -> tuple[Path, ...]:
    wiring, model = _view.wiring, _view.experiment.model
    rises = costs_of_edges(_view, "mean").rises
    costs = {edge: rise for edge, rise in rises.items() if isinstance(edge, Edge)}
    return strongest_paths(
        wiring,
        costs,
        reads_of_token(wiring, model, start.token),
        tuple(logit_slopes(wiring, model, *_answers(_view, start))),
        crosses=not start.last,
        n=_MOST,
    )
