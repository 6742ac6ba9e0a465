"""``attribute``: what tokens, writes and layers of one prompt add to its answer, in nats."""

# torch does not type Tensor.tolist
# pyright: reportUnknownMemberType=false

import argparse
from typing import TYPE_CHECKING, Any, cast

from circuit_sparsity.cli.answer import Answer, Say, table
from circuit_sparsity.cli.arguments import add_circuit, add_prompt, open_named

if TYPE_CHECKING:
    from circuit_sparsity.experiment.experiment import Experiment

_MOST = 12  # writes that are printed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_circuit(parser)
    add_prompt(parser)
    parser.add_argument(
        "--whole-model", action="store_true", help="of the whole model, not of the circuit"
    )


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    experiment, prompt, whole = open_named(arguments), arguments.prompt, arguments.whole_model
    assert experiment.tokenizer is not None, "a circuit that was opened by name has its tokenizer"
    inputs = _inputs(experiment, prompt, whole, say)
    direct, lens = _direct(experiment, prompt, whole), _lens(experiment, prompt, whole)
    data = {"prompt": prompt, "inputs": inputs, "direct": direct, "lens": lens}
    methods = list(inputs["values"])
    tokens = [
        (str(i), repr(text), *(f"{inputs['values'][name][i]:+.3f}" for name in methods))
        for i, text in enumerate(inputs["tokens"])
    ]
    writes = sorted(direct["writes"], key=lambda one: -abs(one["adds"]))[:_MOST]
    return Answer(
        data,
        (
            f"log odds {inputs['log_odds']:+.3f} nats, the right answer against the wrong one",
            *table(("token", "text", *methods), tokens),
            "",
            f"directly: embedding {direct['embedding']:+.3f}, constant {direct['constant']:+.3f}",
            *table(("write", "adds"), [(one["node"], f"{one['adds']:+.3f}") for one in writes]),
            "",
            *table(
                ("depth", "log odds at the last token"),
                [(one["depth"], f"{one['log_odds']:+.3f}") for one in lens],
            ),
        ),
    )


def _inputs(experiment: "Experiment", prompt: int, whole: bool, say: Say) -> dict[str, Any]:
    from circuit_sparsity.patching.inputs import attribute_inputs

    say("attributing to tokens ...")
    found = attribute_inputs(experiment, prompt, whole)
    assert experiment.tokenizer is not None, "as asked above"
    return {
        "tokens": [experiment.tokenizer.decode([token]) for token in found.tokens],
        "log_odds": found.log_odds,
        "values": {name: values.tolist() for name, values in found.values.items()},
    }


def _direct(experiment: "Experiment", prompt: int, whole: bool) -> dict[str, Any]:
    from circuit_sparsity.patching.logits import direct_logits

    found = direct_logits(experiment, prompt, whole)
    return {
        "embedding": found.embedding,
        "constant": found.constant,
        "writes": [{"node": str(node), "adds": value} for node, value in found.writes.items()],
        "sources": [{"node": str(node), "adds": value} for node, value in found.sources.items()],
    }


def _lens(experiment: "Experiment", prompt: int, whole: bool) -> list[dict[str, Any]]:
    from circuit_sparsity.patching.logits import logit_lens

    found = logit_lens(experiment, prompt, whole)
    last = cast("list[float]", found.log_odds[:, -1].tolist())
    pairs = zip(found.depths, last, strict=True)
    return [{"depth": depth, "log_odds": value} for depth, value in pairs]
