"""``evidence``: is a circuit real? Every measure, and the controls that could say otherwise."""

import argparse
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from circuit_sparsity.cli.answer import Answer, Say, table
from circuit_sparsity.cli.arguments import (
    PRESETS,
    add_circuit,
    add_device,
    check_place,
    open_named,
    whole_number,
)
from circuit_sparsity.store import Store

if TYPE_CHECKING:
    from circuit_sparsity.evidence.evidence import Evidence
    from circuit_sparsity.experiment.experiment import Experiment
    from circuit_sparsity.pruning.learn import Snapshot
    from circuit_sparsity.pruning.settings import PruneSettings

SHOWN = (
    *("sufficiency", "necessity", "faithfulness", "completeness", "kl", "exact_match"),
    *("exact_match_full", "cpr", "cmd", "cpr_log", "cmd_log"),
    *("relative_sparsity", "full_sparsity"),
)
DRAWS = 10  # random circuits of each kind
FURTHER = ("shortcuts", "rest", "resampled", "adversary", "reasons", "specific")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_circuit(parser)
    add_device(parser)
    parser.add_argument(
        "--draws",
        type=whole_number(0),
        default=DRAWS,
        help=f"random circuits of each kind ({DRAWS})",
    )
    parser.add_argument(
        "--controls", action="store_true", help="prune for shuffled answers and without training"
    )
    parser.add_argument(
        "--seeds", type=_seeds, default=0, help="prune from so many seeds, 2 or more: stability"
    )
    parser.add_argument("--preset", choices=PRESETS, help="of those prunings; as it was")

    parser.add_argument(
        "--further",
        nargs="*",
        choices=FURTHER,
        metavar="PART",
        help=f"measure more: {', '.join(FURTHER)}; all of them if none is named",
    )


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    store = Store.from_environment()
    check_place(store, arguments.model, arguments.task, arguments.sweep)

    from circuit_sparsity.evidence.evidence import write_evidence
    from circuit_sparsity.evidence.measures import measure
    from circuit_sparsity.evidence.prunings import ranking_of

    opened = open_named(arguments)
    ranking, words = ranking_of(store, opened)
    evidence = measure(
        opened,
        ranking.order,
        words,
        arguments.draws,
        lambda done, of: say(f"{done} of {of} measurements"),
    )
    if arguments.controls or arguments.seeds:
        settings = _settings(arguments.preset, opened)
        evidence = _with_prunings(evidence, opened, settings, arguments, say)
    if arguments.further is not None:
        evidence = _with_further(evidence, opened, arguments.further or FURTHER, say)
    path = write_evidence(evidence, store, opened.circuit)
    lines = (opened.circuit.title, f"measured on {evidence.prompts}", *evidence_lines(evidence))
    told = {"troubles": list(evidence.troubles), "cautions": list(evidence.cautions)}
    return Answer(evidence.to_dict() | told, (*lines, f"stored in {path}"))


def _seeds(text: str) -> int:
    if text == "0":
        return 0
    return whole_number(2)(text)  # one seed overlaps with nothing


def evidence_data(evidence: "Evidence") -> dict[str, object]:
    """What ``prune`` prints of the evidence."""
    return {
        "necessity": evidence.necessity,
        "kl": evidence.kl,
        "exact_match": evidence.exact_match,
        "random_control": {
            control.name: {"loss": control.loss, "necessity": control.necessity}
            for control in evidence.controls
        },
        "troubles": list(evidence.troubles),
    }


def evidence_lines(evidence: "Evidence") -> tuple[str, ...]:
    """A table of the measures, the controls, and what is wrong."""
    from circuit_sparsity.evidence.definitions import DEFINITIONS

    rows = list[tuple[str, ...]]()
    for key in SHOWN:
        value, one = getattr(evidence, key), DEFINITIONS[key]
        rows.append((one.name, "-" if value is None else f"{value:.4f}", one.unit, one.anchor))
    lines = [*table(("measure", "value", "unit", "compare with"), rows)]
    lines += [
        f"the model's own loss {evidence.model_loss:.4f}, of the empty circuit "
        f"{evidence.empty_loss:.4f} nats per sequence"
    ]
    spare = sum(rise <= 0 for rise in evidence.minimality.values())
    lines += [f"{spare} of {evidence.nodes} nodes can go alone without a rise of the loss"]
    if evidence.edges_needed is not None:
        lines += [
            f"{evidence.edges_needed} of {evidence.edges} edges are needed; without the others "
            f"the loss is {evidence.loss_of_needed:.4f}"
        ]
    for control in evidence.controls:
        alone = f"{control.name}: loss {control.loss:.4f}, the circuit {control.circuit_loss:.4f}"
        lines.append(f"{alone} (mean of {len(control.losses)}, on {control.prompts})")
    if evidence.stability is not None:
        found = evidence.stability
        lines.append(
            f"overlap of {len(found.seeds)} seeds {found.overlap:.2f}, nodes {found.nodes}"
        )
    lines += _further_lines(evidence)
    lines += [f"note: {caution}" for caution in evidence.cautions]
    return (*lines, *(f"LOOK OUT: {trouble}" for trouble in evidence.troubles))


