"""The tour's frame: its circuit, where one is in it, the prompt and the graph of each step."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import streamlit as st

from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.explained.tour import (
    Look,
    Reading,
    Writing,
    looks,
    mark_places,
    readings,
    writings,
)
from circuit_sparsity.plots.activations import activation_strip
from circuit_sparsity.plots.coloured_graph import marked_figure
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.graph import Figure
from circuit_sparsity.plots.tokens import show_token
from circuit_sparsity.store import Store
from circuit_sparsity.ui.shell import cached, messages, pickers
from circuit_sparsity.ui.shell.address import bound
from circuit_sparsity.ui.shell.cached import CircuitView, LiveView
from circuit_sparsity.ui.shell.fields import among
from circuit_sparsity.ui.shell.pickers import Choice
from circuit_sparsity.ui.shell.shared import shared

STEP = "step"  # key and parameter of the address
_KEPT, _OF = "kept step", "tour_of"
_PAIRS = 32  # of prompts: enough for means, and quick
_NEXT = (
    ("circuit", "Explore this circuit", ":material/hub:"),
    ("prompt", "Try a text of your own", ":material/edit_note:"),
    ("evidence", "Is it real?", ":material/fact_check:"),
)
_OWN, _CHOSEN = "the tour's", "the sidebar's"


@dataclass(frozen=True, eq=False)
class Measured:
    """What the steps point at, and the few prompts on which that was measured."""

    few: Experiment
    marks: tuple[int, ...]  # of each prompt: the index of the token that decides
    readings: tuple[Reading, ...]
    looks: tuple[Look, ...]
    writings: tuple[Writing, ...]


def circuit() -> Choice | None:
    """The circuit to explain: the tour's own, or the sidebar's of the same task; None for none."""
    store, chosen = Store.from_environment(), pickers.chosen()
    here = store.path_of_viz(*pickers.TOUR) is not None
    own = pickers.TOUR if here else None
    task = pickers.TOUR.task
    if chosen is None or chosen == own or chosen.task.removesuffix("_beeg") != task:
        return own
    if own is None:
        return chosen
    meaning = "The tour works on any circuit for closing strings whose prompts come in pairs."
    found = chosen if among("Circuit", (_OWN, _CHOSEN), _OF, meaning) == _CHOSEN else own
    st.caption(messages.plain(" · ".join(found)))
    return found


def nothing_here() -> None:
    """The page where the tour's circuit is not."""
    st.info(
        f"The tour explains {messages.plain(' · '.join(pickers.TOUR))}, which ships with the "
        "explorer and is not on this machine. Choose another circuit of "
        f"{messages.plain(pickers.TOUR.task)} in the sidebar, or fetch one in the library.",
        icon=":material/info:",
    )
    messages.library_link()


def what_next(choice: Choice) -> None:
    """After the last step: the circuit to explore, one's own text, and how real it is."""
    st.markdown("##### That was the tour. What next?")
    with st.container(horizontal=True):
        for page, label, icon in _NEXT:
            if st.button(label, icon=icon, on_click=pickers.go_to, args=(choice,)):
                # Without parameters of its own it would refuse: other pages' are bound to widgets.
                st.switch_page(f"pages/{page}.py", query_params={})


def position(titles: list[str]) -> int:
    """The step one is at, from 0; the address holds it, counted from 1."""
    names = [str(i) for i in range(1, len(titles) + 1)]
    if STEP not in st.session_state:
        asked = st.query_params.get(STEP) or st.session_state.get(_KEPT)
        if asked is not None and asked not in names:
            st.warning(
                f"The link asks for step “{messages.plain(asked)}”; the tour has steps 1 to "
                f"{len(titles)}, and this is the first.",
                icon=":material/link_off:",
            )
        at = asked if asked in names else names[0]
        st.query_params[STEP] = st.session_state[STEP] = at
    with st.container(horizontal=True, vertical_alignment="bottom"):
        now = names.index(st.session_state[STEP])
        _move("Back", ":material/arrow_back:", now - 1, now == 0)
        _move("Next", ":material/arrow_forward:", now + 1, now == len(titles) - 1)
        st.segmented_control(
            "Step",
            names,
            required=True,
            **bound(STEP),
            label_visibility="collapsed",
            width="content",
        )
    st.session_state[_KEPT] = st.session_state[STEP]
    return now


