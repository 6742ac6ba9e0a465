"""The paper's claims beside what was measured here: a page of its own."""

import pandas as pd
import streamlit as st

from circuit_sparsity.evidence.claims.summary import (
    attribution_against_learned,
    dense_against_sparse,
    frontier,
)
from circuit_sparsity.evidence.claims.values import Claims, read_claims
from circuit_sparsity.evidence.claims.words import caution, command, rows
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.curves import edges_figure, frontier_figure
from circuit_sparsity.store import Store
from circuit_sparsity.ui.shell.messages import plain

_HOW = "python -m circuit_sparsity claims --model MODEL --dense DENSE"


def section() -> None:
    """Every claim with the paper's number, ours, and the command that measures it again.

    Raises ValueError for a damaged file.
    """
    claims = read_claims(Store.from_environment())
    if claims is None:
        st.info(
            "**Nothing has been measured yet.** Claims are measured on whatever circuits "
            "with rankings, "
            f"cards and evidence are on this machine:\n\n`{_HOW}`",
            icon=":material/balance:",
        )
        return
    st.table(_frame(claims).set_index("claim"))
    st.caption(
        f"Stored. The paper: Gao et al. 2025, arXiv 2511.13653. Edges are geometric means over "
        f"tasks; losses of tasks in nats per sequence (chance 0.693). Measure again with "
        f"`{command(claims)}`."
    )
    for words in caution(claims):
        st.caption(plain(words))
    _figures(claims)
    _missing(claims)


def _frame(claims: Claims) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "claim": said.claim,
            "the paper": said.paper,
            "here": said.here,
            "measured on": said.on,
        }
        for said in rows(claims)
    )


def _figures(claims: Claims) -> None:
    colours = palette(st.context.theme.type)
    config = {"displaylogo": False}
    dense, scored = dense_against_sparse(claims), attribution_against_learned(claims)
    if dense:
        st.markdown(f"**Edges at equal loss**: {plain(claims.dense or '')} against "
                    f"{plain(claims.sparse)}")  # fmt: skip
        names = (f"{claims.dense}, dense", claims.sparse)
        figure = edges_figure(dense, names, colours, with_paper=True)
        st.plotly_chart(figure, key="claims_dense", config=config)
    if scored:
        st.markdown(f"**Learned masks against attribution** on {plain(claims.sparse)}")
        figure = edges_figure(scored, ("attribution", "learned masks"), colours, with_paper=False)
        st.plotly_chart(figure, key="claims_attribution", config=config)
    points = frontier(claims)
    if len(points) > 1:
        st.markdown("**Frontier**: held-out loss on generated programs and edges, model by model")
        st.plotly_chart(frontier_figure(points, colours), key="claims_frontier", config=config)


def _missing(claims: Claims) -> None:
    if not claims.missing:
        return
    with st.expander(f"What is missing ({len(claims.missing)})", icon=":material/rule:"):
        frame = pd.DataFrame(
            {"what": one.what, "why": one.why, "how to get it": one.command}
            for one in claims.missing
        )
        st.dataframe(frame, hide_index=True)
