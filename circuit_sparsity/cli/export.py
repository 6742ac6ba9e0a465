"""``export``: a circuit to take away, as tables, JSON, a graph, one offline page, or a program."""

import argparse
import json
from pathlib import Path
from typing import Any

from circuit_sparsity.cli.answer import Answer, Say, add_circuit, open_named
from circuit_sparsity.evidence.evidence import read_evidence
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.experiment.opening import open_tokenizer
from circuit_sparsity.export.document import as_json, document
from circuit_sparsity.export.investigation import Investigation, rises_of
from circuit_sparsity.export.program import program
from circuit_sparsity.export.tables import edges_csv, graphml, nodes_csv
from circuit_sparsity.plots.standalone import standalone_html
from circuit_sparsity.store import Store, write_atomically

HELP = "write a circuit as CSV, JSON, GraphML, an offline page, or a program with numpy alone"
ENDINGS = {"csv": "csv", "json": "json", "graphml": "graphml", "html": "html", "python": "py"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_circuit(parser)
    parser.add_argument("--format", choices=sorted(ENDINGS), required=True)
    parser.add_argument("--out", type=Path, help="where to; for csv, two files beside each other")
    parser.add_argument(
        "--off", nargs="*", default=[], metavar="NODE", help="switched off: nodes, 'source>target'"
    )
    parser.add_argument("--fill", choices=["mean", "zero"], default="mean", help="held at what")
    parser.add_argument("--labels", type=Path, help="JSON: node or edge, and what you call it")
    parser.add_argument("--recipe", type=Path, help="JSON: how you came to what is switched off")


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    it = open_named(arguments)
    circuit, kind = it.circuit, arguments.format
    found = _investigation(it, arguments, say)
    name = "-".join((circuit.model, circuit.task, circuit.sweep, circuit.k))
    out: Path = arguments.out or Path(f"{name}.{ENDINGS[kind]}")
    written, notes = {}, ()
    if kind == "python":
        made = program(found)
        texts = {out: made.text}
        notes = (made.in_words, f"python {out} TOKEN_ID …  (without ids: its examples)")
    else:
        texts = _texts(found, kind, out)
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file, text=text: file.write(text.encode()))
        written[str(path)] = len(text.encode())
    lines = [f"{path}: {size:,} bytes" for path, size in written.items()]
    return Answer({"files": written}, (circuit.title, *lines, *notes))


def _texts(found: Investigation, kind: str, out: Path) -> dict[Path, str]:
    """What to write where."""
    if kind == "html":
        return {out: standalone_html(found)}
    told = document(found)
    if kind == "csv":
        nodes, edges = (out.with_name(f"{out.stem}_{what}.csv") for what in ("nodes", "edges"))
        return {nodes: nodes_csv(told), edges: edges_csv(told)}
    return {out: {"json": as_json, "graphml": graphml}[kind](told)}


def _investigation(it: Experiment, arguments: argparse.Namespace, say: Say) -> Investigation:
    """All that is known; a program needs no costs, so none are measured for it."""
    store = Store.from_environment()
    rises, fill = {}, arguments.fill
    if arguments.format != "python":
        rises = rises_of(it, fill, lambda done, of: say(f"{done} of {of} ablations"))
    effect = it.ablate(arguments.off, fill) if arguments.off else None
    parts = () if effect is None else effect.parts
    held = "held at its mean" if fill == "mean" else "held at zero"
    return Investigation(
        experiment=it,
        tokenizer=open_tokenizer(store, it.circuit.model),
        rises=rises,
        rises_on=it.batch_name if rises else "",
        effect=effect,
        held={str(part): held for part in parts},
        recipe=_read(arguments.recipe),
        labels=_labels(arguments.labels),
        evidence=read_evidence(store, it.circuit),
    )


def _labels(path: Path | None) -> dict[str, str]:
    found = _read(path) or {}
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise ValueError(f"{path} holds no labels; expected an object of node names and texts")
    return found


def _read(path: Path | None) -> Any:
    if path is None:
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
