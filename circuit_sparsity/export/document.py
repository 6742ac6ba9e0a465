"""An investigation as one JSON value: the circuit, what it costs, labels, recipe, evidence."""

import json
import math
from collections.abc import Mapping
from typing import Any

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import Edge
from circuit_sparsity.circuits.wiring import Wiring
from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.experiment import Outcome
from circuit_sparsity.export.investigation import Investigation
from circuit_sparsity.release import StoredCircuit

FORMAT = 1
Document = dict[str, Any]  # JSON values
UNITS = {
    "loss": "nats per sequence: cross-entropy over the two answers; 0.6931 is chance",
    "rise": "nats per sequence: the loss without that part alone, less the circuit's loss",
    "p_right": "probability of the right answer against the wrong one, mean over prompts",
    "mean": "activation over pretraining text, at which a node that does not run is held",
    "weight": "as in the model",
}


def document(found: Investigation) -> Document:
    """JSON values; every number's unit is in ``units``, what it is measured on in ``prompts``."""
    experiment = found.experiment
    circuit = experiment.circuit
    return {
        "format": FORMAT,
        "units": UNITS,
        "circuit": which(circuit, len(experiment.edges), found.model_nodes)
        | {"means_sha256": experiment.means.hash, "found": circuit.found.to_dict()},
        "link": found.link,
        "prompts": experiment.batch_name,
        "losses": {
            "model": _outcome(experiment.of_model),
            "circuit": _outcome(experiment.of_circuit),
        },
        "rises_measured_on": found.rises_on,
        "answers": [{"token": t, "text": found.text_of([t])} for t in found.answers],
        "ablation": _ablation(found),
        "recipe": found.recipe,
        "labels": dict(found.labels),
        **({"views": dict(found.views)} if found.views else {}),
        "nodes": [_node(found, node) for node in found.wiring.nodes],
        "edges": [_edge(found, edge) for edge in found.wiring.edges],
        "links": links_of(found.wiring),
        "evidence": None if found.evidence is None else found.evidence.to_dict(),
        "model_config": experiment.model.config.to_dict(),
    }


def as_json(told: Document) -> str:
    """A document as text; a number that JSON has no word for is an error."""
    return json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def which(circuit: Circuit, edges: int, model_nodes: int) -> dict[str, Any]:
    """A circuit's four names and its size."""
    return {
        "model": circuit.model,
        "task": circuit.task,
        "sweep": circuit.sweep,
        "k": circuit.k,
        "nodes": circuit.size,
        "edges": edges,
        "model_nodes": model_nodes,
    }


def links_of(wiring: Wiring) -> list[dict[str, str]]:
    """What joins nodes without a weight: the residual stream, and queries, keys and values."""
    joined = (("residual stream", wiring.residual), ("attention", wiring.attention))
    return [
        {"source": str(link.source), "target": str(link.target), "by": by}
        for by, links in joined
        for link in links
    ]


def place_of(node: Node, d_head: int) -> dict[str, Any]:
    """Where a node is, in words and numbers."""
    place = node.location
    heads = place.kind in ("q", "k", "v")
    return {
        "node": str(node),
        "layer": place.layer,
        "block": place.block,
        "kind": place.kind,
        "channel": node.channel,
        "head": node.channel // d_head if heads else None,
    }


def _outcome(outcome: Outcome) -> dict[str, float]:
    return {"loss": outcome.loss, "p_right": outcome.p_right, "accuracy": outcome.accuracy}


def _ablation(found: Investigation) -> dict[str, Any] | None:
    effect = found.effect
    if effect is None:
        return None
    return {
        "parts": [
            {"part": str(part), "held": found.held.get(str(part), "held at its mean")}
            for part in effect.parts
        ],
        "before": _outcome(effect.before),
        "after": _outcome(effect.after),
        "rise": effect.delta,
    }


def _node(found: Investigation, node: Node) -> dict[str, Any]:
    experiment = found.experiment
    return place_of(node, experiment.model.config.d_head) | {
        "mean": float(experiment.means.values[node.location][node.channel]),
        "rise": found.rises.get(node),
        "off": node in found.off,
        "label": found.labels.get(str(node), ""),
    }


def _edge(found: Investigation, edge: Edge) -> dict[str, Any]:
    return {
        "source": str(edge.source),
        "target": str(edge.target),
        "weight": edge.weight,
        "rise": found.rises.get(edge),
        "off": edge in found.off,
        "label": found.labels.get(str(edge), ""),
    }


STORED_UNITS = {
    "loss": "nats per sequence, as the file has it, halved; 0.6931 is chance",
    "rise": "nats per sequence: the loss without that part alone, less the circuit's loss; stored",
    "weight": "as in the model",
}


def stored_document(
    stored: StoredCircuit, wiring: Wiring, labels: Mapping[str, str], link: str = ""
) -> Document:
    """JSON values, as `document` has them, of stored numbers alone.

    ``wiring`` is that of the stored edges, ``labels`` the reader's, by node, ``link`` a page's.
    """
    circuit = stored.circuit
    return {
        "format": FORMAT,
        "units": STORED_UNITS,
        "circuit": which(circuit, len(stored.edges), stored.total_nodes),
        "link": link,
        "prompts": f"{len(stored.task_samples.tokens)} prompts stored in the file",
        "losses": {
            name: {"loss": None if math.isnan(loss) else loss}
            for name, loss in (("model", stored.model_loss), ("circuit", stored.circuit_loss))
        },
        "labels": dict(labels),
        "nodes": [
            place_of(node, stored.config.d_head)
            | {"rise": stored.node_delta(node), "label": labels.get(str(node), "")}
            for node in circuit.node_list
        ],
        "edges": [
            {
                "source": str(edge.source),
                "target": str(edge.target),
                "weight": edge.weight,
                "rise": edge.delta,
                "off": False,
                "label": "",
            }
            for edge in stored.edges
        ],
        "links": links_of(wiring),
        "prune_config": dict(stored.prune_config),
        "model_config": stored.config.to_dict(),
    }
