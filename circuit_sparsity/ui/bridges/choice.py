"""What the Bridges page is about: a pair of models, and an edit of the sparse one's nodes."""

from collections.abc import Mapping, Sequence

import streamlit as st

from circuit_sparsity.bridges.effects import is_carried
from circuit_sparsity.bridges.pair import Pair, PairName, open_pair, pairs_here
from circuit_sparsity.bridges.transfer import NodeEdit
from circuit_sparsity.circuits.recipe import MEAN, ZERO, Level
from circuit_sparsity.core.names import Node
from circuit_sparsity.store import Store
from circuit_sparsity.ui.shell import cached, pickers, state
from circuit_sparsity.ui.shell.address import bound
from circuit_sparsity.ui.shell.cached import LiveView, Stamp
from circuit_sparsity.ui.shell.costs import MOST_PARTS, costs_of_nodes
from circuit_sparsity.ui.shell.fields import among
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.pickers import Choice
from circuit_sparsity.ui.shell.shared import shared

# The widgets' keys, and the address's parameters.
_DENSE, _NODES, _HOW, _VALUE = "bridge_to", "bridge_nodes", "bridge_edit", "bridge_value"
_OTHER, _MEAN, _ZERO = "The other answer's value", "Its mean", "Zero"
_SET, _SCALE, _RECIPE = "A value", "A multiple", "As on the circuit page"
_HOW_HELP = (
    "What the nodes are set to. *The other answer's value* is the node's value on the pair's "
    "other prompt, so the edit says: answer as if it had been the other prompt."
)
_EXPLAINED = (
    "**No bridges from {model} are on this machine.** Bridges join a sparse model and a dense one "
    "of the same tokenizer: a linear map at each layer's residual stream, so that a feature found "
    "in the sparse model can be edited in the dense one.\n\n"
    "`python -m circuit_sparsity bridge-train {model} DENSE` trains a pair."
)


def pair_of(model: str) -> Pair | None:
    """The pair that the reader chose among those of this sparse model.

    Where there is none, the page says so, and offers circuits of models that have one.
    """
    store = Store.from_environment()
    found, troubles = pairs_here(store)
    fitting = [one for one in found if one.sparse == model]
    for trouble in troubles:
        st.warning(plain(trouble), icon=":material/link_off:")
    if not fitting:
        _none_of(model, found, store)
        return None
    names = [one.dense for one in fitting]
    dense = names[0]
    if len(names) > 1:
        dense = among("Dense model", names, _DENSE, "The model that the bridges lead to.")
    return _pair(model, dense, _stamps(store, model, dense))


def edits_of(view: LiveView, pair: Pair) -> tuple[NodeEdit, ...]:
    """The edit that the fields say; empty while no node is chosen."""
    kinds = (_OTHER, _MEAN, _ZERO, _SET, _SCALE, _RECIPE)
    kind = among("Set the nodes to", kinds, _HOW, _HOW_HELP)
    if kind == _RECIPE:
        return _of_recipe(pair)
    levels: Mapping[str, Level | None] = {_OTHER: None, _MEAN: MEAN, _ZERO: ZERO}
    if kind in (_SET, _SCALE):
        value = st.number_input(kind, value=0.0, step=0.1, width=150, **bound(_VALUE, 0.0))
        level = Level("set" if kind == _SET else "scale", float(value))
    else:
        level = levels[kind]
    return tuple(NodeEdit(node, level) for node in _node_field(view, pair))


def in_words(edits: Sequence[NodeEdit]) -> str:
    """The edit in a line, not escaped."""
    parts = []
    for edit in edits:
        level = edit.level
        become = "set to its value for the other answer" if level is None else level.in_words
        parts.append(f"{edit.node} {become}")
    return "; ".join(parts)


