"""``evaluate``: the task loss of a circuit and of its model."""

import argparse

from circuit_sparsity.cli.answer import Answer, Say
from circuit_sparsity.cli.arguments import add_circuit, add_device, open_named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_circuit(parser)
    add_device(parser)


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    opened = open_named(arguments)
    model, circuit = opened.of_model, opened.of_circuit
    data = {
        "model_loss": model.loss,
        "circuit_loss": circuit.loss,
        "model_accuracy": model.accuracy,
        "circuit_accuracy": circuit.accuracy,
        "nodes": opened.circuit.size,
        "edges": len(opened.edges),
        "prompts": len(opened.batch),
    }
    return Answer(
        data,
        (
            opened.circuit.title,
            f"nodes {opened.circuit.size}, edges {len(opened.edges)}",
            f"measured on {opened.batch_name}; losses in nats per sequence, chance is 0.693",
            f"model    loss {model.loss:.4f}  right {model.accuracy:.1%}",
            f"circuit  loss {circuit.loss:.4f}  right {circuit.accuracy:.1%}",
        ),
    )
