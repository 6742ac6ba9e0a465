"""A pair of prompts as tokens, what they differ in marked, with the right and the wrong answer."""

from collections.abc import Sequence
from html import escape

from circuit_sparsity.plots.colours import Palette
from circuit_sparsity.plots.tokens import join_partial, visible, visible_bytes
from circuit_sparsity.tasks.difference import differing
from circuit_sparsity.tasks.task import Pair
from circuit_sparsity.tokenizer import Tokenizer


def pair_html(pair: Pair, tokenizer: Tokenizer, palette: Palette) -> str:
    """Two strips of tokens, one a prompt; each ends with its two answers."""
    prompts = (pair.positive, pair.negative)
    texts = [_pieces(prompt.text, tokenizer) for prompt in prompts]
    strips = []
    for prompt, pieces, places in zip(prompts, texts, differing(*texts), strict=True):
        boxes = "".join(_box(text, i in places, palette) for i, text in enumerate(pieces))
        answers = (
            f'<span style="color:{palette.positive};font-weight:600">right '
            f"{escape(visible(prompt.right))}</span> &nbsp; "
            f'<span style="color:{palette.faint}">wrong {escape(visible(prompt.wrong))}</span>'
        )
        strips.append(
            '<div style="display:flex;flex-wrap:wrap;gap:2px;font-family:monospace;'
            f'font-size:.85rem;line-height:1.5;margin-bottom:.2rem">{boxes}</div>'
            f'<div style="font-family:monospace;font-size:.85rem;margin-bottom:.8rem">{answers}'
            "</div>"
        )
    return f'<div style="color:{palette.text}">{"".join(strips)}</div>'


def _pieces(text: str, tokenizer: Tokenizer) -> Sequence[str]:
    tokens = [tokenizer.token_bytes(token) for token in tokenizer.encode(text)]
    return [visible_bytes(data) for _, data in join_partial(tokens)]


def _box(text: str, is_different: bool, palette: Palette) -> str:
    look = f"outline:2px solid {palette.attention};font-weight:700" if is_different else ""
    title = "differs from the other prompt" if is_different else "the same in both prompts"
    return (
        f'<span title="{title}" style="background:{palette.band};padding:0 3px;border-radius:3px;'
        f'white-space:pre-wrap;overflow-wrap:anywhere;{look}">{escape(text)}</span>'
    )
