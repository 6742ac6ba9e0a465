"""Troubles and empty places, said where they happen."""

import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import streamlit as st
from streamlit.errors import StreamlitPageNotFoundError

from circuit_sparsity.ui.shell import frame

PAGE = "title of the page"  # in the session: the page that is drawn
_SPECIAL = re.compile(r"([\\*_\[\]{}()<>#+!|~$:&-])")


@contextmanager
def in_place() -> Iterator[None]:
    """Show what a user, a file or a network caused as a message here, and go on below."""
    frame.through_app()
    try:
        yield
    except (ValueError, OSError) as error:
        st.error(plain(str(error)), icon=":material/error:")


def plain(text: str) -> str:
    r"""``text`` for Streamlit's Markdown: names are not styling, back-quoted commands stay code.

    Characters that are not seen, such as those that turn the direction of writing, are escaped.

    >>> plain("no model *m* (run `a -b`)")
    'no model \\*m\\* \\(run `a -b`\\)'
    >>> plain("a\u202eb")
    'a\\\\u202eb'
    """
    parts = _seen(text).split("`")
    if len(parts) % 2 == 0:  # an unpaired back-quote is a character like others
        return _SPECIAL.sub(r"\\\1", _seen(text)).replace("`", "\\`")
    return "`".join(part if i % 2 else _SPECIAL.sub(r"\\\1", part) for i, part in enumerate(parts))


def _seen(text: str) -> str:
    hidden = ("Cc", "Cf", "Cs")
    return "".join(
        repr(letter)[1:-1]
        if unicodedata.category(letter) in hidden and letter not in "\n\t"
        else letter
        for letter in text
    )


def code(text: str) -> str:
    r"""``text`` as code in Streamlit's Markdown, whatever back-quotes it has.

    >>> code('print("a'), code("a `b`")
    ('`print("a`', '`` a `b` ``')
    """
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence, space = "`" * (longest + 1), " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}"


def no_circuits(model: str | None = None) -> None:
    """The page of a model that has no circuits, or of a machine that has none at all."""
    if model is None:
        head = "**No circuits on this machine yet, and none is chosen.**"
    else:
        head = (
            f"**No circuits of {plain(model)} are known.** Some models were released without "
            "circuits: the dense ones, and the one that bridges lead from."
        )
    st.info(
        f"{head}\n\n"
        "- The **Library** shows what exists and downloads it; the sidebar lists what is known.\n"
        "- `python -m circuit_sparsity fetch MODEL TASK SWEEP K` does the same in a terminal.\n"
        "- The **Prune** page finds a circuit in a model that is here, given its reference means; "
        f"in a terminal, `python -m circuit_sparsity prune {(model or 'MODEL').replace('`', '')} "
        "TASK --target 0.15` does.",
        icon=":material/info:",
    )
    with st.container(horizontal=True):
        library_link()
        _prune_link()


def library_link() -> None:
    """A link to the library page, where pages can be linked."""
    with suppress(StreamlitPageNotFoundError):  # a page that is run alone
        st.page_link("pages/library.py", label="Open the library", icon=":material/local_library:")


def _prune_link() -> None:
    with suppress(StreamlitPageNotFoundError):  # a page that is run alone
        st.page_link("pages/prune.py", label="Find a circuit here", icon=":material/content_cut:")


def tour_link() -> None:
    """A link to the tour, where pages can be linked."""
    with suppress(StreamlitPageNotFoundError):  # a page that is run alone
        label = "New here? Two minutes with one circuit, step by step"
        st.page_link("pages/tour.py", label=label, icon=":material/tour:")


def unknown_nodes(names: list[str], title: str) -> None:
    """What a link named and the circuit does not keep; nothing for no names."""
    if names:
        st.warning(
            f"The link switches off {plain(', '.join(names))}, which {plain(title)} does not keep; "
            "the others are switched off.",
            icon=":material/link_off:",
        )
