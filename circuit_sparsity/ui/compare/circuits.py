"""Two circuits side by side: which is B, what they share, and how well each does."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd
import streamlit as st

from circuit_sparsity.circuits.comparison import MEMBERSHIPS, Comparison, ends
from circuit_sparsity.core.checkpoint import read_config
from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.experiment.experiment import Experiment, Outcome
from circuit_sparsity.experiment.sizes import read_sized
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.compare import compare_figure
from circuit_sparsity.plots.graph import Figure
from circuit_sparsity.plots.words import place_in_words
from circuit_sparsity.store import Row, Store, paths
from circuit_sparsity.tasks.task import CHANCE_LOSS
from circuit_sparsity.ui.shell import cached, fetching, names, pickers
from circuit_sparsity.ui.shell.address import write
from circuit_sparsity.ui.shell.cached import Stamp, StoredView
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.pickers import PARTS, SECOND, Choice
from circuit_sparsity.ui.shell.shared import shared

_OVERLAP = (
    "Jaccard overlap: what both have, divided by what either has. 1 is the same circuit, 0 "
    "nothing in "
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
    other = _second_field(choice)
    if other is None:
        return
    a, b = cached.stored(choice), cached.stored(other)
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
        on_click=swap,
        args=(choice, other),
    )
    _losses(choice, other)
    _tables(found, a, b)


@shared()
def _comparison(_a: StoredView, _b: StoredView, of_a: int, of_b: int) -> Comparison:
    return Comparison(_a.wiring, _b.wiring)


@shared()
def _figure(
    _found: Comparison, _a: StoredView, _b: StoredView, of_a: int, of_b: int, theme: str | None
) -> Figure:
    names = (_a.circuit.title, _b.circuit.title)
    return compare_figure(_found, _a.config, palette(theme), names)


def _numbers(found: Comparison, a: StoredView, b: StoredView) -> None:
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
    a, b = cached.live(choice).experiment, cached.live(other).experiment
    ids = cached.identity(cached.live(choice)), cached.identity(cached.live(other))
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
    for name, experiment in runs.items():
        row: dict[str, object] = {"what": name}
        for words, of in prompts.items():
            row |= _cells(words, replace(experiment, batch=of.batch).of_circuit)
        rows.append(row)
    models = {experiment.circuit.model: experiment for experiment in (_b, _a)}
    for name, experiment in reversed(models.items()):
        row = {"what": f"whole model {name}"}
        for words, of in prompts.items():
            row |= _cells(words, replace(experiment, batch=of.batch).of_model)
        rows.append(row)
    return pd.DataFrame(rows)


def _cells(words: str, outcome: Outcome) -> dict[str, float]:
    return {
        f"loss on {words}": round(outcome.loss, 4),
        f"p(right) on {words}": round(outcome.p_right, 4),
    }


def _tables(found: Comparison, a: StoredView, b: StoredView) -> None:
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


_KEPT = "compared with"
_LABELS = {
    "model": "Model of B",
    "task": "Task of B",
    "sweep": "B was found by",
    "k": "Circuit B",
}


def _second_field(choice: Choice) -> Choice | None:
    """The circuit that the pickers say; None, with a word, when there is no other one here."""
    rows = _comparable(choice)
    if not rows:
        st.info(
            "**No other circuit of a model of this shape is on this machine.** The library "
            "downloads more; the Prune page finds another one in this model.",
            icon=":material/info:",
        )
        return None
    _trouble(rows)
    wanted = _default(choice, rows)
    picked: list[str] = []
    for part, column in zip(PARTS, st.columns([0.2, 0.34, 0.18, 0.28]), strict=True):
        with column:
            options = list(dict.fromkeys(getattr(row, part) for row in rows))
            called = names.different(options, pickers.called(part, rows))
            value = _picker(part, options, wanted, called)
        picked.append(value)
        rows = [row for row in rows if getattr(row, part) == value]
    st.session_state[_KEPT] = found = Choice(*picked)
    return found


def swap(choice: Choice, with_: Choice) -> None:
    """B in the sidebar and A in the pickers, from a callback."""
    pickers.go_to(with_)
    pickers.compare_with(choice)


def _picker(part: str, options: Sequence[str], wanted: Choice, called: Mapping[str, str]) -> str:
    key = SECOND[part]
    asked = st.session_state.get(key, st.query_params.get(key))
    if asked not in options:
        fitting = getattr(wanted, part)
        asked = fitting if fitting in options else options[0]
    if st.session_state.get(key) != asked:
        st.session_state[key] = asked
    # Not bound to the address, which would then hold what it is called on the screen.
    chosen = st.selectbox(_LABELS[part], options, key=key, format_func=called.__getitem__)
    write(key, chosen)
    return chosen


def _trouble(rows: Sequence[Row]) -> None:
    """Say what a link asks for and nobody can compare with."""
    asked = [st.query_params.get(key) for key in SECOND.values()]
    fresh = not any(key in st.session_state for key in SECOND.values())
    known = {(row.model, row.task, row.sweep, row.k) for row in rows}
    if fresh and all(asked) and tuple(asked) not in known:
        st.warning(
            f"The link compares with {plain(' · '.join(map(str, asked)))}, which is not on this "
            "machine or has another shape; another circuit is shown instead.",
            icon=":material/link_off:",
        )


def _default(choice: Choice, rows: Sequence[Row]) -> Choice:
    """The last choice while it fits; else as much like A as there is."""
    kept = st.session_state.get(_KEPT)
    if kept is not None and any(_choice(row) == kept for row in rows):
        return kept
    alike = sorted(map(_choice, rows), key=lambda one: _alike(choice, one), reverse=True)
    return next(filter(_does_the_task, alike), alike[0])


def _does_the_task(choice: Choice) -> bool:
    """Whether its file can be read and its loss there is below that of a guess."""
    try:
        return read_sized(Store.from_environment(), *choice).loss < CHANCE_LOSS
    except (ValueError, OSError):
        return False


def _alike(one: Choice, other: Choice) -> tuple[bool, bool, bool]:
    return one.task == other.task, one.model == other.model, one.sweep == other.sweep


def _choice(row: Row) -> Choice:
    return Choice(row.model, row.task, row.sweep, row.k)


def _comparable(choice: Choice) -> list[Row]:
    """Circuits here, but for A itself, whose model has A's shape."""
    rows = [row for row in Store.from_environment().rows() if row.where != "remote"]
    shape = _shape(cached.stored(choice).config)
    others = [row for row in rows if _choice(row) != choice]
    alike = {name for name in {row.model for row in others} if _config_shape(name, rows) == shape}
    return [row for row in others if row.model in alike]


def _config_shape(model: str, rows: Sequence[Row]) -> tuple[object, ...] | None:
    """From the model's own file, or where it is not here from its first circuit; None: damaged."""
    try:
        folder = Store.from_environment().path_of_model(model)
        if folder is not None:
            return _shape(_config(model, cached.stamp(folder / paths.CONFIG)))
        first = next(row for row in rows if row.model == model)
        return _shape(cached.stored(_choice(first)).config)
    except (ValueError, OSError):
        return None


@st.cache_resource(max_entries=64, show_spinner=False)
def _config(model: str, version: Stamp) -> GPTConfig:
    folder = Store.from_environment().path_of_model(model)
    assert folder is not None, f"{model} was here a moment ago"
    return read_config(folder / paths.CONFIG)


def _shape(config: GPTConfig) -> tuple[object, ...]:
    """What gives nodes their names: two models of one shape have the same nodes."""
    return (
        config.n_layer,
        config.d_model,
        config.d_mlp,
        config.n_head,
        config.d_head,
        config.d_pos_emb or 0,
    )
