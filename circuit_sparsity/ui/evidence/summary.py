"""The head of the evidence page: a verdict in one sentence, and the four numbers it rests on."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from circuit_sparsity.evidence.evidence import SOME, Control, Evidence
from circuit_sparsity.tasks.task import CHANCE_LOSS
from circuit_sparsity.ui.shell.messages import plain


@dataclass(frozen=True)
class Number:
    """One of the four: its name, its value, and what it says, for somebody new to all this."""

    name: str
    value: str
    meaning: str


def section(evidence: Evidence) -> None:
    """The verdict, its four numbers, and every reason against it."""
    words = verdict(evidence)
    show = st.error if evidence.troubles else st.success if words[0] else st.warning
    icon = "report" if evidence.troubles else "check" if words[0] else "help"
    show(words[1], icon=f":material/{icon}:")
    for column, one in zip(st.columns(4, border=True), numbers(evidence), strict=True):
        column.metric(one.name, one.value)
        column.caption(one.meaning)
    for trouble in evidence.troubles:
        st.error(plain(f"{_capital(trouble)}."), icon=":material/report:")
    for caution in evidence.cautions:
        st.warning(plain(f"{_capital(caution)}."), icon=":material/exclamation:")


def verdict(evidence: Evidence) -> tuple[bool, str]:
    """Whether every check that was run speaks for the circuit, and that in a sentence."""
    against = len(evidence.troubles)
    if against:
        checks = "one check speaks" if against == 1 else f"{against} checks speak"
        return False, f"**Not convincing:** {checks} against this circuit, listed below."
    if evidence.sufficiency >= CHANCE_LOSS - SOME:
        return False, "**No circuit for the task:** alone it answers no better than a guess."
    if not (controls := _controls(evidence)):
        return False, (
            "**Undecided:** nothing speaks against this circuit, but there is no control to "
            "compare it with, and a low loss alone proves nothing."
        )
    names = "; ".join(control.name for control in controls)
    return True, (
        "**It holds up:** these nodes do the task alone, the model needs them, and no control "
        f"looks as good as the circuit ({plain(names)})."
    )


def numbers(evidence: Evidence) -> tuple[Number, ...]:
    """Loss with these nodes alone, without them, agreement with the model, the best control."""
    best = min(_controls(evidence), key=lambda one: min(one.losses), default=None)
    return (
        Number(
            "Loss with these nodes alone",
            f"{evidence.sufficiency:.3f}",
            f"Only these {evidence.nodes:,} nodes run. The lower the better: the whole model has "
            f"{evidence.model_loss:.3f}, a coin flip {CHANCE_LOSS:.3f}.",
        ),
        Number(
            "Loss without these nodes",
            f"{evidence.necessity:.3f}",
            "Everything else runs, and these are held at their means. High means that the model "
            "needs them.",
        ),
        Number(
            "Same answer as the model",
            f"{evidence.exact_match:.0%}",
            "Share of prompts on which the circuit and the whole model prefer the same of the two "
            "answers. A coin flip gets 50%.",
        ),
        Number(
            "Loss of the best control",
            "not run" if best is None else f"{min(best.losses):.3f}",
            "No circuit of the same size that should mean nothing has been found to compare with."
            if best is None
            else f"The best circuit of the same size that should mean nothing ({plain(best.name)})."
            f" It should be much higher than this circuit's {best.circuit_loss:.3f}.",
        ),
    )


def _controls(evidence: Evidence) -> Sequence[Control]:
    """Those that say something: a search that found nothing is no comparison."""
    return [control for control in evidence.controls if control.failed is None]


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
