"""What is view on the circuit page as files, made when they are asked for."""

from collections.abc import Callable
from dataclasses import replace
from html import escape
from pathlib import Path

import streamlit as st
from streamlit.components import v2

from circuit_sparsity.circuits.recipe import Recipe
from circuit_sparsity.evidence.evidence import read_evidence
from circuit_sparsity.experiment.experiment import Effect, Experiment
from circuit_sparsity.experiment.labels import read_labels
from circuit_sparsity.experiment.views import read_views
from circuit_sparsity.export.document import Document, as_json, document, stored_document
from circuit_sparsity.export.investigation import Investigation, rises_of
from circuit_sparsity.export.program import Written, program
from circuit_sparsity.export.tables import edges_csv, graphml, nodes_csv
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.standalone import standalone_html
from circuit_sparsity.plots.words import what
from circuit_sparsity.store import Store
from circuit_sparsity.ui.circuit import graph, views
from circuit_sparsity.ui.shell import cached, messages, state
from circuit_sparsity.ui.shell.cached import LiveView, StoredView
from circuit_sparsity.ui.shell.pickers import Choice

_PICTURE = Path(__file__).with_name("picture.js").read_text(encoding="utf-8")
_BUTTONS = """<button type="button" data-format="png">PNG</button>
<button type="button" data-format="svg">SVG</button> <span role="status"></span>"""
_STYLE = """
button {font: inherit; padding: .4rem .9rem; cursor: pointer; color: var(--st-text-color);
  background: var(--st-background-color); border: 1px solid var(--st-border-color);
  border-radius: .5rem}
button:hover {border-color: var(--st-primary-color); color: var(--st-primary-color)}
button:focus-visible {outline: 2px solid var(--st-primary-color); outline-offset: 1px}
span {font-size: .875rem; color: var(--st-text-color)}
"""
Make = Callable[[Investigation], str]
Write = Callable[[Document], str]


FOR_OTHERS: tuple[tuple[str, str, str, Write], ...] = (
    ("JSON", "json", "application/json", as_json),
    ("Nodes, CSV", "nodes.csv", "text/csv", nodes_csv),
    ("Edges, CSV", "edges.csv", "text/csv", edges_csv),
    ("GraphML", "graphml", "application/xml", graphml),
)


def button(view: LiveView) -> None:
    """The button that opens the dialog; the reader's labels and recipe travel along."""
    if st.button("Export this circuit", key="take_away", icon=":material/download:"):
        _dialog(view)


@st.dialog("Export this circuit", width="large")
def _dialog(view: LiveView) -> None:
    with messages.in_place():
        found = _found(view)
        off = f"without {what(found.off)}" if found.off else "with nothing switched off"
        st.markdown(
            f"The circuit **{messages.plain(view.circuit.title)}**, {messages.plain(off)}. "
            "Files are made when you ask for them: large circuits take a while."
        )
        _whole(view, found)
        _program(view, found)
        _tables(view, found)
        _pictures(view, off)


def _found(view: LiveView) -> Investigation:
    """All but what each part costs alone, which takes longest."""
    recipe, store = state.recipe(), Store.from_environment()
    return Investigation(
        experiment=view.experiment,
        tokenizer=cached.tokenizer(view.choice.model),
        effect=_effect(view.experiment, recipe),
        held={step.name: step.level.in_words for step in recipe},
        recipe=recipe.to_dict(),
        labels=read_labels(store, view.circuit).to_dict(),
        views=read_views(store, view.circuit).queries,
        evidence=read_evidence(store, view.circuit),
        link=f"{st.context.url or ''}?{views.query_now()}",
    )


def _effect(experiment: Experiment, recipe: Recipe) -> Effect | None:
    return experiment.apply(recipe) if len(recipe) else None


def _whole(view: LiveView, found: Investigation) -> None:
    st.markdown("##### The whole investigation")
    colours = palette(st.context.theme.type)  # asked here: the file is made in another thread
    _download(
        "One offline page",
        "html",
        "text/html",
        view,
        found,
        lambda everything: standalone_html(everything, colours),
    )
    st.caption(
        "An HTML file of 5 MB that opens anywhere without a network: the graph to explore, "
        "what is switched off with the loss before and after, tables, evidence, labels."
    )


