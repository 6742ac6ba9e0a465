"""Troubles and empty places, said where they happen."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

_SPECIAL = re.compile(r"([\\*_\[\]{}()<>#+!|~$:&-])")


@contextmanager
def in_place() -> Iterator[None]:
    """Show what a user, a file or a network caused as a message here, and go on below."""
    try:
        yield
    except (ValueError, OSError) as error:
        st.error(plain(str(error)), icon=":material/error:")


def plain(text: str) -> str:
    r"""``text`` for Streamlit's Markdown: names are not styling, back-quoted commands stay code.

    >>> plain("no model *m* (run `a -b`)")
    'no model \\*m\\* \\(run `a -b`\\)'
    """
    parts = text.split("`")
    if len(parts) % 2 == 0:  # an unpaired back-quote is a character like others
        return _SPECIAL.sub(r"\\\1", text).replace("`", "\\`")
    return "`".join(part if i % 2 else _SPECIAL.sub(r"\\\1", part) for i, part in enumerate(parts))


def no_circuits() -> None:
    """The page of a machine that has no circuit at all."""
    st.info(
        "**No circuits on this machine yet.** Get one in a terminal, then reload this page:\n\n"
        "- `python -m circuit_sparsity list` shows what there is;\n"
        "- `python -m circuit_sparsity fetch MODEL TASK SWEEP K` downloads a released circuit;\n"
        "- `python -m circuit_sparsity prune MODEL TASK --target 0.15` finds one in a model "
        "that is here.",
        icon=":material/info:",
    )


def unknown_nodes(names: list[str], title: str) -> None:
    """What a link named and the circuit does not keep; nothing for no names."""
    if names:
        st.warning(
            f"The link switches off {plain(', '.join(names))}, which {plain(title)} does not keep; "
            "the others are switched off.",
            icon=":material/link_off:",
        )
