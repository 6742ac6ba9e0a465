"""Tokens as people can read them: whitespace visible, partial UTF-8 joined, HTML escaped."""

import unicodedata
from collections.abc import Iterable, Sequence
from html import escape

from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.plots.colours import Palette
from circuit_sparsity.tasks.task import Pair, differing

_VISIBLE = {" ": "·", "\n": "↵", "\t": "⇥", "\r": "␍"}
# Invisible, or able to change the order of what stands around them.
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs")


def visible(text: str) -> str:
    r"""``text`` with every character visible; not escaped for HTML.

    >>> visible("if x:\n\treturn ")
    'if·x:↵⇥return·'
    >>> visible("a\u202eb\x00")
    'a\\u202eb\\x00'
    """
    return "".join(_visible(letter) for letter in text)


def _visible(letter: str) -> str:
    if letter in _VISIBLE:
        return _VISIBLE[letter]
    if unicodedata.category(letter) in _HIDDEN:
        return letter.encode("unicode_escape").decode("ascii") if ord(letter) != 0xA0 else "\\xa0"
    return letter


def show_token(token: bytes) -> str:
    r"""One token alone; bytes that are no whole character are written as ``\x..``.

    >>> show_token(b" x"), show_token(b"\xe2\x82")
    ('·x', '\\xe2\\x82')
    """
    return visible_bytes(token)


def visible_bytes(data: bytes) -> str:
    return visible(data.decode("utf-8", errors="backslashreplace"))


def join_partial(tokens: Sequence[bytes]) -> list[tuple[int, bytes]]:
    r"""Tokens as (index of the first, bytes), those that only together are text merged.

    >>> join_partial([b"a", b"\xe2\x82", b"\xac", b"b"])
    [(0, b'a'), (1, b'\xe2\x82\xac'), (3, b'b')]
    """
    merged: list[tuple[int, bytes]] = []
    pending = b""
    start = 0
    for i, token in enumerate(tokens):
        if not pending:
            start = i
        pending += token
        if not _is_cut(pending):
            merged.append((start, pending))
            pending = b""
    if pending:
        merged.append((start, pending))
    return merged


def _is_cut(data: bytes) -> bool:
    """Whether ``data`` ends inside a character that the next bytes could complete."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return False


def token_strip(tokens: Sequence[bytes], palette: Palette, dropped: int = 0) -> str:
    """The tokens as a wrapping strip of boxes; the first ``dropped`` ones are struck out."""
    boxes = (
        _box(visible_bytes(data), f"token {i + 1}", palette, faint=i < dropped)
        for i, data in join_partial(tokens)
    )
    return _strip(boxes)


def _strip(boxes: Iterable[str]) -> str:
    return (
        '<div style="display:flex;flex-wrap:wrap;gap:2px;font-family:monospace;font-size:.9rem;'
        f'line-height:1.5">{"".join(boxes)}</div>'
    )


def _box(text: str, title: str, palette: Palette, faint: bool) -> str:
    look = f"color:{palette.faint};text-decoration:line-through" if faint else ""
    return (
        f'<span title="{escape(title)}" style="background:{palette.band};padding:0 3px;'
        f'border-radius:3px;white-space:pre-wrap;overflow-wrap:anywhere;{look}">'
        f"{escape(text)}</span>"
    )


def pair_html(pair: Pair, tokenizer: Tokenizer, palette: Palette) -> str:
    """Two strips of tokens, one a prompt; each ends with its two answers."""
    prompts = (pair.positive, pair.negative)
    texts = [_pieces(prompt.text, tokenizer) for prompt in prompts]
    strips = []
    for prompt, pieces, places in zip(prompts, texts, differing(*texts), strict=True):
        boxes = "".join(_pair_box(text, i in places, palette) for i, text in enumerate(pieces))
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


def _pair_box(text: str, is_different: bool, palette: Palette) -> str:
    look = f"outline:2px solid {palette.attention};font-weight:700" if is_different else ""
    title = "differs from the other prompt" if is_different else "the same in both prompts"
    return (
        f'<span title="{title}" style="background:{palette.band};padding:0 3px;border-radius:3px;'
        f'white-space:pre-wrap;overflow-wrap:anywhere;{look}">{escape(text)}</span>'
    )
