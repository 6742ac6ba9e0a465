"""Parts of the page of attention: a head, what to see of it, model beside circuit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.core.names import Node
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.nodes.head import Head, run_head
from circuit_sparsity.plots.attention import head_figure
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.tokens import show_token
from circuit_sparsity.runtime.ablation import mean_fill
from circuit_sparsity.ui.node import texts
from circuit_sparsity.ui.shell import state
from circuit_sparsity.ui.shell.address import bound
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.fields import pair_field
from circuit_sparsity.ui.shell.messages import plain

PATTERN, SCORE, VALUE = "Pattern", "Score of a channel", "Value of a channel"
_MEANS = {
    PATTERN: "How much of its attention each query gives to each key; a row sums to 1, the sink "
    "counted. The sink is a slot that every query sees and that adds nothing.",
    SCORE: "What one channel adds to the scores before the softmax: query times key, divided by "
    "the square root of the head's width. Summed over the head's channels it is the whole score.",
    VALUE: "What each key brings to one channel of the head's output: attention times value. A "
    "row's sum is the output at that query.",
}
_HEAD, _SHOW, _CHANNEL = "head", "show", "channel"


@dataclass(frozen=True)
class HeadChoice:
    """What the reader chose to see."""

    layer: int
    head: int
    show: str
    channel: int  # of the head


def head_field(view: LiveView) -> HeadChoice:
    """The head, the quantity and the channel; the address holds them."""
    circuit, config = view.circuit, view.config
    heads = _heads(circuit, config)
    _begin(view, heads)
    one, two, three = st.columns([0.3, 0.45, 0.25], vertical_alignment="bottom")
    name = one.selectbox(
        "Head",
        list(heads),
        **bound(_HEAD, next(iter(heads))),
        help="Heads with a channel in the circuit come first.",
    )
    show = two.segmented_control("Show", (PATTERN, SCORE, VALUE), required=True, **bound(_SHOW))
    layer, head = heads[name or next(iter(heads))]
    kept = _kept(circuit, config, layer, head, "v" if show == VALUE else "qk")
    options = [*map(str, kept), *(str(c) for c in range(config.d_head) if c not in kept)]
    if st.session_state.get(_CHANNEL) not in options:
        st.session_state[_CHANNEL] = options[0]
    channel = three.selectbox(
        "Channel of the head",
        options,
        **bound(_CHANNEL, options[0]),
        disabled=show == PATTERN,
        help="Channels that the circuit keeps come first.",
    )
    st.caption(_MEANS[show or PATTERN])
    nodes = [
        f"{kind} {', '.join(map(str, of))}" for kind, of in _by_kind(circuit, config, layer, head)
    ]
    st.caption(f"Channels of this head in the circuit: {'; '.join(nodes) or 'nothing'}.")
    return HeadChoice(layer, head, show or PATTERN, int(channel or options[0]))


def side_by_side(
    experiment: Experiment, choice: HeadChoice, tokens: Sequence[int], tokenizer: Tokenizer
) -> None:
    """The model's head and the circuit's, live, on one scale."""
    fill = mean_fill(experiment.alive, experiment.means)
    heads = {
        "Whole model": run_head(experiment.model, tokens, choice.layer, choice.head),
        "Circuit alone": run_head(experiment.model, tokens, choice.layer, choice.head, fill),
    }
    seen = {name: _cells(head, choice) for name, head in heads.items()}
    largest = max(float(cells.nan_to_num().abs().max()) for cells in seen.values())
    if choice.show == PATTERN:
        largest = 1.0
    shown = [tokenizer.token_bytes(token) for token in tokens]
    for column, (name, head) in zip(st.columns(2), heads.items(), strict=True):
        sink = head.sink if choice.show == PATTERN else None
        with column:
            st.markdown(f"##### {name}, live")
            st.plotly_chart(
                head_figure(
                    shown,
                    seen[name],
                    sink,
                    palette(st.context.theme.type),
                    largest or 1.0,
                    choice.show != PATTERN,
                    "weight" if choice.show == PATTERN else "adds",
                ),
                key=f"attention_{name}".replace(" ", "_"),
                config={"displaylogo": False},
                alt=f"{choice.show} of layer {choice.layer}, head {choice.head}: {name}",
            )
            st.caption(_last_row(seen[name], sink, shown))  # below: the two pictures are level
    _numbers(heads, seen, choice, shown)


def _cells(head: Head, choice: HeadChoice) -> Float[Tensor, "pos pos"]:
    if choice.show == PATTERN:
        return head.pattern
    return head.score_of(choice.channel) if choice.show == SCORE else head.value_of(choice.channel)


def _last_row(
    cells: Float[Tensor, "pos pos"], sink: Float[Tensor, " pos"] | None, shown: Sequence[bytes]
) -> str:
    """What the last token's row holds, in words."""
    best = cells[-1].abs().topk(min(3, len(shown))).indices.tolist()
    parts = [f"{i + 1} {plain(show_token(shown[i]))} {float(cells[-1, i]):.3f}" for i in best]
    if sink is not None:
        parts.insert(0, f"sink {float(sink[-1]):.3f}")
    return f"From the last token: {', '.join(parts)}"


