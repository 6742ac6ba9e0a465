"""The tour's steps: a sentence or two, the graph, and one thing to do that is computed at once."""

from collections.abc import Callable

import pandas as pd
import streamlit as st

from circuit_sparsity.circuits.circuit import total_nodes
from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.experiment import Outcome
from circuit_sparsity.explained.tour import Reading, costliest, finding, telling, writers_of
from circuit_sparsity.nodes.vocabulary import matrix, strongest
from circuit_sparsity.plots.attention import look_figure, votes_figure
from circuit_sparsity.plots.colours import Palette, palette
from circuit_sparsity.plots.tokens import show_token
from circuit_sparsity.plots.words import signed, what
from circuit_sparsity.ui.shell import attacks, cached
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.costs import LOSS_HELP
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.shared import shared
from circuit_sparsity.ui.tour import tour
from circuit_sparsity.ui.tour.tour import Measured, Shown, prompt

_RIGHT = 0.42  # of the page's width, for words and numbers; the graph has the rest
_OPPOSITE, _READ, _CHANNEL, _OFF = "tour_opposite", "tour_read", "tour_channel", "tour_off"
_TELLS, _FINDS = "tell which mark it is", "find a mark of either kind"
_TOKENS = 8


def question(view: LiveView, found: Measured) -> None:
    """The prompt, and how model and circuit answer it."""
    words, picture = st.columns([_RIGHT, 1 - _RIGHT], gap="medium")
    with words:
        st.markdown(
            "A string was opened some tokens ago. **Which mark closes it?** Two prompts of a pair "
            "differ in one token only, the framed one, so nothing else can tell."
        )
        one = prompt(view, found)
        answers = [("Whole model", found.few.of_model)]
        answers.append(("Circuit alone", found.few.of_circuit))
        with st.container(horizontal=True):
            for name, outcome in answers:
                _answer(name, outcome, one)
        st.caption("Probability of the right answer against the other one; 50% is chance.")
    with picture:
        tour.graph(view, ())


def kept(view: LiveView, found: Measured) -> None:
    """How little of the model runs, and what that costs."""
    experiment = view.experiment
    words, picture = st.columns([_RIGHT, 1 - _RIGHT], gap="medium")
    with words:
        st.markdown(
            f"Only **{view.circuit.size:,} of {total_nodes(view.config):,} nodes** run, joined by "
            f"**{len(view.wiring.edges):,} weights**. Every other node is held at its mean over "
            "ordinary text, whatever the prompt says."
        )
        runs = {
            "Whole model": experiment.of_model,
            "Circuit": experiment.of_circuit,
            "Empty circuit": experiment.of_nothing,
        }
        if st.toggle("Now the opposite: all but these nodes run", key=_OPPOSITE):
            runs["All but these"] = experiment.of_complement
        with st.container(horizontal=True):
            for name, outcome in runs.items():
                _loss(name, outcome)
        st.caption(
            "Task loss in nats per sequence, lower is better; 0.693 is a coin flip. If the "
            "opposite "
            "cannot do it, the model needs these nodes."
        )
    with picture:
        tour.graph(view, view.wiring.nodes)


def reading(view: LiveView, found: Measured) -> None:
    """Which nodes see the opening mark."""
    words, picture = st.columns([_RIGHT, 1 - _RIGHT], gap="medium")
    with words:
        st.markdown(
            "Some nodes look at the token itself. A few **tell which mark it is**, others **find "
            "it** among all the other tokens: both are needed."
        )
        which = st.segmented_control(
            "Show the nodes that", [_TELLS, _FINDS], key=_READ, default=_TELLS, required=True
        )
        seen = telling(found.readings) if which == _TELLS else finding(found.readings)
        one = prompt(view, found, compact=True)
        st.dataframe(_readings(seen, which == _FINDS, one), hide_index=True, width="stretch")
        st.caption(
            f"Mean activation over {len(found.few.batch)} prompts, in the circuit, on either "
            "mark and on everything else. The gap, in standard deviations (sd) of the node over "
            "all tokens, is how selective it is."
        )
    with picture:
        tour.graph(view, [each.node for each in seen])


def moving(view: LiveView, found: Measured) -> None:
    """How a head brings it to the end."""
    words, picture = st.columns([_RIGHT, 1 - _RIGHT], gap="medium")
    look = found.looks[0] if found.looks else None
    with words:
        if look is None:
            st.info("No attention head of this circuit has a value channel: nothing is moved.")
        else:
            st.markdown(
                f"The answer is due at the last token, the mark was earlier. **Head {look.head} of "
                f"layer {look.layer}** looks back: **{look.share:.0%}** of its attention, on "
                f"average over {len(found.few.batch)} prompts, is on the mark, and brings what "
                "stands there to the end."
            )
            one = prompt(view, found)
            end = len(one.tokens)
            sink = None if look.sink is None else float(look.sink[one.row])
            st.plotly_chart(
                look_figure(
                    one.tokens, look.weights[one.row, :end].tolist(), sink, one.mark, _palette()
                ),
                key="tour_look",
                config={"displayModeBar": False},
            )
            st.caption(
                "From the last token of this prompt; the sink is attention spent on nothing."
            )
    with picture:
        tour.graph(view, look.nodes if look else ())