def _program(view: LiveView, found: Investigation) -> None:
    st.markdown("##### The circuit as a program")
    written = _written(found, cached.identity(view), tuple(sorted(found.labels.items())))
    st.download_button(
        "One Python file",
        written.text,
        name_of(view.choice, "py"),
        "text/x-python",
        key="take_python",
        icon=":material/code:",
        on_click="ignore",
    )
    st.caption(
        "Token ids in, the answers' logits out, with numpy alone and equal to this circuit to "
        f"1e-4. {messages.plain(written.in_words)}. It is the whole circuit: what you have "
        "switched off here still runs in it."
    )


@st.cache_data(max_entries=4, show_spinner="Writing the program …")
def _written(_found: Investigation, identity: int, labels: tuple) -> Written:
    return program(_found)


def _tables(view: LiveView, found: Investigation) -> None:
    st.markdown("##### For other tools")
    with st.container(horizontal=True):
        for label, ending, mime, write in FOR_OTHERS:
            _download(label, ending, mime, view, found, _of_document(write))
    st.caption(
        "JSON holds everything, labels, recipe and evidence too. GraphML opens in Gephi, "
        "Cytoscape, yEd and networkx. What each part costs alone is measured on "
        f"{messages.plain(view.experiment.batch_name)}."
    )


def _of_document(write: Write) -> Make:
    return lambda found: write(document(found))


_LEGEND = (
    "▲ reads the residual stream   ◆ query, key or value   ● MLP neuron   ■ writes   ★ final",
    "solid: positive weight   dashed: negative weight   thicker: stronger",
    "dotted: same residual channel   dash-dotted: same attention head",
)


def _pictures(view: LiveView, off: str) -> None:
    st.markdown("##### The graph as a picture")
    colours = palette(st.context.theme.type)
    v2.component("picture", html=_BUTTONS, css=_STYLE, js=_PICTURE)(
        key="picture",
        data={
            "chart": graph.CHART,
            "name": name_of(view.choice, "png").removesuffix(".png"),
            "background": colours.background,
            "text": colours.text,
            "title": escape(f"{view.circuit.title}, {off}", quote=False),
            "legend": _LEGEND,
        },
    )
    st.caption(
        "As shown now, including the zoom and what is switched off, with title, legend and scale."
    )


def _download(
    label: str, ending: str, mime: str, view: LiveView, found: Investigation, make: Make
) -> None:
    """The file is made in a thread of its own, at the click."""
    fill = state.fill()

    def data() -> str:
        experiment = found.experiment
        return make(
            replace(found, rises=rises_of(experiment, fill), rises_on=experiment.batch_name)
        )

    st.download_button(
        label,
        data,
        name_of(view.choice, ending),
        mime,
        key=f"take_{ending}",
        icon=":material/download:",
        on_click="ignore",
    )


def name_of(choice: Choice, ending: str) -> str:
    """What a file is called.

    >>> name_of(Choice("m", "t", "s", "k8"), "json")
    'm-t-s-k8.json'
    """
    return f"{'-'.join(choice)}.{ending}"


def stored_section(view: StoredView) -> None:
    """Buttons that each make a file at the click, of stored numbers and the reader's labels."""
    circuit = view.circuit
    choice = Choice(circuit.model, circuit.task, circuit.sweep, circuit.k)
    labels = read_labels(Store.from_environment(), circuit).to_dict()
    link = str(st.context.url or "")

    def made(write: Write) -> str:
        return write(stored_document(view.stored, view.wiring, labels, link))

    with st.expander("Export this circuit", icon=":material/download:"):
        with st.container(horizontal=True):
            for label, ending, mime, write in FOR_OTHERS:
                st.download_button(
                    label,
                    lambda write=write: made(write),
                    name_of(choice, ending),
                    mime,
                    key=f"take_stored_{ending}",
                    icon=":material/download:",
                    on_click="ignore",
                )
        st.caption(
            "Stored numbers, in nats per sequence, and your labels. A program or an offline page "
            "can be exported once the model is on this machine."
        )