def _numbers(
    heads: Mapping[str, Head],
    seen: Mapping[str, Float[Tensor, "pos pos"]],
    choice: HeadChoice,
    shown: Sequence[bytes],
) -> None:
    names = [f"{i} {show_token(token)}" for i, token in enumerate(shown, start=1)]
    with st.expander("As numbers", icon=":material/table:"):
        for name, head in heads.items():
            frame = pd.DataFrame(seen[name].cpu().numpy(), index=names, columns=names)
            if choice.show == PATTERN and head.sink is not None:
                frame.insert(0, "sink", head.sink.cpu().numpy())
            st.caption(f"{name}: a row is a query, a column a key")
            st.dataframe(frame)


def _heads(circuit: Circuit, config: GPTConfig) -> dict[str, tuple[int, int]]:
    every = [(layer, head) for layer in range(config.n_layer) for head in range(config.n_head)]
    kept = {
        _of(node, config) for node in circuit.node_list if node.location.kind in ("q", "k", "v")
    }
    every.sort(key=lambda place: (place not in kept, place))
    return {f"layer {layer}, head {head}": (layer, head) for layer, head in every}


def _of(node: Node, config: GPTConfig) -> tuple[int, int]:
    assert node.location.layer is not None
    return node.location.layer, node.channel // config.d_head


def _by_kind(
    circuit: Circuit, config: GPTConfig, layer: int, head: int
) -> list[tuple[str, list[int]]]:
    names = {"q": "query channels", "k": "key channels", "v": "value channels"}
    found = [(names[kind], _kept(circuit, config, layer, head, kind)) for kind in "qkv"]
    return [(name, channels) for name, channels in found if channels]


def _kept(circuit: Circuit, config: GPTConfig, layer: int, head: int, kinds: str) -> list[int]:
    """Channels of the head that the circuit keeps as one of these kinds."""
    return sorted(
        {
            node.channel % config.d_head
            for node in circuit.node_list
            if node.location.kind in kinds and _of(node, config) == (layer, head)
        }
    )


def _begin(view: LiveView, heads: Mapping[str, tuple[int, int]]) -> None:
    """What the page opens with: the address's choice, else the last picked q, k or v node."""
    asked = st.session_state.get(_HEAD, st.query_params.get(_HEAD))
    in_view = state.node_in_view(view)
    picked = [in_view] if in_view is not None and in_view.location.kind in ("q", "k", "v") else []
    if asked not in heads:
        wanted = _of(picked[-1], view.config) if picked else next(iter(heads.values()))
        name = next(name for name, place in heads.items() if place == wanted)
        st.query_params[_HEAD] = st.session_state[_HEAD] = name
    if st.session_state.get(_SHOW, st.query_params.get(_SHOW)) not in (PATTERN, SCORE, VALUE):
        st.query_params[_SHOW] = st.session_state[_SHOW] = PATTERN
    if _CHANNEL not in st.session_state:
        asked = st.query_params.get(_CHANNEL)
        known = picked and asked is None
        st.session_state[_CHANNEL] = (
            str(picked[-1].channel % view.config.d_head) if known else asked
        )


_OF_HEAD = "of_head"


def head(view: LiveView, node: Node, tokenizer: Tokenizer) -> None:
    """The attention of the node's head, model beside circuit, the sink included."""
    width, layer = view.config.d_head, node.location.layer
    assert layer is not None, f"{node} is not in a head"
    number, channel = divmod(node.channel, width)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        show = st.segmented_control(
            f"Of head {number} in layer {layer}",
            (PATTERN, VALUE if node.location.kind == "v" else SCORE),
            default=PATTERN,
            required=True,
            key=_OF_HEAD,
        )
        source = texts.source_field((texts.PAIRS, texts.OWN))
        ids = _prompt(view) if source == texts.PAIRS else None
    if source == texts.OWN:
        ids = texts.own_tokens(view, tokenizer)
    if ids is not None:
        choice = HeadChoice(layer, number, show or PATTERN, channel)
        side_by_side(view.experiment, choice, ids, tokenizer)


def _prompt(view: LiveView) -> list[int]:
    """One of the two prompts of a pair."""
    pair = pair_field(view.experiment.batch.n_pairs, texts.PAIR)
    both = texts.pair_tokens(view, pair)
    which = st.segmented_control(
        "Prompt", ("Class 1", "Class 2"), default="Class 1", required=True, key="class"
    )
    return both[which == "Class 2"]
