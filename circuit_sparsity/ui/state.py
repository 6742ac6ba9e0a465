"""Which nodes are switched off: one list, followed by graph, table, search field and address.

The search field's widget owns the list, because a widget can be bound to the address. `outside`
counts the changes that did not come from the graph; only those make the graph mark nodes anew.
"""

from collections.abc import Iterable

import streamlit as st

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.names import Node

NODES = "nodes"  # the widget's key and the address's parameter
TABLE = "node_table"
_OUTSIDE = "outside picks"
_TROUBLE = "unknown nodes"
_CIRCUIT = "circuit of the picks"
KEPT = "picked nodes"


def prepare(circuit: Circuit) -> None:
    """Bring the list in line with this circuit; call before the widgets are drawn.

    Nodes that a link names and the circuit does not keep are remembered for `unknown_nodes`. A
    widget forgets its value on another page, so the list is kept beside it.
    """
    names = set(map(str, circuit.node_list))
    if NODES in st.session_state:
        asked = st.session_state[NODES]
    else:
        asked = st.query_params.get_all(NODES) or st.session_state.get(KEPT, [])
    kept = [name for name in asked if name in names]
    if NODES not in st.session_state:
        st.query_params[NODES] = kept
    if KEPT not in st.session_state:
        st.session_state[_TROUBLE] = [name for name in asked if name not in names]
    st.session_state[NODES] = st.session_state[KEPT] = kept
    if st.session_state.get(_CIRCUIT) != circuit.title:
        st.session_state[_CIRCUIT] = circuit.title
        _follow(circuit)


def picked(circuit: Circuit) -> tuple[Node, ...]:
    """The nodes that are switched off now, in the order they were picked."""
    return circuit.require(Node.parse(name) for name in st.session_state[NODES])


def pick_in_graph(circuit: Circuit, names: Iterable[str]) -> None:
    """Take over what the graph already shows."""
    _forget_trouble()
    known = set(map(str, circuit.node_list))
    st.session_state[NODES] = [name for name in names if name in known]
    _mark_rows(circuit)


def choose(circuit: Circuit, nodes: Iterable[Node]) -> None:
    """Switch off exactly these nodes, and make the graph show it."""
    _forget_trouble()
    st.session_state[NODES] = [str(node) for node in nodes]
    _follow(circuit)


def changed_in_field(circuit: Circuit) -> None:
    """The search field was used."""
    _forget_trouble()
    _follow(circuit)


def changed_in_table(circuit: Circuit) -> None:
    """Rows were ticked."""
    _forget_trouble()
    rows = st.session_state[TABLE]["selection"]["rows"]
    ticked = [str(circuit.node_list[row]) for row in rows]
    before = [name for name in st.session_state[NODES] if name in ticked]
    st.session_state[NODES] = before + [name for name in ticked if name not in before]
    _count()


def outside() -> int:
    """How many changes came from somewhere else than the graph."""
    return st.session_state.get(_OUTSIDE, 0)


def unknown_nodes() -> list[str]:
    """What the address named and the circuit does not keep, until something is picked."""
    return st.session_state.get(_TROUBLE, [])


def _follow(circuit: Circuit) -> None:
    _mark_rows(circuit)
    _count()


def _mark_rows(circuit: Circuit) -> None:
    chosen = set(st.session_state[NODES])
    rows = [i for i, node in enumerate(circuit.node_list) if str(node) in chosen]
    st.session_state[TABLE] = {"selection": {"rows": rows, "columns": [], "cells": []}}


def _forget_trouble() -> None:
    st.session_state.pop(_TROUBLE, None)


def _count() -> None:
    st.session_state[_OUTSIDE] = outside() + 1
