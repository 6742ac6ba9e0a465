"""``patch``: what steps at tokens and from other prompts do, or the patching map of a prompt."""

# torch does not type Tensor.tolist
# pyright: reportUnknownMemberType=false

import argparse
from typing import TYPE_CHECKING, Any, cast

from circuit_sparsity.cli.answer import Answer, Say, table
from circuit_sparsity.cli.arguments import add_circuit, open_named, whole_number

if TYPE_CHECKING:
    from circuit_sparsity.experiment.experiment import Experiment

_STRONGEST = 12  # cells that are printed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_circuit(parser)
    parser.add_argument(
        "step",
        metavar="STEP",
        nargs="*",
        help="such as 0.attn.k:210@last=pair: a node or 'source>target', @ a number, range, last, "
        "differing or 'token', = pair, resample:SEED, prompt:'TEXT', zero or a number; without "
        "steps the map of every kept part and token",
    )
    parser.add_argument(
        "--prompt",
        type=whole_number(0),
        help="of the circuit's, from 0; prompt i and i + half are a pair. A map is of that prompt "
        "(0), steps are carried out on both prompts of its pair (on all prompts)",
    )
    parser.add_argument(
        "--by", choices=["node", "head", "block", "location"], default="node", help="rows of a map"
    )
    parser.add_argument(
        "--classes", action="store_true", help="mean over all prompts: last, differing, the rest"
    )
    parser.add_argument("--whole-model", action="store_true", help="steps in the whole model")


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    if arguments.step and arguments.classes:
        raise ValueError("--classes is a map of all parts; leave the steps out")
    if arguments.whole_model and not arguments.step:
        raise ValueError("--whole-model carries out steps: name at least one")
    experiment = open_named(arguments)
    if arguments.step:
        return _steps(experiment, arguments)
    return _classes(experiment, arguments) if arguments.classes else _map(experiment, arguments)


def _steps(experiment: "Experiment", arguments: argparse.Namespace) -> Answer:
    from circuit_sparsity.circuits.recipe import Recipe
    from circuit_sparsity.experiment.recipes import effects, in_whole_model, on_pair

    if arguments.prompt is not None:
        pairs = experiment.batch.n_pairs
        is_other = pairs <= arguments.prompt < 2 * pairs
        experiment = on_pair(experiment, arguments.prompt - pairs * is_other)
    recipe = Recipe.parse(arguments.step)
    found = effects(experiment, recipe)
    data: dict[str, Any] = {
        "prompts": len(experiment.batch),
        "circuit_loss": found.before.loss,
        "loss": found.after.loss,
        "delta": found.delta,
        "interaction": found.interaction,
        "steps": [
            {"step": str(one.step), "alone": one.alone, "so_far": one.so_far} for one in found.steps
        ],
    }
    lines = [
        *table(
            ("step", "alone", "so far"),
            [(str(s.step), f"{s.alone:+.4f}", f"{s.so_far:+.4f}") for s in found.steps],
        ),
        f"together {found.before.loss:.4f} -> {found.after.loss:.4f} nats per sequence on "
        f"{len(experiment.batch)} prompts (interaction {found.interaction:+.4f})",
    ]
    if arguments.whole_model:
        whole = in_whole_model(experiment, recipe)
        data["whole_model"] = {"before": experiment.of_model.loss, "after": whole.loss}
        lines.append(
            f"in the whole model {experiment.of_model.loss:.4f} -> {whole.loss:.4f} nats per "
            "sequence"
        )
    return Answer(data, tuple(lines))


def _map(experiment: "Experiment", arguments: argparse.Namespace) -> Answer:
    from circuit_sparsity.patching.map import patching_map

    found = patching_map(experiment, arguments.prompt or 0, arguments.by)
    assert experiment.tokenizer is not None, "a circuit that was opened by name has its tokenizer"
    texts = [experiment.tokenizer.decode([token]) for token in found.tokens]
    data: dict[str, Any] = {
        "prompt": found.prompt,
        "tokens": texts,
        "here": found.here,
        "there": found.there,
        "parts": list(found.parts),
        "log_odds": found.log_odds.tolist(),
        "share": found.share.tolist(),
    }
    rows = [
        (name, str(at), repr(texts[at]), f"{share:+.3f}")
        for name, at, share in found.strongest(_STRONGEST)
    ]
    head = f"log odds {found.here:+.3f} here, {found.there:+.3f} on the other prompt, in nats"
    note = f"{len(found.parts)} parts x {len(texts)} tokens; the {len(rows)} that move it most"
    return Answer(data, (head, note, *table(("part", "token", "text", "share"), rows)))


def _classes(experiment: "Experiment", arguments: argparse.Namespace) -> Answer:
    from circuit_sparsity.patching.map import CLASSES, class_map

    found = class_map(experiment, arguments.by)
    shares = cast("list[list[float]]", found.share.tolist())
    parts = [
        {"part": name} | dict(zip(CLASSES, row, strict=True))
        for name, row in zip(found.parts, shares, strict=True)
    ]
    data = {"prompts": found.prompts, "here": found.here, "there": found.there, "parts": parts}
    rows = [
        (name, *(f"{value:+.3f}" for value in row))
        for name, row in zip(found.parts, shares, strict=True)
    ]
    rows.sort(key=lambda row: -max(abs(float(value)) for value in row[1:]))
    head = f"mean share over {found.prompts} prompts: 0 the prompt's own answer, 1 the other's"
    return Answer(data, (head, *table(("part", *CLASSES), rows)))
