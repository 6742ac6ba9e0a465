"""The sweeps of one model and task: loss against nodes and against edges."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.curves import Axis, Line, line_figure
from circuit_sparsity.tasks.task import CHANCE_LOSS
from circuit_sparsity.ui.circuit.stored import StoredScene
from circuit_sparsity.ui.compare.curves import circuits_here
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.pickers import Choice

_LOSS = Axis("task loss, nats per sequence", log=True)


def sweeps(choice: Choice) -> None:
    """Every circuit here of the sidebar's model and task, one line a sweep."""
    st.subheader("Sweeps of this model and task")
    st.markdown(
        f"Which search found the better circuits of **{plain(choice.model)}** for "
        f"**{plain(choice.task)}**? Lower and further left is better."
    )
    scenes = circuits_here(choice)
    by_sweep: dict[str, list[StoredScene]] = {}
    for scene in scenes:
        by_sweep.setdefault(scene.circuit.sweep, []).append(scene)
    columns = st.columns(2, gap="medium")
    for what, column in zip(("nodes", "edges"), columns, strict=True):
        lines = [_line(sweep, of, what) for sweep, of in by_sweep.items()]
        figure = line_figure(
            lines,
            Axis(f"{what} kept", log=all(x > 0 for line in lines for x in line.x)),
            _LOSS,
            palette(st.context.theme.type),
            {"chance": CHANCE_LOSS, "whole model": scenes[0].stored.model_loss} if scenes else {},
        )
        column.plotly_chart(figure, key=f"sweeps_{what}", config={"displaylogo": False})
    st.caption(
        "Stored: each circuit on the prompts of its own file, everything else mean-ablated. "
        "Circuits found here are all measured on the same test split."
    )
    with st.expander("As numbers", icon=":material/table:"):
        st.dataframe(pd.DataFrame(map(_row, scenes)), hide_index=True, width="stretch")


def size_of(scene: StoredScene, what: str) -> int:
    """Its nodes or its edges."""
    return scene.circuit.size if what == "nodes" else len(scene.stored.edges)


def _line(sweep: str, scenes: Sequence[StoredScene], what: str) -> Line:
    ordered = sorted(scenes, key=lambda scene: size_of(scene, what))
    return Line(
        sweep,
        [size_of(scene, what) for scene in ordered],
        [scene.stored.circuit_loss for scene in ordered],
        [f"{sweep} · {scene.circuit.k}" for scene in ordered],
    )


def _row(scene: StoredScene) -> dict[str, object]:
    return {
        "sweep": scene.circuit.sweep,
        "k": scene.circuit.k,
        "nodes": size_of(scene, "nodes"),
        "edges": size_of(scene, "edges"),
        "stored loss, nats": scene.stored.circuit_loss,
    }
