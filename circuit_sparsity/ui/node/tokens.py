"""Parts of the page of tokens: a node, a text, and the node's activation on every token."""

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from circuit_sparsity.core.names import Node, circuit_locations
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.plots.words import place_in_words
from circuit_sparsity.ui.shell import prompts, state, strips
from circuit_sparsity.ui.shell.address import bound
from circuit_sparsity.ui.shell.cached import StoredView
from circuit_sparsity.ui.shell.strips import Strip

NODE = "node"  # the widget's key and the address's parameter
_TEXT = "token_text"
_EXAMPLE = 'def greet(name):\n    return "Hello, " + name\n'


def node_field(view: StoredView, can_run: bool) -> Node:
    """The node whose activations are shown: one of the circuit, or any of a model that is here."""
    if NODE not in st.session_state and NODE not in st.query_params:
        st.query_params[NODE] = st.session_state[NODE] = str(_first(view))
    name = st.selectbox(
        "Node",
        [str(node) for node in view.circuit.node_list],
        **bound(NODE),
        accept_new_options=can_run,
        help="A node of the circuit"
        + (", or any other: type its name, such as 3.mlp.post_act:180." if can_run else "."),
    )
    node = Node.parse(name) if name else _first(view)
    if node.location not in circuit_locations(view.config.n_layer) or not (
        0 <= node.channel < view.config.width(node.location)
    ):
        raise ValueError(
            f"{node} is not a node of {view.circuit.model}, which has {view.config.n_layer} layers "
            f"and {view.config.d_model} residual channels; choose one from the list"
        )
    place = place_in_words(node, view.config)
    kept = "" if view.circuit.keeps(node) else " The circuit does not keep it."
    st.caption(f"{place[0].upper()}{place[1:]}.{kept}")
    return node


def with_live(experiment: Experiment, shown: Sequence[Strip], node: Node) -> list[Strip]:
    """Each stored strip with what the model does now below it, and how far the two are apart."""
    both: list[Strip] = []
    for stored in shown:
        now = strips.live(experiment, stored.tokens, node)[0]
        both += [stored, replace(now, title=f"{now.title}, the same text", marked=stored.marked)]
    pairs = zip(both[::2], both[1::2], strict=True)
    apart = max(
        abs(a - b)
        for one, other in pairs
        for a, b in zip(one.activations, other.activations, strict=True)
    )
    st.caption(f"Largest difference between a stored and a live activation: {apart:.4f}.")
    return both


def own_text(experiment: Experiment, tokenizer: Tokenizer, node: Node) -> list[Strip]:
    """A text that the reader writes or pastes, run now in the model and in the circuit."""
    text = prompts.field("Text", _TEXT, _EXAMPLE)
    tokens = tokenizer.encode(text)
    context = experiment.model.config.block_size
    if not tokens:
        st.info("Paste or type a text.", icon=":material/edit:")
        return []
    if len(tokens) > context:
        st.warning(
            f"This text has {len(tokens)} tokens; the model reads at most {context}. Only the "
            "first ones are run.",
            icon=":material/content_cut:",
        )
    return strips.live(experiment, tokens[:context], node)


def _first(view: StoredView) -> Node:
    """The node that was picked last, or else the one whose ablation costs most."""
    picked = [name for name in st.session_state.get(state.NODES, []) if name]
    known = {str(node): node for node in view.circuit.node_list}
    if picked and picked[-1] in known:
        return known[picked[-1]]
    if not view.tells_costs:
        return view.circuit.node_list[0]
    return max(view.circuit.node_list, key=lambda node: view.deltas[node])