def _further_lines(evidence: "Evidence") -> list[str]:
    """A line for each further part that was measured."""
    lines: list[str] = []
    if (found := evidence.anchors) is not None:
        first, second = ("-" if x is None else f"{x:.2f}" for x in found.margin_correlation)
        ratio = "-" if found.faithfulness is None else f"{found.faithfulness:.4f}"
        lines += [
            f"against a constant guess ({found.constant_loss:.4f} nats): faithfulness {ratio}; "
            f"margins of circuit and model correlate {first} and {second} within the two classes"
        ]
    if (low := evidence.intervals.get("sufficiency")) is not None:
        lines += [f"95% interval of the circuit's loss: {low[0]:.4f} to {low[1]:.4f}"]
    if evidence.shortcuts is not None:
        lines += [f"shortcuts: {evidence.shortcuts.words}"]
    for share in evidence.rest.shares if evidence.rest is not None else ():
        lines += [
            f"{share.share:.0%} of the rest ablated: loss {share.mean:.4f}, p90 {share.p90:.4f}, "
            f"worst {share.worst:.4f}; random nodes kept {share.random_mean:.4f}"
        ]
    if evidence.resampled is not None:
        lines += [evidence.resampled.words]
    if evidence.adversary is not None:
        lines += [evidence.adversary.words]
    if evidence.reasons is not None:
        lines += [evidence.reasons.words]
    for one in evidence.specific.tasks if evidence.specific is not None else ():
        lines += [f"without the circuit, {one.task}: {one.rise:+.4f} nats"]
    return lines


def _settings(name: str | None, opened: "Experiment") -> "PruneSettings":
    from circuit_sparsity.evidence.prunings import settings_of
    from circuit_sparsity.pruning.settings import preset

    return settings_of(opened) if name is None else preset(name)


def _with_prunings(
    evidence: "Evidence",
    opened: "Experiment",
    settings: "PruneSettings",
    arguments: argparse.Namespace,
    say: Say,
) -> "Evidence":
    from circuit_sparsity.evidence.prunings import nonsense_control, stability, untrained_control
    from circuit_sparsity.experiment.opening import open_tokenizer
    from circuit_sparsity.pruning.request import open_subject

    def report(snapshot: "Snapshot") -> None:
        say(f"{snapshot.stage} {snapshot.done} of {snapshot.of}: {snapshot.nodes} nodes")

    circuit, means = opened.circuit, opened.means
    model, task, target = circuit.model, circuit.task, circuit.found.target
    if arguments.controls:
        subject = open_subject(model, task, settings, means=means, device=arguments.device)
        tokenizer = open_tokenizer(Store.from_environment(), model)
        evidence = evidence.with_control(nonsense_control(subject, circuit, settings, report))
        evidence = evidence.with_control(
            untrained_control(subject, opened, tokenizer, settings, report)
        )
    if arguments.seeds:
        seeds, k = range(arguments.seeds), circuit.size if target is None else None
        found = stability(
            model,
            task,
            settings,
            target=target,
            k=k,
            seeds=seeds,
            means=means,
            report=report,
            device=arguments.device,
        )
        evidence = dataclasses.replace(evidence, stability=found)
    return evidence


def _with_further(
    evidence: "Evidence", opened: "Experiment", parts: Sequence[str], say: Say
) -> "Evidence":
    from circuit_sparsity.evidence.further import measure_further
    from circuit_sparsity.experiment.opening import open_tokenizer, task_of

    store = Store.from_environment()
    return measure_further(
        evidence,
        opened,
        open_tokenizer(store, opened.circuit.model),
        task_of(store, opened.circuit),
        parts,
        lambda done, of: say(f"further: {done} of {of} measurements"),
    )
