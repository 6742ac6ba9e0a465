"""k as a film: circuits of all sizes in one layout, nodes that enter and leave, the loss beside."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import streamlit as st
from streamlit.components import v2

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.wiring import wiring
from circuit_sparsity.experiment.opening import open_stored, task_of
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.curves import Axis, Line, line_figure
from circuit_sparsity.plots.film import MOST_FRAMES, Film, Frame, film_figure
from circuit_sparsity.plots.graph import Figure
from circuit_sparsity.plots.layout import lay_out
from circuit_sparsity.pruning.ranking import NESTED, read_nested
from circuit_sparsity.pruning.request import open_cut
from circuit_sparsity.store import Store
from circuit_sparsity.tasks.task import CHANCE_LOSS
from circuit_sparsity.ui.shell import cached, pickers
from circuit_sparsity.ui.shell.address import bound, write
from circuit_sparsity.ui.shell.cached import LiveView, Stamp
from circuit_sparsity.ui.shell.fields import among
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.pickers import Choice
from circuit_sparsity.ui.shell.shared import shared

VIEW, CIRCUIT, FILM = "view", "one circuit", "film over k"  # a widget's key and its options
AT, _FROM = "film", "film_from"  # parameters of the address
_CHART, _CURVE, _PLAYER = "film_graph", "film_curve", "film_player"
_SWEEP, _RANKING = "the circuits of this sweep", "every size of this circuit's ranking"
_WIDTHS = {"k": 84, "nodes": 44, "loss, nats": 66, "enter": 42, "leave": 42}  # pixels
_MOST_NODES = 1024  # of a frame
_HERE = Path(__file__).parent
_HTML, _CSS, _JS = (
    (_HERE / f"film.{end}").read_text(encoding="utf-8") for end in ("html", "css", "js")
)


def wanted() -> bool:
    """Draw the choice between one circuit and the film; whether it is the film."""
    view = st.segmented_control(
        "View",
        [CIRCUIT, FILM],
        **bound(VIEW, CIRCUIT),
        default=None if VIEW in st.session_state else CIRCUIT,
        required=True,
        label_visibility="collapsed",
    )
    return view == FILM


@st.fragment
def page(view: LiveView) -> None:
    """Player, graph and curve; says what is missing where there are no two sizes."""
    source = _source(view)
    if source is None:
        st.info(
            "**There is only one size here.** A film needs a sweep with circuits of several sizes, "
            "or a circuit whose pruning stored its ranking (a pruning here does).",
            icon=":material/movie:",
        )
        return
    made = (source, _stamps(view.choice))
    film = _film(view, *made)
    at = _at(film)
    left, right = st.columns([0.66, 0.34], gap="medium")
    with left:
        _player(film, at)
        figure = _figure(film, made, st.context.theme.type, view)
        st.plotly_chart(figure, key=_CHART, config={"displaylogo": False}, alt=_alt(film))
        st.caption(
            "All sizes share one layout: faint nodes are not kept at this k, and a ring marks "
            "those that enter."
        )
    with right:
        _curve(film, at, source)
        _open(view, film, at, source)
        st.dataframe(
            {
                "k": [frame.name for frame in film.frames],
                "nodes": [frame.circuit.size for frame in film.frames],
                "loss, nats": [frame.loss for frame in film.frames],
                "enter": [film.entering(i) for i in range(len(film.frames))],
                "leave": [film.leaving(i) for i in range(len(film.frames))],
            },
            hide_index=True,
            column_config={name: st.column_config.Column(width=w) for name, w in _WIDTHS.items()},
        )


def _source(view: LiveView) -> str | None:
    known = [_SWEEP] if len(_sweep(view.choice)) > 1 else []
    known += [_RANKING] if _ranking_file(view.choice).is_file() else []
    if not known:
        return None
    return among("Take sizes from", known, _FROM)


def _sweep(choice: Choice) -> list[Choice]:
    rows = (row for row in Store.from_environment().rows() if row.where != "remote")
    return [
        Choice(row.model, row.task, row.sweep, row.k)
        for row in rows
        if (row.model, row.task, row.sweep) == choice[:3]
    ]


def _ranking_file(choice: Choice) -> Path:
    path = Store.from_environment().path_of_viz(*choice)
    return Path() if path is None else path.parent / NESTED


def _stamps(choice: Choice) -> tuple[Stamp, ...]:
    store = Store.from_environment()
    files = [store.path_of_viz(*one) for one in _sweep(choice)]
    return (*map(cached.stamp, files), cached.stamp(_ranking_file(choice)))


@shared("Laying out all sizes together …")
def _film(_view: LiveView, source: str, stamps: tuple[Stamp, ...]) -> Film:
    made = _of_sweep(_view.choice) if source == _SWEEP else _of_ranking(_view)
    small = [frame for frame in made if frame.circuit.size <= _MOST_NODES]
    frames = tuple(sorted(small, key=lambda frame: frame.circuit.size)[:MOST_FRAMES])
    union = _union(frames, _view.circuit)
    wired = wiring(union, _view.experiment.model)
    joins = [(edge.source, edge.target) for edge in wired.edges]
    return Film(frames, wired, lay_out(wired.nodes, joins, _view.config.d_head))


def _of_sweep(choice: Choice) -> list[Frame]:
    store = Store.from_environment()
    found = [open_stored(store, *one) for one in _sweep(choice)]
    return [Frame(one.circuit.k, one.circuit, one.circuit_loss) for one in found]


def _of_ranking(view: LiveView) -> list[Frame]:
    store = Store.from_environment()
    cut = open_cut(store, view.circuit, task_of(store, view.circuit))
    nested = read_nested(_ranking_file(view.choice).parent)
    assert cut is not None, "the ranking's file is there"
    assert nested is not None, "the ranking's file is there"
    frames = []
    for k, loss in nested.curve:
        if 0 < k <= _MOST_NODES:
            kept = cut.subject.layout.nodes(cut.exactly(k))
            frames.append(Frame(str(k), replace(view.circuit, nodes=kept, k=str(k)), loss))
    return frames


def _union(frames: Sequence[Frame], like: Circuit) -> Circuit:
    nodes = {
        place: tuple(sorted({c for frame in frames for c in frame.circuit.nodes.get(place, ())}))
        for place in like.nodes
    }
    return replace(like, nodes=nodes, k="all sizes")


def _at(film: Film) -> int:
    """The frame that is shown: the last one that was asked for, by its name."""
    names = [frame.name for frame in film.frames]
    asked = st.query_params.get(AT)
    return names.index(asked) if asked in names else 0


def _go(film: Film, at: int) -> None:
    write(AT, film.frames[at].name)


@shared()
def _figure(
    _film: Film, made: tuple[str, tuple[Stamp, ...]], theme: str | None, _view: LiveView
) -> Figure:
    """The film of these sources, as their files are now."""
    return film_figure(_film, _view.config, palette(theme))


def _player(film: Film, at: int) -> None:
    names = [f"k = {frame.name}" for frame in film.frames]
    v2.component("film_player", html=_HTML, css=_CSS, js=_JS)(
        key=_PLAYER,
        data={"chart": _CHART, "curve": _CURVE, "names": names, "at": at},
        on_at_change=lambda: _go(film, int(st.session_state[_PLAYER].at)),
        height="content",
    )


def _curve(film: Film, at: int, source: str) -> None:
    sizes = [frame.circuit.size for frame in film.frames]
    losses = [frame.loss for frame in film.frames]
    names = [frame.name for frame in film.frames]
    lines = [
        Line("stored loss", sizes, losses, names),
        Line("shown", sizes[:1], losses[:1], names[:1]),  # the player moves it
    ]
    st.plotly_chart(
        line_figure(
            lines,
            Axis("nodes kept", log=True),
            Axis("loss, nats per sequence"),
            palette(st.context.theme.type),
            {"chance": CHANCE_LOSS},
            height=300,
            clickable=True,
        ),
        key=_CURVE,
        on_select=lambda: _clicked(film),
        selection_mode="points",
        config={"displaylogo": False},
        alt="Loss over the number of nodes; the table below has the same numbers",
    )
    chosen_on = "on the prompts used to choose the size"
    on = "on the prompts in each file" if source == _SWEEP else chosen_on
    st.caption(f"Stored, {on}; everything else mean-ablated. **Click a point** to go to that k.")


def _clicked(film: Film) -> None:
    points = st.session_state[_CURVE]["selection"]["points"]
    names = [frame.name for frame in film.frames]
    if points and str(points[0].get("customdata")) in names:
        _go(film, names.index(str(points[0]["customdata"])))


def _open(view: LiveView, film: Film, at: int, source: str) -> None:
    frame = film.frames[at]
    if source == _RANKING:
        st.caption("On the Prune page you can keep the circuit of any size.")
        return
    if st.button(
        f"Open {plain(frame.name)} and ablate its nodes",
        icon=":material/hub:",
        on_click=_leave,
        args=(Choice(*view.choice[:3], frame.name),),
    ):
        st.rerun()  # the sidebar too


def _leave(choice: Choice) -> None:
    st.session_state[VIEW] = CIRCUIT
    pickers.go_to(choice)


def _alt(film: Film) -> str:
    return f"Circuits of {len(film.frames)} sizes in one layout; the table has their numbers"
