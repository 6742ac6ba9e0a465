"""Which node a page is about, what the reader calls it, and how one gets to another."""

import streamlit as st

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.labels import LONGEST, Labels, read_labels, set_label
from circuit_sparsity.nodes.weights import require_node
from circuit_sparsity.plots.words import place_in_words
from circuit_sparsity.store import Store
from circuit_sparsity.ui.shell import state
from circuit_sparsity.ui.shell.address import write
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.costs import MOST_PARTS, costs_of_nodes
from circuit_sparsity.ui.shell.messages import plain

FIELD = "shown_node"  # the widget's key
PARAMETER = "node"  # the address's
_KEPT = "node shown last"
_FOLLOWED = "pick that the node page followed"
_TROUBLE = "trouble with a label"


def labels_of(circuit: Circuit) -> Labels:
    """The reader's labels; none, with a message, where their file is damaged."""
    try:
        return read_labels(Store.from_environment(), circuit)
    except (ValueError, OSError) as error:
        st.error(plain(str(error)), icon=":material/error:")
        return Labels()


def chosen(view: LiveView, labels: Labels) -> Node:
    """The node of the search field; the address holds it, and a new pick in the graph sets it.

    Raises ValueError for a text that names no node of the model.
    """
    _begin(view)
    names = [str(node) for node in view.circuit.node_list]
    asked = st.session_state[FIELD]
    named = {str(node): text for node, text in labels.texts.items()}
    name = st.selectbox(
        "Node",
        names if asked in names else [asked, *names],
        key=FIELD,
        format_func=lambda name: f"{name}  {named[name]}" if name in named else name,
        accept_new_options=True,
        help="Type a part of a node's name or of your label to find it among the nodes of the "
        "circuit, or the name of any other node of the model, such as 1.mlp.post_act:180.",
    )
    name = name or _dearest(view)
    st.session_state[_KEPT] = name
    write(PARAMETER, name)
    return require_node(view.experiment.model, Node.parse(name))


def heading(view: LiveView, node: Node, labels: Labels) -> None:
    """The node in words, and the field for its label."""
    place = place_in_words(node, view.config)
    kept = "" if view.circuit.keeps(node) else " The circuit does not keep it."
    words, label = st.columns([0.62, 0.38], vertical_alignment="bottom")
    with words:
        called = f" {plain(labels.of(node))}" if labels.of(node) else ""
        st.markdown(f"#### `{node}`{called}")
        st.markdown(f"{place[0].upper()}{place[1:]}.{kept}")
    key = f"label of {node} in {view.circuit.title}"
    label.text_input(
        "Your label",
        labels.of(node),
        max_chars=LONGEST,
        key=key,
        placeholder="What do you think it does?",
        on_change=_save,
        args=(view.circuit, node, key),
        help="Kept in your own folder, for this node of this circuit, and exported with it.",
    )
    if view.circuit.keeps(node) and st.button(
        "Switch it off in the circuit",
        icon=":material/hub:",
        on_click=state.choose,
        args=(view, (node,)),
    ):
        # Without parameters of its own it would refuse: the sidebar's are bound to widgets.
        st.switch_page("pages/circuit.py", query_params={})
    if trouble := st.session_state.pop(_TROUBLE, None):
        st.error(plain(trouble), icon=":material/error:")


def go(node: Node) -> None:
    """Show another node, from a callback."""
    st.session_state[FIELD] = str(node)


def called(node: Node, labels: Labels) -> str:
    """A node's name with the reader's label, not escaped."""
    label = labels.of(node)
    return f"{node} “{label}”" if label else str(node)


def _begin(view: LiveView) -> None:
    """Before the field is drawn: what the link says, else a new pick, else what was shown."""
    in_view = state.node_in_view(view)
    picked = [] if in_view is None else [str(in_view)]
    is_new = bool(picked) and st.session_state.get(_FOLLOWED) != picked
    asked = st.query_params.get(PARAMETER) if _KEPT not in st.session_state else None
    if picked:
        st.session_state[_FOLLOWED] = picked
    if asked or (is_new and picked):
        st.session_state[FIELD] = asked or picked[0]
    elif not st.session_state.get(FIELD):
        st.session_state[FIELD] = st.session_state.get(_KEPT) or _dearest(view)


def _dearest(view: LiveView) -> str:
    """The node whose ablation costs most; the first one of a circuit too large to ask."""
    nodes = view.circuit.node_list
    if not nodes:
        raise ValueError(f"{view.circuit.title} keeps no node; choose another circuit")
    if len(nodes) > MOST_PARTS:
        return str(nodes[0])
    rises = costs_of_nodes(view, state.fill()).rises
    return str(max(nodes, key=lambda node: rises[node]))


def _save(circuit: Circuit, node: Node, key: str) -> None:
    try:
        set_label(Store.from_environment(), circuit, node, st.session_state[key])
    except (ValueError, OSError) as error:
        st.session_state[_TROUBLE] = str(error)
