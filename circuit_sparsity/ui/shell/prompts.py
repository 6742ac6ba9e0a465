"""Parts of the prompt page: the text field, its tokens, and what each run expects next."""

from collections import Counter
from collections.abc import Sequence

import streamlit as st

from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.tokens import show_token, token_strip
from circuit_sparsity.tasks import TASKS
from circuit_sparsity.ui.shell import messages
from circuit_sparsity.ui.shell.address import write
from circuit_sparsity.ui.shell.fields import among

_FIELD, _SECOND = "prompt", "other"  # the widgets' keys and the address's parameters
_HOW, _ONE, _PAIR = "texts", "One text", "Minimal pair"
_CUT = "cut the prompt"
_EXAMPLES = 8  # pairs of a task, one after the other
_NUMBER, _GIVEN = "number of the example", "second text given"


def texts_field(experiment: Experiment, tokenizer: Tokenizer) -> tuple[str, ...]:
    """One text, or the two of a minimal pair; the address holds them."""
    meaning = "Two texts that differ in as little as possible show what the difference does."
    how = among("What to read", (_ONE, _PAIR), _HOW, meaning)
    if how != _PAIR:
        return (text_field(experiment, tokenizer),)
    examples = _examples(experiment, tokenizer, _number())
    left, right = st.columns(2)
    with left:
        first = field("First text", _FIELD, examples[0])
    with right:
        second = _second_field(examples[1] if first == examples[0] else first)
    st.button("Another example pair", on_click=_next_example, args=(experiment, tokenizer))
    return first, second


def _second_field(fitting: str) -> str:
    """The second text; one that was only given, and not written, follows the first text."""
    kept = st.session_state.get(_SECOND) or st.session_state.get(f"kept {_SECOND}")
    if kept is not None and kept == st.session_state.get(_GIVEN) != fitting:
        st.session_state[_SECOND] = st.session_state[f"kept {_SECOND}"] = fitting
    st.session_state[_GIVEN] = fitting
    return field("Second text", _SECOND, fitting)


def text_field(experiment: Experiment, tokenizer: Tokenizer) -> str:
    """The prompt, begun with one of the task's own; the address holds it."""
    examples = _examples(experiment, tokenizer, _number())
    text = field("Prompt", _FIELD, examples[0])
    other = examples[text == examples[0]]
    with st.container(horizontal=True):
        st.button("Another example", on_click=_next_example, args=(experiment, tokenizer))
        st.button("Its counterpart", on_click=_write, args=(other,))
    return text


def field(label: str, key: str, first: str) -> str:
    """A text area that the address follows as ``key``; it keeps its text on other pages.

    Not bound to the address: a run that is still going on would put the former text back there.
    """
    kept, drawn_on = f"kept {key}", f"page of {key}"
    page = st.session_state.get(messages.PAGE)
    # A field of the same key on the page before would hand over an empty text.
    if key not in st.session_state or st.session_state.get(drawn_on) != page:
        asked = st.session_state.get(kept) or st.query_params.get(key) or first
        st.session_state[key] = asked
    st.session_state[drawn_on] = page
    text = st.text_area(
        label,
        key=key,
        height=130,
        help="Spaces and line ends count: the answer is the token that comes right after the last "
        "character. Press Ctrl+Enter to run it.",
    )
    st.session_state[kept] = text
    write(key, text)
    return text


def fitting(
    tokens: Sequence[int], context: int, tokenizer: Tokenizer, key: str = ""
) -> Sequence[int] | None:
    """The tokens that are run: all, the last ones if the user says so, or None if there is no way.

    Shows them, whitespace made visible. ``key`` tells several texts of a page apart.
    """
    if not tokens:
        st.info("Type the beginning of a Python program.", icon=":material/edit:")
        return None
    too_many = len(tokens) - context
    if too_many > 0:
        st.warning(
            f"This prompt has {len(tokens)} tokens; the model reads at most {context}. Shorten it, "
            "or cut its beginning away:",
            icon=":material/content_cut:",
        )
        cut = st.checkbox(f"Cut it to its last {context} tokens", key=f"{_CUT}{key}")
    else:
        cut = False
    dropped = too_many if cut else 0
    st.caption(f"{len(tokens)} tokens" + (f", the first {dropped} cut away" if dropped else ""))
    shown = [tokenizer.token_bytes(token) for token in tokens]
    st.html(token_strip(shown, palette(st.context.theme.type), dropped))
    return tokens[dropped:] if cut or too_many <= 0 else None


def answer_pair(experiment: Experiment, tokenizer: Tokenizer) -> tuple[int, int]:
    """The task's two answer tokens; a choice where its prompts have several pairs."""
    batch = experiment.batch
    both = zip(batch.right.tolist(), batch.wrong.tolist(), strict=True)
    pairs = [pair for pair, _ in Counter(map(_ordered, both)).most_common(20)]
    if len(pairs) == 1:
        return pairs[0]
    return st.selectbox(
        "The two answers",
        pairs,
        format_func=lambda pair: " or ".join(show_token(tokenizer.token_bytes(t)) for t in pair),
        help="The task's prompts have different answers; the most frequent pair comes first.",
    )


def _ordered(pair: tuple[int, int]) -> tuple[int, int]:
    return (min(pair), max(pair))


def _number() -> int:
    return st.session_state.get(_NUMBER, 0)


def _next_example(experiment: Experiment, tokenizer: Tokenizer) -> None:
    """The next pair into the fields, from a callback; the first one where it is not there yet."""
    examples = _examples(experiment, tokenizer, _number())
    if st.session_state.get(_FIELD) in examples:
        st.session_state[_NUMBER] = _number() + 1
        examples = _examples(experiment, tokenizer, _number())
    _write(*examples)


def _examples(experiment: Experiment, tokenizer: Tokenizer, number: int) -> tuple[str, str]:
    """A prompt and its counterpart: new ones of a task that is known, else the file's own."""
    task = experiment.circuit.task
    if task in TASKS:
        pair = TASKS[task].pairs("validation", _EXAMPLES)[number % _EXAMPLES]
        return pair.positive.text, pair.negative.text
    batch = experiment.batch
    rows = (number % batch.n_pairs, number % batch.n_pairs + batch.n_pairs)
    texts = [tokenizer.decode(batch.tokens[i, : int(batch.last[i]) + 1].tolist()) for i in rows]
    return texts[0], texts[1]


def _write(*texts: str) -> None:
    for key, text in zip((_FIELD, _SECOND), texts, strict=False):
        st.session_state[key] = st.session_state[f"kept {key}"] = text