def command(pair: Pair, choice: Choice, edits: Sequence[NodeEdit], gains: bool) -> str | None:
    """The same curve from a shell; None for edits that are not all of one kind."""
    levels = {edit.level for edit in edits}
    if len(levels) != 1:
        return None
    level = levels.pop()
    if level is None:
        how = ""
    elif level.how == "mean":
        how = " --off"
    else:
        how = f" --{'scale' if level.how == 'scale' else 'set'} {level.value:g}"
    nodes = " ".join(str(edit.node) for edit in edits)
    return (
        f"python -m circuit_sparsity bridge-transfer {pair.sparse_name} {pair.dense_name} "
        f"{choice.task} {choice.sweep} {choice.k} {nodes} --strength 0 0.5 1 1.5 2"
        f"{how}{' --gains' if gains else ''}"
    )


def carried_nodes(view: LiveView, pair: Pair) -> list[Node]:
    """Those of the circuit's nodes that the bridges take to the dense model."""
    return [node for node in view.circuit.node_list if is_carried(pair, node)]


def _node_field(view: LiveView, pair: Pair) -> list[Node]:
    names = {str(node): node for node in carried_nodes(view, pair)}
    if _NODES not in st.session_state:
        asked = st.query_params.get_all(_NODES)
        st.session_state[_NODES] = asked or _first(view, names)
    if unknown := [name for name in st.session_state[_NODES] if name not in names]:
        st.caption(
            f"{plain(', '.join(unknown))}: not a node of this circuit that these bridges carry."
        )
        kept = [name for name in st.session_state[_NODES] if name in names]
        st.session_state[_NODES] = kept or _first(view, names)
    found = st.multiselect(
        "Nodes of the sparse model",
        list(names),
        **bound(_NODES),
        help="Nodes after the last bridge and position channels cannot be carried over and are "
        "not offered. It starts with the node selected on the circuit page, or else with "
        "the read that costs most.",
    )
    return [names[name] for name in found]


def _first(view: LiveView, names: Mapping[str, Node]) -> list[str]:
    """What the circuit page looks at; else the read whose ablation costs most."""
    seen = state.node_in_view(view)
    if seen is not None and str(seen) in names:
        return [str(seen)]
    reads = [node for node in names.values() if node.location.kind == "act_in"]
    if not reads or view.circuit.size > MOST_PARTS:
        return list(names)[:1]
    rises = costs_of_nodes(view, "mean").rises
    return [str(max(reads, key=lambda node: rises[node]))]


def _of_recipe(pair: Pair) -> tuple[NodeEdit, ...]:
    """The nodes that are changed on the circuit page, and how; edges do not go over."""
    steps = tuple(state.recipe())
    nodes = [step for step in steps if step.target is None]
    carried = [step for step in nodes if is_carried(pair, step.source)]
    if not carried:
        st.info(
            "Nothing that a bridge can carry is switched off on the circuit page. Double click a "
            "node there, or choose nodes here.",
            icon=":material/hub:",
        )
        return ()
    st.markdown(plain("; ".join(f"{step.source} {step.level.in_words}" for step in carried)))
    if left := [str(step) for step in steps if step not in carried]:
        st.caption(f"Not carried over: {plain(', '.join(left))}.")
    return tuple(NodeEdit(step.source, step.level) for step in carried)


def _none_of(model: str, found: Sequence[PairName], store: Store) -> None:
    st.info(_EXPLAINED.format(model=plain(model)), icon=":material/link_off:")
    for one in found:
        first = next((row for row in store.rows() if row.model == one.sparse), None)
        if first is not None:
            there = Choice(first.model, first.task, first.sweep, first.k)
            st.button(
                f"Open a circuit of {plain(one.sparse)}, which has bridges to {plain(one.dense)}",
                key=f"bridges of {one.sparse} {one.dense}",
                icon=":material/link:",
                on_click=pickers.go_to,
                args=(there,),
            )


def _stamps(store: Store, sparse: str, dense: str) -> tuple[Stamp, ...]:
    files = []
    for name in (sparse, dense):
        folder = store.path_of_model(name)
        if folder is not None:
            files += [file for file in sorted(folder.iterdir()) if file.is_file()]
    return tuple(cached.stamp(file) for file in files)


@shared("Opening both models …")
def _pair(sparse: str, dense: str, stamps: tuple[Stamp, ...]) -> Pair:
    return open_pair(Store.from_environment(), sparse, dense)
