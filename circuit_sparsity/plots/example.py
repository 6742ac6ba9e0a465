"""One example prompt beside a graph: its tokens, and the two answers with their probabilities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from circuit_sparsity.plots.colours import Palette, shade
from circuit_sparsity.plots.tokens import show_token


@dataclass(frozen=True)
class Answers:
    """The two answers of a prompt as text, and the first one's probability in each run."""

    right: str
    wrong: str
    of_runs: Mapping[str, float]  # by the run's name, 0 to 1 against the other one
    is_right: bool = True  # False of a text whose right answer nobody has said


def answers_html(answers: Answers, palette: Palette) -> str:
    """A bar for each run: how much of it is the right answer, how much the wrong one."""
    bars = "".join(
        f'<span style="{_ITEM}"><span>{escape(name)}</span>'
        f'<span role="img" aria-label="{escape(f"{name}: {p:.0%} for {answers.right}")}" '
        f'style="display:inline-block;width:4.5rem;height:.7rem;border:1px solid {palette.faint};'
        f'background:linear-gradient(to right,{palette.text} {p:.1%},transparent {p:.1%})"></span>'
        f"<b>{p:.0%}</b></span>"
        for name, p in answers.of_runs.items()
    )
    return (
        f'<div class="circuit-answers" style="{_ROW};color:{palette.text}">'
        f"<span>Next: <code>{escape(answers.right)}</code> or "
        f"<code>{escape(answers.wrong)}</code>? {'Right is' if answers.is_right else 'Chance of'} "
        f"<code>{escape(answers.right)}</code>:"
        f"</span>{bars}</div>"
    )


def prompt_html(
    tokens: Sequence[bytes],
    activations: Sequence[float] | None,
    largest: float,
    palette: Palette,
) -> str:
    """The tokens in a row, each on the colour of a node's activation on it where one is given."""
    boxes = []
    for i, token in enumerate(tokens):
        value = None if activations is None else activations[i]
        ground = "transparent" if value is None else shade(palette, value, largest or 1.0)
        title = "" if value is None else f' title="{escape(show_token(token))}: {value:.3f}"'
        boxes.append(
            f'<span{title} style="background:{ground};border-bottom:1px solid {palette.faint};'
            f'padding:0 .12rem">{escape(show_token(token))}</span>'
        )
    return (
        f'<div class="circuit-prompt" dir="ltr" tabindex="0" aria-label="The example prompt" '
        f'style="{_ROW};gap:.1rem;font-family:monospace;color:{palette.text}">'
        f"{''.join(boxes)}</div>"
    )


_ROW = (
    "display:flex;gap:.2rem 1rem;align-items:center;white-space:pre;overflow-x:auto;"
    "font-size:.82rem;min-height:1.5rem"
)
_ITEM = "display:inline-flex;align-items:center;gap:.35rem;white-space:nowrap"
