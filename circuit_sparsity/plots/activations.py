"""A node's activation on each token of a text, as a strip of coloured boxes. Escaped HTML."""

from collections.abc import Iterable, Sequence
from html import escape

from circuit_sparsity.plots.colours import Palette, contrast, shade
from circuit_sparsity.plots.tokens import join_partial, visible_bytes
from circuit_sparsity.plots.words import signed

_INKS = (
    "#000000",
    "#ffffff",
)  # of the text on a box: one of them has a contrast of 4.5 on any colour


def activation_strip(
    tokens: Sequence[bytes],
    activations: Sequence[float],
    palette: Palette,
    largest: float,
    marked: int | None = None,
) -> str:
    """Boxes coloured from ``-largest`` to ``largest``, zero in the middle of the scale.

    Tokens that only together are text share a box, coloured by the strongest of them. A negative
    one is underlined with dashes, a positive one with a line; ``marked`` has a frame.
    """
    if len(tokens) != len(activations):
        raise ValueError(
            f"{len(tokens)} tokens and {len(activations)} activations; expected one for each token"
        )
    joined = join_partial(tokens)
    ends = [start for start, _ in joined[1:]] + [len(tokens)]
    boxes = (
        _box(data, range(start, end), activations, palette, largest, marked)
        for (start, data), end in zip(joined, ends, strict=True)
    )
    return _strip(boxes)


_UNDERLINES = "; solid underline: positive, dashed: negative"


def scale_legend(
    palette: Palette,
    largest: float,
    unit: str = "activation",
    is_signed: bool = True,
    note: str = _UNDERLINES,
) -> str:
    """The scale of a strip, in words and colours; from 0 on where it is not signed.

    ``note`` follows the unit of a signed scale: how its sign is marked beside colour.

    >>> from circuit_sparsity.plots.colours import LIGHT
    >>> "underline" in scale_legend(LIGHT, 2.0, "nats", is_signed=False)
    False
    """
    shares = [step / 6 - 1 for step in range(13)]
    if not is_signed:
        return _legend(palette, [step for step in shares if step >= 0], "0", f"{largest:.3f}", unit)
    low, high = signed(-largest, 3), signed(largest, 3)
    return _legend(palette, shares, low, high, unit + note)


def _legend(palette: Palette, shares: Sequence[float], low: str, high: str, words: str) -> str:
    steps = "".join(
        f'<span style="width:.9rem;height:.8rem;background:{shade(palette, share, 1.0)}"></span>'
        for share in shares
    )
    return (
        '<div style="display:flex;flex-wrap:wrap;align-items:center;gap:.5rem;font-size:.82rem;'
        f'color:{palette.faint}"><span>{low}</span>'
        f'<span style="display:inline-flex">{steps}</span><span>{high}</span>'
        f"<span>{escape(words)}</span></div>"
    )


def _box(
    data: bytes,
    places: range,
    activations: Sequence[float],
    palette: Palette,
    largest: float,
    marked: int | None,
) -> str:
    here = [activations[place] for place in places]
    strongest = max(here, key=abs)
    fill = shade(palette, strongest, largest)
    ink = max(_INKS, key=lambda colour: contrast(colour, fill))
    line = "none" if strongest == 0 else f"2px {'solid' if strongest > 0 else 'dashed'} {ink}"
    frame = f"outline:2px solid {palette.ablated};outline-offset:1px;" * (marked in places)
    number = (
        f"token {places[0] + 1}"
        if len(places) == 1
        else f"tokens {places[0] + 1} to {places[-1] + 1}"
    )
    title = f"{number}: {', '.join(signed(value, 4) for value in here)}"
    return (
        f'<span title="{escape(title)}" style="background:{fill};color:{ink};padding:0 3px;{frame}'
        f'border-bottom:{line};white-space:pre-wrap;overflow-wrap:anywhere">'
        f"{escape(visible_bytes(data))}</span>"
    )


def _strip(boxes: Iterable[str]) -> str:
    return (
        '<div style="display:flex;flex-wrap:wrap;gap:3px 2px;font-family:monospace;'
        f'font-size:.9rem;line-height:1.45">{"".join(boxes)}</div>'
    )
