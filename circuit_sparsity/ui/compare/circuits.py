"""Two circuits side by side: what they share, how well each answers the other's prompts."""

from dataclasses import replace

import pandas as pd
import streamlit as st

from circuit_sparsity.circuits.comparison import MEMBERSHIPS, Comparison, ends
from circuit_sparsity.experiment.experiment import Experiment, Outcome
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.compare import compare_figure
from circuit_sparsity.plots.graph import Figure
from circuit_sparsity.plots.words import place_in_words
from circuit_sparsity.store import Store
from circuit_sparsity.ui.circuit import stored
from circuit_sparsity.ui.circuit.stored import StoredScene
from circuit_sparsity.ui.compare import pickers as compare_pickers
from circuit_sparsity.ui.shell import cached, fetching
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.pickers import Choice

_OVERLAP = (
    "Jaccard overlap: what both have over what either has. 1 is the same circuit, 0 nothing in "
    "common."
)
_RISE = "rise without it in {}, nats (stored)"


def two_circuits(choice: Choice) -> None:
    """A from the sidebar, B from the pickers; graph, numbers and tables."""
    st.subheader("Two circuits")
    st.markdown(
        "**A** is the sidebar's circuit. Choose **B**: another k, sweep or task, or a model of "
        "the same shape."
    )
    other = compare_pickers.other(choice)
    if other is None:
        return
    a, b = stored.scene(choice), stored.scene(other)
    found = _comparison(a, b, cached.identity(a), cached.identity(b))
    _numbers(found, a, b)
    st.plotly_chart(
        _figure(found, a, b, cached.identity(a), cached.identity(b), st.context.theme.type),
        key="compare_graph",
        config={"displaylogo": False, "modeBarButtonsToRemove": ["autoScale2d"]},
        alt="Graph of both circuits; the tables below have the same nodes and edges",
    )
    st.caption(
        "Full marks and solid lines are in both, hollow marks and dashed lines only in A, hollow "
        "marks with a dot and dotted lines only in B. Click the legend to hide one kind. Thin "
        "dotted lines join the same residual channel."
    )
    st.button(
        "Swap A and B",
        icon=":material/swap_horiz:",
        on_click=compare_pickers.swap,
        args=(choice, other),
    )
    _losses(choice, other)
    _tables(found, a, b)


@st.cache_resource(max_entries=16, show_spinner=False)
def _comparison(_a: StoredScene, _b: StoredScene, of_a: int, of_b: int) -> Comparison:
    return Comparison(_a.wiring, _b.wiring)


@st.cache_resource(max_entries=16, show_spinner=False)
def _figure(
    _found: Comparison, _a: StoredScene, _b: StoredScene, of_a: int, of_b: int, theme: str | None
) -> Figure:
    names = (_a.circuit.title, _b.circuit.title)
    return compare_figure(_found, _a.config, palette(theme), names)


def _numbers(found: Comparison, a: StoredScene, b: StoredScene) -> None:
    with st.container(horizontal=True):
        for name, kinds, of, overlap in (
            ("Nodes", found.nodes, (a.wiring.nodes, b.wiring.nodes), found.node_overlap),
            ("Edges", found.edges, (a.wiring.edges, b.wiring.edges), found.edge_overlap),
        ):
            st.metric(
                f"{name} in both",
                f"{len(kinds('both')):,}",
                f"A {len(of[0]):,} · B {len(of[1]):,}",
                delta_color="off",
                delta_arrow="off",
                width="content",
            )
            st.metric(
                f"Overlap of {name.lower()}", f"{overlap:.2f}", help=_OVERLAP, width="content"
            )


def _losses(choice: Choice, other: Choice) -> None:
    """Each circuit and model on the prompts of A and of B, run now."""
    st.markdown("##### On the same prompts")
    store = Store.from_environment()
    absent = [m for m in {choice.model, other.model} if fetching.missing_to_run(store, m)]
    if absent:
        st.caption(
            f"Not run: {plain(' and '.join(absent))} is not on this machine. Stored losses are on "
            "each file's own prompts: see the Curves page."
        )
        return
    if cached.tokenizer(choice.model).fingerprint != cached.tokenizer(other.model).fingerprint:
        st.caption("Not run: the two models have different tokenizers, so no prompt is the same.")
        return
    a, b = cached.scene(choice).experiment, cached.scene(other).experiment
    ids = cached.identity(cached.scene(choice)), cached.identity(cached.scene(other))
    st.dataframe(_outcomes(a, b, *ids), hide_index=True, width="stretch")
    st.caption(
        f"Circuit A: {plain(a.circuit.title)}. Circuit B: {plain(b.circuit.title)}. "
        f"Live. Prompts of A: {plain(a.batch_name)}. Prompts of B: {plain(b.batch_name)}. "
        "Loss in nats per sequence, cross-entropy over the two answers; chance is 0.6931."
    )


@st.cache_data(max_entries=16, show_spinner="Running both circuits …")
def _outcomes(_a: Experiment, _b: Experiment, of_a: int, of_b: int) -> pd.DataFrame:
    same = _a.batch.tokens.equal(_b.batch.tokens) and _a.batch.right.equal(_b.batch.right)
    prompts = {"the same prompts": _a} if same else {"prompts of A": _a, "prompts of B": _b}
    runs = {"circuit A": _a, "circuit B": _b}
    rows = []
    for name, it in runs.items():
        row: dict[str, object] = {"what": name}
        for words, of in prompts.items():
            row |= _cells(words, replace(it, batch=of.batch).of_circuit)
        rows.append(row)
    models = {it.circuit.model: it for it in (_b, _a)}
    for name, it in reversed(models.items()):
        row = {"what": f"whole model {name}"}
        for words, of in prompts.items():
            row |= _cells(words, replace(it, batch=of.batch).of_model)
        rows.append(row)
    return pd.DataFrame(rows)


def _cells(words: str, outcome: Outcome) -> dict[str, float]:
    return {
        f"loss on {words}": round(outcome.loss, 4),
        f"p(right) on {words}": round(outcome.p_right, 4),
    }


def _tables(found: Comparison, a: StoredScene, b: StoredScene) -> None:
    union = found.union
    with st.expander(f"All {len(union.nodes)} nodes of either", icon=":material/table:"):
        st.dataframe(
            pd.DataFrame(
                {
                    "node": str(node),
                    "what it is": place_in_words(node, a.config),
                    "in": found.membership[node],
                    _RISE.format("A"): a.deltas.get(node),
                    _RISE.format("B"): b.deltas.get(node),
                }
                for node in union.nodes
            ),
            hide_index=True,
            width="stretch",
        )
        st.caption(_in_words(found))
    with st.expander(f"All {len(union.edges)} edges of either", icon=":material/table:"):
        weights = [{ends(e): e.weight for e in wired.edges} for wired in (found.a, found.b)]
        st.dataframe(
            pd.DataFrame(
                {
                    "source": str(edge.source),
                    "target": str(edge.target),
                    "in": found.membership[ends(edge)],
                    "weight in A": weights[0].get(ends(edge)),
                    "weight in B": weights[1].get(ends(edge)),
                }
                for edge in union.edges
            ),
            hide_index=True,
            width="stretch",
        )


def _in_words(found: Comparison) -> str:
    return ", ".join(f"{side}: {len(found.nodes(side))}" for side in MEMBERSHIPS) + "."
