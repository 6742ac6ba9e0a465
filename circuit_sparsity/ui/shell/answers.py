"""The two tokens that answer a released circuit's prompts: the ones found, or the reader's own.

The files do not say them. What the reader chooses is kept for the session, by circuit, and stands
in the address.
"""

import streamlit as st

from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.experiment.opening import answer_token, open_tokenizer
from circuit_sparsity.store import Store
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.pickers import Choice

ANSWERS = "answers"  # the address's parameter: two values
_KEPT, _TROUBLE = "chosen answers", "trouble with answers"
_FIELDS = ("answer to class 1", "answer to class 2")
_HELP = (
    "Prompts come in two halves, class 1 and class 2, and each has one right answer. Give the text "
    "of one token (\\n for a line end), or a token id."
)


def chosen(choice: Choice) -> tuple[str, str] | None:
    """What the reader chose for this circuit, in this session or by the address that began it."""
    if _KEPT not in st.session_state:
        st.session_state[_KEPT] = {}
        asked = st.query_params.get_all(ANSWERS)
        if asked:
            _choose(choice, asked)
    return st.session_state[_KEPT].get(choice)


def field(choice: Choice, experiment: Experiment) -> None:
    """Which answers are used and where they are from, and fields for others."""
    if experiment.circuit.found.is_ours:
        return  # found here, on a task whose answers are known
    own = chosen(choice)
    if st.query_params.get_all(ANSWERS) != list(own or ()):
        st.query_params[ANSWERS] = list(own or ())
    trouble = st.session_state.get(_TROUBLE)
    with st.expander("The two answers", expanded=bool(trouble), icon=":material/rule:"):
        st.caption(f"In use: {plain(experiment.batch_name)}.")
        with st.form("answers", border=False):
            for key, column in zip(_FIELDS, st.columns(2), strict=True):
                column.text_input(f"Right {key}", key=key, help=_HELP)
            st.form_submit_button("Use these", on_click=_submit, args=(choice,))
        if own:
            st.button("Back to the original answers", on_click=_forget, args=(choice,))
        if trouble:
            st.error(plain(trouble), icon=":material/error:")


def _submit(choice: Choice) -> None:
    _choose(choice, [st.session_state[key] for key in _FIELDS])


def _choose(choice: Choice, asked: list[str]) -> None:
    """Keep the answers if they are two tokens; else what is wrong with them."""
    st.session_state.pop(_TROUBLE, None)
    try:
        if len(asked) != 2:
            raise ValueError(f"{len(asked)} answers were given; expected two, one for each class")
        tokenizer = open_tokenizer(Store.from_environment(), choice.model)
        first, second = (answer_token(text, tokenizer) for text in asked)
        if first == second:
            raise ValueError(f"both answers are the token {first}; expected two different ones")
    except ValueError as error:
        st.session_state[_TROUBLE] = str(error)
    else:
        st.session_state[_KEPT] |= {choice: (asked[0], asked[1])}


def _forget(choice: Choice) -> None:
    st.session_state.pop(_TROUBLE, None)
    st.session_state[_KEPT].pop(choice, None)
