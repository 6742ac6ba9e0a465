"""What is changed: one list of nodes and edges, followed by graph, tables, field and address.

The search field's widget owns the list, because a widget can be bound to the address. Parts that
are not held at the common level have one of their own, which the address holds as steps of a
recipe. `outside` counts the changes that did not come from the graph; only those make the graph
mark nodes anew.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import streamlit as st

from circuit_sparsity.circuits.edges import Edge
from circuit_sparsity.circuits.recipe import Level, Recipe, Step
from circuit_sparsity.core.names import Node
from circuit_sparsity.runtime.compiled import Fill
from circuit_sparsity.ui.shell.address import bound
from circuit_sparsity.ui.shell.cached import CircuitView

NODES = "nodes"  # the widget's key and the address's parameter
TABLE = "node_table"
EDGES = "edge_table"
FILL = "fill"  # key and parameter: what the switched-off are held at
HOW = "how"  # parameter: steps of parts that are held at something else
_LEVELS = "levels of their own"
Part = Node | Edge
_OUTSIDE = "outside picks"
_TROUBLE = "unknown nodes"
_CIRCUIT = "circuit of the picks"
KEPT = "picked nodes"


def prepare(view: CircuitView) -> None:
    """Bring the list in line with this circuit; call before the widgets are drawn.

    Parts that a link names and the circuit does not have are remembered for `unknown_nodes`. A
    widget forgets its value on another page, so the list is kept beside it.
    """
    names = _names(view)
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
    _prepare_levels(kept)
    if st.session_state.get(_CIRCUIT) != view.circuit.title:
        st.session_state[_CIRCUIT] = view.circuit.title
        _follow(view)


def picked(view: CircuitView) -> tuple[Node, ...]:
    """The nodes that are switched off now, in the order they were picked."""
    names = (name for name in st.session_state[NODES] if ">" not in name)
    return view.circuit.require(map(Node.parse, names))


def picked_edges(view: CircuitView) -> tuple[Edge, ...]:
    """The edges that are switched off now."""
    names = set(st.session_state[NODES])
    return tuple(edge for edge in view.wiring.edges if str(edge) in names)


def fill() -> Fill:
    """What they are held at: their means, or zero."""
    asked = st.session_state.get(FILL) or st.query_params.get(FILL)  # its widget may come later
    return "zero" if asked == "zero" else "mean"


def recipe() -> Recipe:
    """All that is changed now, in order, and how."""
    own, common = levels(), Level(fill())
    steps = map(Step.parse, st.session_state[NODES])
    return Recipe(tuple(replace(s, level=own.get(s.name, common)) for s in steps))


def levels() -> Mapping[str, Level]:
    """The parts that are not held at the common level, by name."""
    return st.session_state.get(_LEVELS, {})


def hold(name: str, level: Level) -> None:
    """Hold one changed part at a level of its own."""
    own = {key: value for key, value in levels().items() if key != name}
    st.session_state[_LEVELS] = own if level == Level(fill()) else own | {name: level}
    _write_levels()


def follow_recipe(view: CircuitView, wanted: Recipe) -> None:
    """Change exactly this, and make graph and tables show it."""
    found = {step.level.how for step in wanted}
    common = Level("zero" if "zero" in found and "mean" not in found else "mean")
    if len(wanted):
        st.session_state[FILL] = common.how
    st.session_state[_LEVELS] = {s.name: s.level for s in wanted if s.level != common}
    st.session_state[NODES] = [step.name for step in wanted]
    _forget_trouble()
    _write_levels()
    _follow(view)


def pick_in_graph(view: CircuitView, names: Iterable[str]) -> None:
    """Take over what the graph already shows."""
    _forget_trouble()
    known = _names(view)
    st.session_state[NODES] = [name for name in names if name in known]
    _mark_rows(view)


def choose(view: CircuitView, parts: Iterable[Part]) -> None:
    """Switch off exactly these, and make the graph show it."""
    _forget_trouble()
    st.session_state[NODES] = [str(part) for part in parts]
    _follow(view)


def changed_in_field(view: CircuitView) -> None:
    """The search field was used."""
    _forget_trouble()
    _follow(view)


def changed_in_table(table: str, rows: Sequence[Part]) -> None:
    """Rows were ticked; what no row of this table shows stays as it is."""
    _forget_trouble()
    shown = {str(part) for part in rows}
    ticked = [str(rows[row]) for row in st.session_state[table]["selection"]["rows"]]
    before = [n for n in st.session_state[NODES] if n in ticked or n not in shown]
    st.session_state[NODES] = before + [name for name in ticked if name not in before]
    _count()


def outside() -> int:
    """How many changes came from somewhere else than the graph."""
    return st.session_state.get(_OUTSIDE, 0)


def unknown_nodes() -> list[str]:
    """What the address named and the circuit does not keep, until something is picked."""
    return st.session_state.get(_TROUBLE, [])


def _prepare_levels(kept: Sequence[str]) -> None:
    """Levels of their own: from the address at first; of parts that are changed alone."""
    if _LEVELS not in st.session_state:
        asked, bad = _steps_asked(st.query_params.get_all(HOW))
        bad += [str(step) for step in asked if step.name not in kept]
        st.session_state[_LEVELS] = {step.name: step.level for step in asked}
        st.session_state[_TROUBLE] = [*unknown_nodes(), *bad]
    own = {name: level for name, level in levels().items() if name in kept}
    st.session_state[_LEVELS] = own
    _write_levels()


def _steps_asked(texts: Iterable[str]) -> tuple[list[Step], list[str]]:
    """Steps of an address, and what is none."""
    found, bad = [], []
    for text in texts:
        try:
            found.append(Step.parse(text))
        except ValueError:
            bad.append(text)
    return found, bad


def _write_levels() -> None:
    written = [name + level.suffix for name, level in levels().items()]
    if st.query_params.get_all(HOW) != written:
        st.query_params[HOW] = written


def _names(view: CircuitView) -> set[str]:
    return {str(part) for part in (*view.wiring.nodes, *view.wiring.edges)}


def _follow(view: CircuitView) -> None:
    _mark_rows(view)
    _count()


def _mark_rows(view: CircuitView) -> None:
    chosen = set(st.session_state[NODES])
    for table, parts in ((TABLE, view.wiring.nodes), (EDGES, view.wiring.edges)):
        rows = [i for i, part in enumerate(parts) if str(part) in chosen]
        st.session_state[table] = {"selection": {"rows": rows, "columns": [], "cells": []}}


def _forget_trouble() -> None:
    st.session_state.pop(_TROUBLE, None)


def _count() -> None:
    st.session_state[_OUTSIDE] = outside() + 1


def search_field(view: CircuitView) -> None:
    """The list of what is switched off, which is also a search over all nodes and edges."""
    st.multiselect(
        "Switched off",
        [str(part) for part in (*view.wiring.nodes, *view.wiring.edges)],
        **bound(NODES),
        wrap=True,
        select_all=False,
        placeholder="Nothing: type to find a node or an edge",
        on_change=changed_in_field,
        args=(view,),
        help="These nodes and edges (source>target) are ablated together. The page's address "
        "holds them: copy it to share this view.",
    )
