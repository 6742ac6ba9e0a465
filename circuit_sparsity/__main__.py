"""``circuit-sparsity COMMAND``, also ``python -m circuit_sparsity COMMAND``: the pages' work.

Answers go to standard output, progress and errors to the error stream. Exit status 2 means that
what was asked for cannot be done; the message says why and what to do.
"""

import argparse
import importlib
import io
import os
import sys
import warnings
from pathlib import Path

from circuit_sparsity.cli import COMMANDS
from circuit_sparsity.cli.answer import as_json, register_plain_letters

PLAIN = register_plain_letters()


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=PLAIN)  # a terminal of cp932, gbk or ASCII lacks letters
    warnings.showwarning = _note
    try:
        chosen = _parsed(given)
        answer = chosen.run(chosen, _be_quiet if chosen.json else _say)
        print(as_json(answer.data) if chosen.json else "\n".join(answer.lines), flush=True)
    except BrokenPipeError:  # whoever reads has enough: `circuit-sparsity list | head`
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (the interpreter flushes it at exit)
        return 0
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0


def _parsed(given: list[str]) -> argparse.Namespace:
    parser = _parser(given[0] if given else "")
    chosen, others = parser.parse_known_args(given)
    if others and "passed_on" not in chosen:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    chosen.passed_on = others
    return chosen


def _parser(name: str) -> argparse.ArgumentParser:
    """Every command with its sentence, and ``name`` with its arguments too.

    With ``_ARGCOMPLETE`` in the environment the shell asks what may come next; that ends here.
    """
    parser = argparse.ArgumentParser(
        prog=_program(),
        description="Explore, ablate, train and prune circuits of weight-sparse transformers.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    completing = "_ARGCOMPLETE" in os.environ
    if completing:
        words = os.environ.get("COMP_LINE", "").split()
        name = next((word for word in words if word in COMMANDS), "")
    for one, sentence in COMMANDS.items():
        if one != name:
            commands.add_parser(one, help=sentence)
            continue
        module = importlib.import_module(f"circuit_sparsity.cli.{one.replace('-', '_')}")
        command = commands.add_parser(one, help=sentence, description=module.__doc__)
        module.add_arguments(command)
        command.add_argument("--json", action="store_true", help="print JSON and nothing else")
        command.set_defaults(run=module.run)
    if completing:
        from circuit_sparsity.cli.completion import complete

        complete(parser)
    return parser


def _program() -> str:
    """What was typed: the console command, or Python with the package's name."""
    typed = Path(sys.argv[0]).stem
    return typed if typed == "circuit-sparsity" else "python -m circuit_sparsity"


def _note(message: Warning | str, *_: object) -> None:
    print(f"note: {message}", file=sys.stderr)


def _say(text: str) -> None:
    end = "\r" if sys.stderr.isatty() else "\n"
    print(text, file=sys.stderr, end=end, flush=True)


def _be_quiet(text: str) -> None:
    pass


if __name__ == "__main__":
    sys.exit(main())