def _move(label: str, icon: str, to: int, end: bool) -> None:
    st.button(
        label,
        key=f"tour {label}",
        icon=icon,
        icon_position="left" if label == "Back" else "right",
        type="primary" if label == "Next" else "secondary",
        disabled=end,
        on_click=_go,
        args=(str(to + 1),),
    )


def _go(step: str) -> None:
    st.session_state[STEP] = step


def measured(view: LiveView) -> Measured:
    """Everything the steps point at, measured once a circuit. Raises what `mark_places` does."""
    return _measured(view, cached.identity(view))


@shared("Running the prompts …")
def _measured(_view: LiveView, identity: int) -> Measured:
    whole = _view.experiment
    experiment = replace(whole, batch=whole.batch.select(range(min(_PAIRS, whole.batch.n_pairs))))
    marks = tuple(mark_places(experiment.batch).tolist())
    return Measured(
        experiment, marks, readings(experiment), looks(experiment), writings(experiment)
    )


def graph(view: LiveView, marked: Collection[Node], off: Collection[Node] = ()) -> None:
    """The circuit with the nodes of this step pointed at."""
    look = tuple(marked), tuple(off), st.context.theme.type
    st.plotly_chart(
        _figure(view, cached.identity(view), *look),
        key="tour_graph",
        config={"displayModeBar": False},
        alt=f"Graph of {view.circuit.title}; marked: {', '.join(map(str, marked)) or 'none'}",
    )
    meaning = "Full and large: the nodes of this step" if marked else "Hollow: a kept node"
    st.caption(
        f"{meaning}{'; in pink: switched off' if off else ''}. Lines: weights, orange positive, "
        "blue and dashed negative; dotted and dash-dotted: residual stream and attention. Read it "
        "upwards; hover for names."
    )


@shared()
def _figure(
    _view: CircuitView,
    identity: int,
    marked: tuple[Node, ...],
    off: tuple[Node, ...],
    theme: str | None,
) -> Figure:
    return marked_figure(_view.wiring, _view.layout, _view.config, marked, off, palette(theme))


_PAIR, _OTHER = "tour_pair", "tour_other"
_STRIDE = 5  # prompts that follow each other are of one structure after the other


@dataclass(frozen=True)
class Shown:
    """The prompt on screen, as people read it."""

    row: int
    tokens: tuple[bytes, ...]
    mark: int
    right: str
    wrong: str
    positive_mark: str
    negative_mark: str


def prompt(view: LiveView, found: Measured, compact: bool = False) -> Shown:
    """The tokens with the mark framed, and buttons for another pair and for the other side.

    ``compact`` only says which prompt it would be.
    """
    pairs = found.few.batch.n_pairs
    pair = st.session_state.get(_PAIR, _clearest(found)) % pairs
    other = bool(st.session_state.get(_OTHER, False))
    one = _shown(view, found, pair, pair + pairs * other)
    if compact:
        return one
    levels = [0.0] * len(one.tokens)
    st.html(activation_strip(one.tokens, levels, palette(st.context.theme.type), 1.0, one.mark))
    with st.container(horizontal=True):
        st.button(
            "The other mark",
            key="tour other",
            icon=":material/swap_horiz:",
            on_click=_set,
            args=(_OTHER, not other),
        )
        st.button(
            "Another prompt",
            key="tour another",
            icon=":material/casino:",
            on_click=_set,
            args=(_PAIR, (pair + _STRIDE) % pairs),
        )
    return one


def _clearest(found: Measured) -> int:
    """The pair that the circuit is surest of: the one to begin with."""
    losses, pairs = found.few.of_circuit.losses, found.few.batch.n_pairs
    return int((losses[:pairs] + losses[pairs:]).argmin())


def _shown(view: LiveView, found: Measured, pair: int, row: int) -> Shown:
    batch, tokenizer = found.few.batch, cached.tokenizer(view.choice.model)

    def text(token: int) -> str:
        return show_token(tokenizer.token_bytes(token))

    ids = batch.tokens[row, : int(batch.last[row]) + 1].tolist()
    marks = (int(batch.tokens[i, found.marks[i]]) for i in (pair, pair + batch.n_pairs))
    positive, negative = map(text, marks)
    return Shown(
        row,
        tuple(map(tokenizer.token_bytes, ids)),
        found.marks[row],
        text(int(batch.right[row])),
        text(int(batch.wrong[row])),
        positive,
        negative,
    )


def _set(key: str, value: int | bool) -> None:
    st.session_state[key] = value
