"""``graph``: the attribution graph of a prompt, also in the JSON that Neuronpedia opens."""

# torch does not type Tensor.tolist
# pyright: reportUnknownMemberType=false

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from circuit_sparsity.cli.answer import Answer, Say, table
from circuit_sparsity.cli.arguments import add_circuit, add_prompt, check_out, open_named
from circuit_sparsity.store import Store, write_atomically

if TYPE_CHECKING:
    from circuit_sparsity.experiment.experiment import Experiment
    from circuit_sparsity.export.attribution_graph import GraphDocument

_MOST = 20  # vertices that are printed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_circuit(parser)
    add_prompt(parser)
    parser.add_argument(
        "--share",
        type=float,
        default=0.95,
        help="keep the fewest nodes with this share of all influence on the answer (0.95)",
    )
    parser.add_argument("--out", type=Path, help="the JSON file to write")
    parser.add_argument("--force", action="store_true", help="overwrite what is there")
    parser.add_argument(
        "--groups", type=Path, help="a file of this graph whose pins and supernodes are kept"
    )


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    if not 0 <= arguments.share <= 1:
        raise ValueError(f"--share is {arguments.share}; expected 0 to 1")
    if arguments.out is not None:
        check_out(arguments.out)
        if arguments.out.exists() and not arguments.force:
            raise ValueError(f"{arguments.out} is there already; give --force to overwrite it")
    document = _document(open_named(arguments), arguments.prompt)
    from circuit_sparsity.export.attribution_graph import NO_GROUPS, graph_document, read_groups

    groups = NO_GROUPS
    if arguments.groups is not None:
        groups = read_groups(document, _read(arguments.groups))
    told = graph_document(document, arguments.share, groups)
    if arguments.out is not None:
        text = json.dumps(told).encode()
        write_atomically(arguments.out, lambda file: file.write(text))
    graph, influence = document.graph, document.graph.influence()
    best = cast("list[int]", influence[: graph.answer].argsort(descending=True)[:_MOST].tolist())
    rows = [(document.words(vertex), float(influence[vertex])) for vertex in best]
    data = {
        "prompt": graph.prompt,
        "log_odds": graph.log_odds,
        "nodes": len(told["nodes"]),
        "links": len(told["links"]),
        "file": None if arguments.out is None else str(arguments.out),
        "strongest": [{"vertex": name, "influence": value} for name, value in rows],
    }
    head = f"{data['nodes']} nodes, {data['links']} links, log odds {graph.log_odds:+.3f} nats"
    written = () if arguments.out is None else (f"wrote {arguments.out}",)
    lines = table(("at", "share of influence"), [(name, f"{value:.3f}") for name, value in rows])
    return Answer(data, (head, *lines, *written))


def _document(experiment: "Experiment", prompt: int) -> "GraphDocument":
    from circuit_sparsity.experiment.labels import read_labels
    from circuit_sparsity.export.attribution_graph import GraphDocument
    from circuit_sparsity.patching.graph import attribution_graph

    graph = attribution_graph(experiment, prompt)
    labels = read_labels(Store.from_environment(), experiment.circuit).texts
    assert experiment.tokenizer is not None, "a circuit that was opened by name has its tokenizer"
    config, tokenizer = experiment.model.config, experiment.tokenizer
    return GraphDocument(graph, experiment.circuit, config, tokenizer, labels)


def _read(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read {path} as a graph: {error}") from error
    if not isinstance(told, dict):
        raise ValueError(f"{path} holds no JSON object; expected the file of a graph")
    return cast("dict[str, Any]", told)
