"""What is left out is held at: the model's own means, or means over an uploaded text."""

import hashlib
import re

import streamlit as st

from circuit_sparsity.store import Store
from circuit_sparsity.store.atomic import write_atomically
from circuit_sparsity.ui.shell.choices import kept
from circuit_sparsity.ui.shell.messages import plain

_OWN, _UPLOADED = "The model's means", "Means over my text"
_LARGEST = 8  # MB of an uploaded text
_HELP = (
    "Everything outside the circuit is held at the mean it has over some text. The model's means "
    "come with it; over a text of yours they answer for that kind of text."
)


def field() -> str | None:
    """Path of the uploaded text, kept in the user's folder; None for the model's own means."""
    if kept("Held at", (_OWN, _UPLOADED), "prune_means", _HELP) == _OWN:
        return None
    file = st.file_uploader(
        "The text, UTF-8", ["txt", "py", "md"], key="prune_means_file", max_upload_size=_LARGEST
    )
    if file is None:
        st.caption("Without a text, the model's means are taken.")
        return None
    return _stored(file.name, file.getvalue())


def _stored(name: str, data: bytes) -> str | None:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        st.error(
            f"{plain(name)} is not UTF-8 text ({error}); save it as UTF-8 and upload it again. "
            "Until then the model's means are taken.",
            icon=":material/error:",
        )
        return None
    short = hashlib.sha256(data).hexdigest()[:8]
    kind = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    path = Store.from_environment().folder / "texts" / f"{short}_{kind}"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda out: out.write(data))
    return str(path)
