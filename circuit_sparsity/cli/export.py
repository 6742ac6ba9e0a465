"""``export``: a circuit to take away, as tables, JSON, a graph, one offline page, or a program.

A file that export did not write, or that was changed since, is overwritten with ``--force``."""

import argparse
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from circuit_sparsity.cli.answer import Answer, Say
from circuit_sparsity.cli.arguments import add_circuit, check_out, open_named
from circuit_sparsity.store import Store, write_atomically

if TYPE_CHECKING:
    from circuit_sparsity.experiment.experiment import Experiment
    from circuit_sparsity.export.investigation import Investigation

ENDINGS = {"csv": "csv", "json": "json", "graphml": "graphml", "html": "html", "python": "py"}
WRITTEN = ".store/exports.json"  # in the user's folder: SHA-256 of each file written, by its path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_circuit(parser)
    parser.add_argument("--format", choices=sorted(ENDINGS), required=True)
    parser.add_argument("--out", type=Path, help="where to; for csv, two files beside each other")
    parser.add_argument("--force", action="store_true", help="overwrite what export did not write")
    parser.add_argument(
        "--off", nargs="*", default=[], metavar="NODE", help="switched off: nodes, 'source>target'"
    )
    parser.add_argument("--fill", choices=["mean", "zero"], default="mean", help="held at what")
    parser.add_argument("--labels", type=Path, help="JSON: node or edge, and what you call it")
    parser.add_argument("--recipe", type=Path, help="JSON: how you came to what is switched off")


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    kind, store = arguments.format, Store.from_environment()
    name = "-".join((arguments.model, arguments.task, arguments.sweep, arguments.k))
    places = _places(arguments.out or Path(f"{name}.{ENDINGS[kind]}"), kind)
    for path in places:
        check_out(path)
    if not arguments.force:
        _check_ours(store, places)
    labels, recipe = _labels(arguments.labels), _read(arguments.recipe)

    from circuit_sparsity.export.program import program

    opened = open_named(arguments)
    told = _investigation(opened, arguments, labels, recipe, say)
    written, notes = dict[str, int](), ()
    if kind == "python":
        made = program(told)
        texts = (made.text,)
        notes = (made.in_words, f"python {places[0]} TOKEN_ID …  (without ids: its examples)")
    else:
        texts = _texts(told, kind)
    for path, text in zip(places, texts, strict=True):
        content = text.encode()
        write_atomically(path, lambda file, content=content: file.write(content))
        written[str(path)] = len(content)
    _note_written(store, places)
    lines = [f"{path}: {size:,} bytes" for path, size in written.items()]
    return Answer({"files": written}, (opened.circuit.title, *lines, *notes))


def _places(out: Path, kind: str) -> tuple[Path, ...]:
    if kind != "csv":
        return (out,)
    return tuple(out.with_name(f"{out.stem}_{what}.csv") for what in ("nodes", "edges"))


def _texts(told: "Investigation", kind: str) -> tuple[str, ...]:
    """What to write, in the order of the places."""
    from circuit_sparsity.export.document import as_json, document
    from circuit_sparsity.export.tables import edges_csv, graphml, nodes_csv
    from circuit_sparsity.plots.standalone import standalone_html

    if kind == "html":
        return (standalone_html(told),)
    found = document(told)
    if kind == "csv":
        return nodes_csv(found), edges_csv(found)
    return (as_json(found) if kind == "json" else graphml(found),)


def _investigation(
    opened: "Experiment",
    arguments: argparse.Namespace,
    labels: dict[str, str],
    recipe: Any,
    say: Say,
) -> "Investigation":
    """All that is known; a program needs no costs, so none are measured for it."""
    from circuit_sparsity.evidence.evidence import read_evidence
    from circuit_sparsity.experiment.opening import open_tokenizer
    from circuit_sparsity.export.investigation import Investigation, rises_of

    store = Store.from_environment()
    rises, fill = {}, arguments.fill
    if arguments.format != "python":
        rises = rises_of(opened, fill, lambda done, of: say(f"{done} of {of} ablations"))
    effect = opened.ablate(arguments.off, fill) if arguments.off else None
    parts = () if effect is None else effect.parts
    held = "held at its mean" if fill == "mean" else "held at zero"
    return Investigation(
        experiment=opened,
        tokenizer=open_tokenizer(store, opened.circuit.model),
        rises=rises,
        rises_on=opened.batch_name if rises else "",
        effect=effect,
        held={str(part): held for part in parts},
        recipe=recipe,
        labels=labels,
        evidence=read_evidence(store, opened.circuit),
    )


def _labels(path: Path | None) -> dict[str, str]:
    found = {} if path is None else _texts_by_name(_read(path))
    if found is None:
        raise ValueError(f"{path} holds no labels; expected an object of node names and texts")
    return found


def _read(path: Path | None) -> Any:
    if path is None:
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error


def _texts_by_name(value: Any) -> dict[str, str] | None:
    """``value`` where it is an object of texts."""
    if not isinstance(value, dict):
        return None
    found = cast(dict[str, Any], value)
    return found if all(isinstance(text, str) for text in found.values()) else None


def _check_ours(store: Store, places: Iterable[Path]) -> None:
    """ValueError for a file that is there and is not as export left it."""
    ours = _written(store)
    for path in places:
        if path.exists() and ours.get(str(path.resolve())) != _digest(path):
            raise ValueError(
                f"{path} is there, and export did not write what it holds; give --force to "
                "overwrite it, or another --out"
            )


def _note_written(store: Store, places: Iterable[Path]) -> None:
    """Remember what was written; where that cannot be kept, the next export asks for --force."""
    ours = _written(store) | {str(path.resolve()): _digest(path) for path in places}
    try:
        write_atomically(
            store.folder / WRITTEN, lambda file: file.write(json.dumps(ours, indent=1).encode())
        )
    except OSError:
        return


def _written(store: Store) -> dict[str, str]:
    try:
        return _texts_by_name(_read(store.folder / WRITTEN)) or {}
    except (OSError, ValueError):
        return {}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
