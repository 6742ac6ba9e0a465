"""From a token to the nodes that are most active on it, and from a node to its tokens."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from circuit_sparsity.core.names import Node
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.experiment.labels import Labels
from circuit_sparsity.nodes.active import Usual, most_active, most_different, usual
from circuit_sparsity.nodes.reading import Reading
from circuit_sparsity.plots.tokens import show_token
from circuit_sparsity.plots.words import place_in_words
from circuit_sparsity.tasks.alignment import Alignment, align
from circuit_sparsity.ui.prompt.readings import Readings
from circuit_sparsity.ui.shell import cached, node_field, strips
from circuit_sparsity.ui.shell.address import write
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.node_field import called
from circuit_sparsity.ui.shell.strips import Strip

_AT, _WHO, _NODE, _TABLE = "at", "who", "node_of_tokens", "active_table"
_SHOWN = 15  # nodes of a token
_SCORE_HELP = (
    "How unusual the activation is for this node: its distance from the node's mean over the "
    "pretraining text, divided by the node's usual distance from it (root-mean-square over all "
    "tokens of the task's prompts, whole model). 0 is the mean; ±1 is as far as usual."
)


def section(view: LiveView, found: Sequence[Readings], tokenizer: Tokenizer) -> None:
    """Pick a token for its nodes, or a node for its tokens; each leads to the other."""
    who = st.segmented_control(
        "In", list(found[0]), default=list(found[0])[0], required=True, key=_WHO
    )
    readings = [some[who or list(some)[0]] for some in found]
    labels = node_field.labels_of(view.circuit)
    known = _usual(view, cached.identity(view))
    places = _aligned(readings)
    if len(readings) > 1:
        st.caption(_how(places, readings))
    _of_token(view, readings, places, known, tokenizer, labels)
    _of_node(view, readings, places, tokenizer, labels)


def _of_token(
    view: LiveView,
    readings: Sequence[Reading],
    places: Alignment,
    known: Usual,
    tokenizer: Tokenizer,
    labels: Labels,
) -> None:
    st.markdown("##### A token, and the nodes most active on it", help=_SCORE_HELP)
    at = _token_field(readings, places, tokenizer)
    one, other = places.pairs[at]
    if len(readings) > 1 and one is not None and other is not None:
        ranked = most_different((readings[0], one), (readings[1], other), known, _SHOWN)
        nodes, order = [pair.node for pair in ranked], "Furthest apart, on each node's scale,"
        columns = {
            "in the first text": [pair.one for pair in ranked],
            "in the second": [pair.other for pair in ranked],
            "difference / scale": [pair.score for pair in ranked],
        }
    else:
        reading, place = (readings[0], one) if one is not None else (readings[1], other)
        assert place is not None, "a pair of an alignment without a place"
        active = most_active(reading, place, known, _SHOWN)
        nodes, order = [a.node for a in active], "Furthest from what is usual for each node"
        columns = {
            "activation": [a.activation for a in active],
            "its mean": [a.mean for a in active],
            "(activation − mean) / scale": [a.score for a in active],
        }
    st.dataframe(
        pd.DataFrame(
            {"node": [called(node, labels) for node in nodes]}
            | columns
            | {"what it is": [place_in_words(node, view.config) for node in nodes]}
        ),
        key=_TABLE,
        on_select=lambda: _take_row(nodes),
        selection_mode="single-row",
        hide_index=True,
        width="stretch",
    )
    st.caption(f"{order} first. Tick a row to see its tokens.")


def _of_node(
    view: LiveView,
    readings: Sequence[Reading],
    places: Alignment,
    tokenizer: Tokenizer,
    labels: Labels,
) -> None:
    st.markdown("##### A node, and its tokens")
    names = [str(node) for node in view.circuit.node_list]
    asked = st.session_state.get(_NODE, st.query_params.get(node_field.PARAMETER))
    st.session_state[_NODE] = asked if asked in names else names[0]
    name = st.selectbox(
        "Node of the circuit",
        names,
        key=_NODE,
        format_func=lambda name: called(Node.parse(name), labels),
    )
    write(node_field.PARAMETER, name)
    node = Node.parse(name)
    titles = ("First text, live", "Second text, live") if len(readings) > 1 else ("Live",)
    shown = [
        Strip(title, reading.tokens, reading.activations[node].tolist())
        for title, reading in zip(titles, readings, strict=True)
    ]
    if len(shown) > 1:
        shown += strips.difference(shown, "Difference, first − second")
    strips.draw(shown, tokenizer)
    strips.numbers(shown, tokenizer)


@st.cache_resource(max_entries=16, show_spinner="Running the task's prompts …")
def _usual(_view: LiveView, identity: int) -> Usual:
    return usual(_view.experiment, _view.circuit.node_list)


def _aligned(readings: Sequence[Reading]) -> Alignment:
    return align(readings[0].tokens, readings[-1].tokens)


def _how(places: Alignment, readings: Sequence[Reading]) -> str:
    lengths = " and ".join(str(len(reading.tokens)) for reading in readings)
    if places.by == "position":
        return (
            f"Both texts have {len(readings[0].tokens)} tokens: they are compared position by "
            "position."
        )
    return (
        f"The texts have {lengths} tokens: they are compared along their longest common "
        f"beginning and end, {len(places.both)} tokens; what lies between has no counterpart."
    )


def _token_field(readings: Sequence[Reading], places: Alignment, tokenizer: Tokenizer) -> int:
    """Which pair of the alignment; the address holds it, counted from 1."""
    count = len(places.pairs)

    def shown(i: int) -> str:
        places_here = zip(readings, places.pairs[i], strict=False)
        ids = dict.fromkeys(r.tokens[p] for r, p in places_here if p is not None)
        return plain(" | ".join(show_token(tokenizer.token_bytes(token)) for token in ids))

    asked = st.query_params.get(_AT, "")
    if st.session_state.get(_AT) not in range(count):
        is_known = asked.isdecimal() and 1 <= int(asked) <= count
        st.session_state[_AT] = int(asked) - 1 if is_known else count - 1
    at = st.pills("Token", range(count), key=_AT, format_func=shown, required=True, wrap=True)
    write(_AT, str((at or 0) + 1))
    return at or 0


def _take_row(nodes: Sequence[Node]) -> None:
    rows = st.session_state[_TABLE]["selection"]["rows"]
    if rows:
        st.session_state[_NODE] = str(nodes[rows[0]])
