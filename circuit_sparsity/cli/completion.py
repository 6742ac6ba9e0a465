"""What a shell offers when Tab is pressed: commands, options, and the names of circuits here.

``eval "$(register-python-argcomplete circuit-sparsity)"`` in the shell's start-up file turns it on.
"""

import argparse

from argcomplete.completers import BaseCompleter, FilesCompleter
from argcomplete.finders import CompletionFinder

from circuit_sparsity.store import Row, Store, StoreError

_NAMES = ("model", "task", "sweep", "k")
_SEVERAL = {"models": "model"}  # arguments that take several of a kind


def complete(parser: argparse.ArgumentParser) -> None:
    """Tell the shell what may come next, and end the process."""
    CompletionFinder()(parser, default_completer=_Names())


class _Names(BaseCompleter):
    """Names that go with those typed before, and files for what is none of a circuit's names."""

    def __call__(
        self,
        *,
        prefix: str,
        action: argparse.Action,
        parser: argparse.ArgumentParser,
        parsed_args: argparse.Namespace,
    ) -> list[str]:
        kind = _SEVERAL.get(action.dest, action.dest)
        if kind not in _NAMES or (kind == "k" and action.option_strings):
            return list(FilesCompleter()(prefix))
        try:
            rows = Store.from_environment().rows()
        except (StoreError, OSError):
            return []
        return sorted({getattr(row, kind) for row in rows if _goes_with(row, kind, parsed_args)})


def _goes_with(row: Row, kind: str, typed: argparse.Namespace) -> bool:
    before = _NAMES[: _NAMES.index(kind)]
    return all(getattr(typed, name, None) in (None, getattr(row, name)) for name in before)
