"""``evaluate``: the task loss of a circuit and of its model."""

import argparse

from circuit_sparsity.cli.answer import Answer, Say, add_circuit, open_named

HELP = "run a circuit and its model on the task's prompts"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_circuit(parser)


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    it = open_named(arguments)
    model, circuit = it.of_model, it.of_circuit
    data = {
        "model_loss": model.loss,
        "circuit_loss": circuit.loss,
        "model_accuracy": model.accuracy,
        "circuit_accuracy": circuit.accuracy,
        "nodes": it.circuit.size,
        "edges": len(it.edges),
        "prompts": len(it.batch),
    }
    return Answer(
        data,
        (
            it.circuit.title,
            f"nodes {it.circuit.size}, edges {len(it.edges)}",
            f"measured on {it.batch_name}; losses in nats per sequence, chance is 0.693",
            f"model    loss {model.loss:.4f}  right {model.accuracy:.1%}",
            f"circuit  loss {circuit.loss:.4f}  right {circuit.accuracy:.1%}",
        ),
    )
