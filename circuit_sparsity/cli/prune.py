"""``prune``: find a circuit of a model on a task, to a target loss or an exact number of nodes."""

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from circuit_sparsity.cli.answer import Answer, Say
from circuit_sparsity.cli.arguments import (
    PRESETS,
    add_device,
    check_place,
    check_size,
    target_loss,
    whole_number,
)
from circuit_sparsity.cli.evidence import evidence_data, evidence_lines
from circuit_sparsity.store import Store

if TYPE_CHECKING:
    from circuit_sparsity.pruning.learn import Snapshot
    from circuit_sparsity.pruning.request import Pruned, PruneRequest


SWEEP = "local"  # folder of the result, where no other is named
TARGET_LOSS = 0.15  # nats per sequence, the paper's


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="such as starter")
    parser.add_argument("task", metavar="TASK", help="such as single_double_quote")
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--k", type=whole_number(1), help="exactly so many nodes")
    size.add_argument(
        "--target",
        type=target_loss,
        metavar="LOSS",
        help=f"nats per sequence; the paper's {TARGET_LOSS}",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sweep", default=SWEEP, help=f"folder of the result ({SWEEP})")
    parser.add_argument(
        "--start",
        nargs=2,
        metavar=("SWEEP", "K"),
        help="begin with the nodes of this circuit of the same model and task",
    )
    parser.add_argument(
        "--means-over",
        metavar="PATH",
        help="hold what is left out at means over this text file, or over a folder's .py, .txt "
        "and .md files, in place of the model's own means",
    )
    add_device(parser)
    parser.add_argument(
        "--objective",
        choices=("task", "kl"),
        default="task",
        help="keep the right answer (task), or the two answers as the model has them (kl); the "
        "target is a loss, or a divergence, in nats",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--preset", choices=PRESETS, help="how to look (fast)")
    how.add_argument(
        "--mode",
        choices=("quick", "full"),
        help="the preset of that name, and evidence for what it finds",
    )


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    store = Store.from_environment()
    check_place(store, arguments.model, arguments.task, arguments.sweep)
    if arguments.means_over and not Path(arguments.means_over).expanduser().exists():
        raise ValueError(
            f"there is no {arguments.means_over} to take means over; give a text file or a folder"
        )
    if arguments.k is not None:
        check_size(store, arguments.model, arguments.k)

    from circuit_sparsity.evidence.evidence import write_evidence
    from circuit_sparsity.evidence.measures import measure
    from circuit_sparsity.pruning.any_k import guess_in_words
    from circuit_sparsity.pruning.request import Observer, carry_out

    made = carry_out(
        _request(arguments),
        observer=Observer(
            snapshot=lambda snapshot: say(_progress(snapshot)),
            measured=lambda done, of: say(f"measuring {done} of {of}"),
        ),
    )
    data, more, troubles = _data(made), tuple[str, ...](), list[str]()
    if arguments.mode:
        evidence = measure(
            made.experiment,
            made.nested.ranking.order,
            arguments.mode,
            progress=lambda done, of: say(f"evidence {done} of {of}"),
        )
        write_evidence(evidence, store, made.circuit)
        data |= evidence_data(evidence)
        more, troubles = evidence_lines(evidence), list(evidence.troubles)
    guess = guess_in_words(made.circuit.size, made.experiment.of_circuit.loss)
    if guess is not None:
        troubles.append(guess)
        more = (*more, f"LOOK OUT: {guess}")
    return Answer(
        data | {"troubles": troubles},
        (
            f"{made.circuit.title}: {data['nodes']} nodes, {data['edges']} edges, "
            f"{data['seconds']:.0f} s",
            *_removal(made),
            *_means(made),
            f"loss {data['circuit_loss']:.4f} nats per sequence on prompts pruned on",
            f"loss {data['test_loss']:.4f} on {made.experiment.batch_name}",
            *more,
            f"stored in {made.path}",
        ),
    )


def _request(arguments: argparse.Namespace) -> "PruneRequest":
    from circuit_sparsity.pruning.request import PruneRequest
    from circuit_sparsity.pruning.settings import preset

    chosen = preset(arguments.mode or arguments.preset or "fast")
    return PruneRequest(
        arguments.model,
        arguments.task,
        arguments.target,
        arguments.k,
        arguments.sweep,
        dataclasses.replace(chosen, seed=arguments.seed, objective=arguments.objective),
        start=tuple(arguments.start) if arguments.start else None,
        means_over=arguments.means_over,
        device=arguments.device,
    )


def _data(made: "Pruned") -> dict[str, object]:
    found = made.circuit.found
    removal = {} if found.minimality is None else found.minimality.to_dict()
    return {
        "model": made.circuit.model,
        "task": made.circuit.task,
        "sweep": made.circuit.sweep,
        "k": made.circuit.k,
        "nodes": made.circuit.size,
        "edges": len(made.experiment.edges),
        "edges_needed": removal.get("edges_needed"),
        "nodes_bisected": removal.get("nodes_bisected"),
        "nodes_before": removal.get("nodes_before"),
        "edges_before": removal.get("edges_before"),
        "loss_without_spare_edges": removal.get("loss_without_spare_edges"),
        "means_over": found.means_over,
        "objective": made.nested.ranking.settings.objective,
        "circuit_loss": found.loss,
        "test_loss": made.experiment.of_circuit.loss,
        "seconds": found.seconds,
    }


def _removal(made: "Pruned") -> tuple[str, ...]:
    told = made.circuit.found.minimality
    if told is None:
        return ()
    return (
        f"removal: {told.nodes_before} to {told.nodes} nodes, {told.edges_before} to "
        f"{told.edges} edges, of which {told.edges_needed} are needed (without the others "
        f"the loss is {told.loss_without_spare_edges:.4f})",
    )


def _means(made: "Pruned") -> tuple[str, ...]:
    over = made.circuit.found.means_over
    return () if over is None else (f"held at means over {over}, not at the model's own",)


def _progress(snapshot: "Snapshot") -> str:
    return (
        f"{snapshot.stage} {snapshot.done} of {snapshot.of}: loss {snapshot.loss:.4f} nats, "
        f"{snapshot.nodes} nodes"
    )
