"""The weights into and out of a node: in the circuit as buttons, in the whole model as tables."""

from collections.abc import Callable, Sequence

import pandas as pd
import streamlit as st

from circuit_sparsity.circuits.wiring import Neighbour
from circuit_sparsity.core.names import FINAL_RESID, Node
from circuit_sparsity.experiment.labels import Labels
from circuit_sparsity.nodes.weights import into, out_of
from circuit_sparsity.plots.words import signed
from circuit_sparsity.ui.node.field import go
from circuit_sparsity.ui.shell.cached import Scene
from circuit_sparsity.ui.shell.messages import plain

_FIRST_FEW = 8  # buttons shown before one asks for the rest
_ROWS = 500
_HELP = (
    "Signed weights, strongest first, then links, which have no weight of their own: through the "
    "residual stream, or through the attention of one head. Click one to go to that node."
)


def section(scene: Scene, node: Node, labels: Labels) -> None:
    """Into the node on the left, out of it on the right; a click goes there."""
    model, keeps = scene.experiment.model, scene.circuit.keeps
    sides: dict[str, Callable] = {"Into it": into, "Out of it": out_of}
    for column, (title, side) in zip(st.columns(2, gap="medium"), sides.items(), strict=True):
        every = side(model, node)
        kept = [near for near in every if keeps(near.node)]
        with column:
            st.markdown(f"##### {title}", help=_HELP)
            st.markdown(f"**In the circuit** ({len(kept)})")
            _buttons(title, kept, labels)
            if not kept:
                st.caption(_nobody(node, title))
            _table(scene, title, every, labels)


def _buttons(title: str, kept: Sequence[Neighbour], labels: Labels) -> None:
    with st.container(gap=None):
        for near in kept[:_FIRST_FEW]:
            _button(title, near, labels)
    if len(kept) > _FIRST_FEW:
        with st.expander(f"{len(kept) - _FIRST_FEW} more"), st.container(gap=None):
            for near in kept[_FIRST_FEW:]:
                _button(title, near, labels)


def _button(title: str, near: Neighbour, labels: Labels) -> None:
    by = f"by {near.by}" if near.weight is None else signed(near.weight)
    label = labels.of(near.node)
    st.button(
        f"`{near.node}` {by}{f' {plain(label)}' if label else ''}",
        key=f"{title} {near.node} {near.by}",
        type="tertiary",
        on_click=go,
        args=(near.node,),
    )


def _table(scene: Scene, title: str, every: Sequence[Neighbour], labels: Labels) -> None:
    shown, keeps = every[:_ROWS], scene.circuit.keeps
    with st.expander(f"In the whole model ({len(every):,})", icon=":material/table:"):
        if not every:
            st.caption("Nothing.")
            return
        more = f", the strongest {_ROWS}" if len(every) > _ROWS else ""
        st.caption(f"Tick a row to go to that node{more}.")
        key = f"table {title}"
        st.dataframe(
            pd.DataFrame(
                {
                    "node": [str(near.node) for near in shown],
                    "weight": [near.weight for near in shown],
                    "by": [near.by for near in shown],
                    "in the circuit": [keeps(near.node) for near in shown],
                    "your label": [labels.of(near.node) for near in shown],
                }
            ),
            key=key,
            on_select=lambda: _go_to_row(key, shown),
            selection_mode="single-row",
            hide_index=True,
            width="stretch",
        )


def _go_to_row(key: str, shown: Sequence[Neighbour]) -> None:
    rows = st.session_state[key]["selection"]["rows"]
    if rows:
        go(shown[rows[0]].node)


def _nobody(node: Node, title: str) -> str:
    if title == "Out of it":
        if node.location == FINAL_RESID:
            return "The unembedding reads it: see its effect on the vocabulary."
        return "Nothing that the circuit keeps reads it."
    return "Nothing that the circuit keeps feeds it: embeddings, biases and means do."