def writing(view: LiveView, found: Measured) -> None:
    """What it writes, and which answer that is a vote for."""
    words, picture = st.columns([_RIGHT, 1 - _RIGHT], gap="medium")
    channels = found.writings
    with words:
        if not channels:
            st.info("This circuit keeps no final channel: it cannot move the answer.")
        else:
            up, down = _answers(view)
            st.markdown(
                "What arrives is written to a few channels of the residual stream, and the "
                f"unembedding turns each into a **vote**: upwards for {plain(up)}, downwards for "
                f"{plain(down)}."
            )
            st.plotly_chart(
                votes_figure(
                    [str(one.node.channel) for one in channels],
                    {
                        f"prompts that want {up}": [one.positive for one in channels],
                        f"prompts that want {down}": [one.negative for one in channels],
                    },
                    (up, down),
                    _palette(),
                ),
                key="tour_votes",
                config={"displayModeBar": False},
            )
            st.caption(f"Means over {len(found.few.batch)} prompts.")
            _unembeds(view, found)
    with picture:
        tour.graph(view, writers_of(view.experiment, channels))


def breaking(view: LiveView, found: Measured) -> None:
    """Switch off what matters most, one after the other, with undo."""
    experiment = view.experiment
    words, picture = st.columns([_RIGHT, 1 - _RIGHT], gap="medium")
    ranked = _ranked(view, cached.identity(view))
    off = ranked[: st.session_state.get(_OFF, 0)]
    left = ranked[len(off) :]
    with words:
        st.markdown(
            "If this is how it works, it must break where we say. **Switch off the node that costs "
            "most** (it is then held at its mean, too) and see."
        )
        with st.container(horizontal=True):
            st.button(
                f"Switch off `{left[0]}`" if left else "All are off",
                key="tour off",
                type="primary",
                icon=":material/power_settings_new:",
                disabled=not left,
                on_click=_switch,
                args=(len(off) + 1,),
            )
            st.button(
                "Undo",
                key="tour undo",
                icon=":material/undo:",
                disabled=not off,
                on_click=_switch,
                args=(len(off) - 1,),
            )
        effect = experiment.ablate(off)
        with st.container(horizontal=True):
            _loss("Circuit", effect.before)
            if off:
                _loss(f"Without {what(off)}", effect.after, signed(effect.delta, 4))
        st.caption(
            "Task loss, nats per sequence; 0.693 is a coin flip. The change is relative "
            "to the number on the left."
        )
    with picture:
        tour.graph(view, left[:1], off)


def attacking(view: LiveView, found: Measured) -> None:
    """What the mechanism cannot see."""
    look = found.looks[0] if found.looks else None
    st.markdown(
        "A search for quotation marks can find the wrong one: **put the other mark inside the "
        "string**. Does the model fall for it? And does its circuit, or is something else at "
        "work there?"
    )
    attacks.section(view)
    with st.expander("Where in the circuit", icon=":material/hub:"):
        tour.graph(view, look.nodes if look else ())


STEPS: tuple[tuple[str, Callable[[LiveView, Measured], None]], ...] = (
    ("The question", question),
    ("What is kept", kept),
    ("Who sees the opening mark", reading),
    ("How it gets to the end", moving),
    ("What is written there", writing),
    ("Break it", breaking),
    ("The attack", attacking),
)


def _palette() -> Palette:
    return palette(st.context.theme.type)


def _answer(name: str, outcome: Outcome, one: Shown) -> None:
    p = float((-outcome.losses[one.row]).exp())
    st.metric(
        name,
        f"{one.right}  {p:.1%}",
        plain(f"against {one.wrong}  {1 - p:.1%}"),
        delta_color="off",
        delta_arrow="off",
        width="content",
    )


def _loss(name: str, outcome: Outcome, change: str | None = None) -> None:
    st.metric(
        name,
        f"{outcome.loss:.4f}",
        change or f"p(right) {outcome.p_right:.3f}",
        delta_color="off",
        delta_arrow="off",
        width="content",
        help=LOSS_HELP,
    )


def _readings(seen: tuple[Reading, ...], any_mark: bool, one: Shown) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "node": [str(each.node) for each in seen],
            f"on {one.positive_mark}": [round(each.positive, 3) for each in seen],
            f"on {one.negative_mark}": [round(each.negative, 3) for each in seen],
            "else": [round(each.other_tokens, 3) for each in seen],
            "gap, sd": [round(each.finds if any_mark else each.tells, 2) for each in seen],
        }
    )


def _answers(view: LiveView) -> tuple[str, str]:
    batch, tokenizer = view.experiment.batch, cached.tokenizer(view.choice.model)
    pair = int(batch.right[0]), int(batch.wrong[0])
    first, second = (show_token(tokenizer.token_bytes(token)) for token in pair)
    return first, second


def _unembeds(view: LiveView, found: Measured) -> None:
    """The tokens that a channel raises or lowers most."""
    names = {str(one.node): one.node.channel for one in found.writings}
    name = st.selectbox(
        "What else does a channel vote for?",
        list(names),
        key=_CHANNEL if st.session_state.get(_CHANNEL) in (None, *names) else None,
    )
    tokenizer = cached.tokenizer(view.choice.model)
    weights = matrix(view.experiment.model, "unembedding")[:, names[name]]
    rows = strongest(weights, _TOKENS)
    st.dataframe(
        pd.DataFrame(
            {
                "token": [show_token(tokenizer.token_bytes(token)) for token, _ in rows],
                "logit per unit of the channel": [round(weight, 3) for _, weight in rows],
            }
        ),
        hide_index=True,
        width="stretch",
        height=180,
    )


@shared("Switching off one after the other …")
def _ranked(_view: LiveView, identity: int) -> tuple[Node, ...]:
    experiment = _view.experiment
    return costliest(experiment.ablate_each(experiment.circuit.node_list))


def _switch(count: int) -> None:
    st.session_state[_OFF] = count
