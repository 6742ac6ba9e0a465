"""``tinypython_2k`` for tiktoken: ``tiktoken.Encoding(**tinypython_2k())``.

Once this is imported, ``tiktoken.get_encoding("tinypython_2k")`` knows it too.
"""

import os
from pathlib import Path
from typing import Any

import tiktoken
import tiktoken.registry

from circuit_sparsity.core.tokenizer import encoding_arguments
from circuit_sparsity.store import Store, paths


def tinypython_2k() -> dict[str, Any]:
    """The keyword arguments of ``tiktoken.Encoding``.

    Read from the folder that ``TINYPYTHON_TOK_DIR`` names, else from the container's two files,
    which are downloaded once. Raises ValueError or OSError when they cannot be had or read.
    """
    given = os.environ.get("TINYPYTHON_TOK_DIR")
    if given:
        return encoding_arguments(Path(given).expanduser(), "tinypython_2k")
    store = Store.from_environment()
    files = [store.fetch(paths.tokenizer_file(file)) for file in paths.TOKENIZER]
    return encoding_arguments(files[0].parent, "tinypython_2k")


ENCODING_CONSTRUCTORS = {"tinypython_2k": tinypython_2k}

tiktoken.list_encoding_names()  # fills the registry
assert tiktoken.registry.ENCODING_CONSTRUCTORS is not None
tiktoken.registry.ENCODING_CONSTRUCTORS |= ENCODING_CONSTRUCTORS
