"""What is changed: one list of nodes and edges, followed by graph, tables, field and address.

The search field's widget owns the list as names, because a widget can be bound to the address;
everybody else has the parts themselves. Parts that are not held at the common level have one of
their own, which the address holds as steps of a recipe.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import streamlit as st

from circuit_sparsity.circuits.edges import Edge
from circuit_sparsity.circuits.recipe import Level, Recipe, Step
from circuit_sparsity.core.names import Node
from circuit_sparsity.runtime.compiled import Fill
from circuit_sparsity.ui.shell import cached
from circuit_sparsity.ui.shell.address import bound
from circuit_sparsity.ui.shell.cached import CircuitView
from circuit_sparsity.ui.shell.shared import shared

NODES = "nodes"  # the widget's key and the address's parameter
TABLE = "node_table"
EDGES = "edge_table"
FILL = "fill"  # key and parameter: what the switched-off are held at
_HOW = "how"  # parameter: steps of parts that are held at something else
_SELECTED = "selected"  # parameter: what is looked at
Part = Node | Edge
_SESSION = "changes"


@dataclass
class Changes:
    """What a browser's session holds beside the search field's list."""

    circuit: str | None = None  # title of the circuit that the tables' ticks are of
    names: Sequence[str] | None = None  # the list: its widget forgets it on another page
    levels: Mapping[str, Level] | None = None  # by name: parts not held at the common level
    unknown: Sequence[str] = field(default_factory=tuple)  # what a link named and nobody keeps
    selected: str | None = None  # the node or edge that is looked at; "" for none
    outside: int = 0  # changes that did not come from the graph: for those it marks nodes anew


def prepare(view: CircuitView) -> None:
    """Bring the list in line with this circuit; call before the widgets are drawn.

    Parts that a link names and the circuit does not have are remembered for `unknown_nodes`.
    """
    known, session = _parts(view, cached.identity(view)), _session()
    if NODES in st.session_state:
        asked = st.session_state[NODES]
    else:
        asked = st.query_params.get_all(NODES) or session.names or []
    kept = [name for name in asked if name in known]
    if NODES not in st.session_state:
        st.query_params[NODES] = kept
    if session.names is None:
        session.unknown = [name for name in asked if name not in known]
    st.session_state[NODES] = session.names = kept
    if session.selected is None:
        session.selected = st.query_params.get(_SELECTED, "")
    if session.selected not in known:
        session.selected = ""
    _write_selected()
    _prepare_levels(kept)
    if session.circuit != view.circuit.title:
        session.circuit = view.circuit.title
        _follow(view)


def changed(view: CircuitView) -> tuple[Part, ...]:
    """The nodes and edges that are switched off now, in the order they were picked."""
    known = _parts(view, cached.identity(view))
    return tuple(known[name] for name in st.session_state[NODES])


def picked(view: CircuitView) -> tuple[Node, ...]:
    """The nodes among them."""
    return tuple(part for part in changed(view) if isinstance(part, Node))


def picked_edges(view: CircuitView) -> tuple[Edge, ...]:
    """The edges among them."""
    return tuple(part for part in changed(view) if isinstance(part, Edge))


def selected(view: CircuitView) -> Part | None:
    """The node or edge that is looked at."""
    return _parts(view, cached.identity(view)).get(_session().selected or "")


def node_in_view(view: CircuitView) -> Node | None:
    """The node that is looked at, else the one that was switched off last."""
    part, off = selected(view), picked(view)
    return part if isinstance(part, Node) else off[-1] if off else None


def select(part: Part | None) -> None:
    """Look at this one, and make the graph show it."""
    select_in_graph("" if part is None else str(part))
    _session().outside += 1


def select_in_graph(name: str) -> None:
    """Look at what the graph already shows as looked at; an empty name for nothing."""
    _session().selected = name
    _write_selected()


def toggle(view: CircuitView, part: Part) -> None:
    """Switch it off too, or on again, and make the graph show it."""
    off = changed(view)
    choose(view, [one for one in off if one != part] if part in off else [*off, part])


def last_nodes() -> Sequence[Node]:
    """The nodes of the list, the last one first, whichever circuit they are of."""
    names = st.session_state.get(NODES) or _session().names or ()
    return [step.source for step in map(Step.parse, reversed(names)) if step.target is None]


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
    return _session().levels or {}


def hold(name: str, level: Level) -> None:
    """Hold one changed part at a level of its own."""
    own = {key: value for key, value in levels().items() if key != name}
    _session().levels = own if level == Level(fill()) else own | {name: level}
    _write_levels()


def follow_recipe(view: CircuitView, wanted: Recipe) -> None:
    """Change exactly this, and make graph and tables show it."""
    found = {step.level.how for step in wanted}
    common = Level("zero" if "zero" in found and "mean" not in found else "mean")
    if len(wanted):
        st.session_state[FILL] = common.how
    session = _session()
    session.levels = {s.name: s.level for s in wanted if s.level != common}
    session.unknown = ()
    st.session_state[NODES] = [step.name for step in wanted]
    _write_levels()
    _follow(view)


def pick_in_graph(view: CircuitView, names: Iterable[str]) -> None:
    """Take over what the graph already shows."""
    _session().unknown = ()
    known = _parts(view, cached.identity(view))
    st.session_state[NODES] = [name for name in names if name in known]
    _mark_rows(view)


def choose(view: CircuitView, parts: Iterable[Part]) -> None:
    """Switch off exactly these, and make the graph show it."""
    st.session_state[NODES] = [str(part) for part in parts]
    changed_in_field(view)


def changed_in_field(view: CircuitView) -> None:
    """The search field was used."""
    _session().unknown = ()
    _follow(view)


def changed_in_table(table: str, rows: Sequence[Part]) -> None:
    """Rows were ticked; what no row of this table shows stays as it is."""
    session = _session()
    session.unknown = ()
    shown = {str(part) for part in rows}
    ticked = [str(rows[row]) for row in st.session_state[table]["selection"]["rows"]]
    before = [n for n in st.session_state[NODES] if n in ticked or n not in shown]
    st.session_state[NODES] = before + [name for name in ticked if name not in before]
    session.outside += 1


def outside() -> int:
    """How many changes came from somewhere else than the graph."""
    return _session().outside


def unknown_nodes() -> list[str]:
    """What the address named and the circuit does not keep, until something is picked."""
    return list(_session().unknown)


def search_field(view: CircuitView) -> None:
    """The list of what is switched off, which is also a search over all nodes and edges."""
    st.multiselect(
        "Switched off",
        list(_parts(view, cached.identity(view))),
        **bound(NODES),
        wrap=True,
        select_all=False,
        placeholder="Nothing: type to find a node or an edge",
        on_change=changed_in_field,
        args=(view,),
        help="These nodes and edges (source>target) are ablated together. The page's address "
        "holds them: copy it to share this view.",
    )


def _session() -> Changes:
    return st.session_state.setdefault(_SESSION, Changes())


@shared()
def _parts(_view: CircuitView, identity: int) -> Mapping[str, Part]:
    """Nodes, then edges, by their names."""
    return {str(part): part for part in (*_view.wiring.nodes, *_view.wiring.edges)}


def _prepare_levels(kept: Sequence[str]) -> None:
    """Levels of their own: from the address at first; of parts that are changed alone."""
    session = _session()
    if session.levels is None:
        asked, bad = _steps_asked(st.query_params.get_all(_HOW))
        bad += [str(step) for step in asked if not (step.is_constant and step.name in kept)]
        asked = [step for step in asked if step.is_constant]
        session.levels = {step.name: step.level for step in asked}
        session.unknown = [*session.unknown, *bad]
    session.levels = {name: level for name, level in session.levels.items() if name in kept}
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


def _write_selected() -> None:
    name = _session().selected
    if not name:
        st.query_params.pop(_SELECTED, None)
    elif st.query_params.get(_SELECTED) != name:
        st.query_params[_SELECTED] = name


def _write_levels() -> None:
    written = [name + level.suffix for name, level in levels().items()]
    if st.query_params.get_all(_HOW) != written:
        st.query_params[_HOW] = written


def _follow(view: CircuitView) -> None:
    _mark_rows(view)
    _session().outside += 1


def _mark_rows(view: CircuitView) -> None:
    chosen = set(st.session_state[NODES])
    for table, parts in ((TABLE, view.wiring.nodes), (EDGES, view.wiring.edges)):
        rows = [i for i, part in enumerate(parts) if str(part) in chosen]
        st.session_state[table] = {"selection": {"rows": rows, "columns": [], "cells": []}}
