"""``evidence``: is a circuit real? Every measure, and the controls that could say otherwise."""

import argparse
import dataclasses

from circuit_sparsity.cli.answer import Answer, Say, add_circuit, open_named, table
from circuit_sparsity.evidence.definitions import DEFINITIONS
from circuit_sparsity.evidence.evidence import Evidence, write_evidence
from circuit_sparsity.evidence.further import PARTS, measure_further
from circuit_sparsity.evidence.measures import DRAWS, measure
from circuit_sparsity.evidence.prunings import (
    nonsense_control,
    ranking_of,
    settings_of,
    stability,
    untrained_control,
)
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.experiment.opening import open_tokenizer, task_of
from circuit_sparsity.pruning.learn import Snapshot
from circuit_sparsity.pruning.request import open_subject
from circuit_sparsity.pruning.settings import PRESETS, PruneSettings, preset
from circuit_sparsity.store import Store

HELP = "measure how real a circuit is, and store that beside it"
SHOWN = ("sufficiency", "necessity", "faithfulness", "completeness", "kl", "exact_match")
SHOWN += ("exact_match_full", "cpr", "cmd", "cpr_log", "cmd_log")
SHOWN += ("relative_sparsity", "full_sparsity")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_circuit(parser)
    parser.add_argument("--draws", type=int, default=DRAWS, help="random circuits of each kind")
    parser.add_argument(
        "--controls", action="store_true", help="prune for shuffled answers and without training"
    )
    parser.add_argument("--seeds", type=int, default=0, help="prune from so many seeds: stability")
    parser.add_argument("--preset", choices=sorted(PRESETS), help="of those prunings; as it was")

    parser.add_argument(
        "--further",
        nargs="*",
        choices=tuple(PARTS),
        metavar="PART",
        help=f"measure more: {', '.join(PARTS)}; all of them if none is named",
    )


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    store, experiment = Store.from_environment(), open_named(arguments)
    ranking, words = ranking_of(store, experiment)
    evidence = measure(
        experiment,
        None if ranking is None else ranking.order,
        words,
        arguments.draws,
        lambda done, of: say(f"{done} of {of} measurements"),
    )
    if arguments.controls or arguments.seeds:
        settings = _settings(arguments.preset, experiment)
        evidence = _with_prunings(evidence, experiment, settings, arguments, say)
    if arguments.further is not None:
        tokenizer = open_tokenizer(store, experiment.circuit.model)
        evidence = measure_further(
            evidence,
            experiment,
            tokenizer,
            task_of(store, experiment.circuit),
            arguments.further or tuple(PARTS),
            lambda done, of: say(f"further: {done} of {of} measurements"),
        )
    path = write_evidence(evidence, store, experiment.circuit)
    lines = (experiment.circuit.title, f"measured on {evidence.prompts}", *evidence_lines(evidence))
    told = {"troubles": list(evidence.troubles), "cautions": list(evidence.cautions)}
    return Answer(evidence.to_dict() | told, (*lines, f"stored in {path}"))


def evidence_data(evidence: Evidence) -> dict[str, object]:
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


def evidence_lines(evidence: Evidence) -> tuple[str, ...]:
    """A table of the measures, the controls, and what is wrong."""
    rows = []
    for key in SHOWN:
        value, one = getattr(evidence, key), DEFINITIONS[key]
        rows.append((one.name, "-" if value is None else f"{value:.4f}", one.unit, one.anchor))
    lines = [*table(("measure", "value", "unit", "hold it against"), rows)]
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


def _further_lines(evidence: Evidence) -> list[str]:
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


def _settings(name: str | None, experiment: Experiment) -> PruneSettings:
    if name is not None:
        return preset(name)
    return settings_of(experiment)


def _with_prunings(
    evidence: Evidence,
    experiment: Experiment,
    settings: PruneSettings,
    arguments: argparse.Namespace,
    say: Say,
) -> Evidence:
    def report(snapshot: Snapshot) -> None:
        say(f"{snapshot.stage} {snapshot.done} of {snapshot.of}: {snapshot.nodes} nodes")

    model, task, target = (
        experiment.circuit.model,
        experiment.circuit.task,
        experiment.circuit.found.target,
    )
    if arguments.controls:
        subject = open_subject(model, task, settings, means=experiment.means)
        tokenizer = open_tokenizer(Store.from_environment(), model)
        evidence = evidence.with_control(
            nonsense_control(subject, experiment.circuit, settings, report)
        )
        evidence = evidence.with_control(
            untrained_control(subject, experiment, tokenizer, settings, report)
        )
    if arguments.seeds:
        seeds, k = range(arguments.seeds), experiment.circuit.size if target is None else None
        found = stability(
            model,
            task,
            settings,
            target=target,
            k=k,
            seeds=seeds,
            means=experiment.means,
            report=report,
        )
        evidence = dataclasses.replace(evidence, stability=found)
    return evidence
