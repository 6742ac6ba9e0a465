"""``python -m circuit_sparsity COMMAND``: the same work as the pages, from the shell.

Answers go to standard output, progress and errors to the error stream. Exit status 2 means that
what was asked for cannot be done; the message says why and what to do.
"""

import argparse
import importlib
import json
import sys
import warnings

COMMANDS = (
    "list",
    "fetch",
    "tasks",
    "evaluate",
    "ablate",
    "train",
    "prune",
    "sweep",
    "evidence",
    "bridges",
    "bridge-train",
    "bridge-evaluate",
    "bridge-transfer",
    "claims",
    "table",
    "export",
    "verify",
    "clear",
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status."""
    warnings.showwarning = lambda message, *_: print(f"note: {message}", file=sys.stderr)
    try:
        chosen = _parser().parse_args(arguments)
        answer = chosen.run(chosen, _say if not chosen.json else _be_quiet)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    print(json.dumps(answer.data) if chosen.json else "\n".join(answer.lines))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m circuit_sparsity",
        description="Explore, ablate, train and prune circuits of weight-sparse transformers.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = importlib.import_module(f"circuit_sparsity.commands.{name.replace('-', '_')}")
        command = commands.add_parser(name, help=module.HELP, description=module.__doc__)
        module.add_arguments(command)
        command.add_argument("--json", action="store_true", help="print JSON and nothing else")
        command.set_defaults(run=module.run)
    return parser


def _say(text: str) -> None:
    end = "\r" if sys.stderr.isatty() else "\n"
    print(text, file=sys.stderr, end=end, flush=True)


def _be_quiet(text: str) -> None:
    pass


if __name__ == "__main__":
    sys.exit(main())
