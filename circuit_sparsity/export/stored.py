"""A circuit's file as a document: what its maker measured, where the model is not at hand."""

from collections.abc import Mapping

from circuit_sparsity.circuits.wiring import Wiring
from circuit_sparsity.export.document import FORMAT, Document, links_of, place_of, which
from circuit_sparsity.release import StoredCircuit

UNITS = {
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
        "units": UNITS,
        "circuit": which(circuit, len(stored.edges), stored.total_nodes),
        "link": link,
        "prompts": f"{len(stored.task_samples.tokens)} prompts stored in the file",
        "losses": {"model": {"loss": stored.model_loss}, "circuit": {"loss": stored.circuit_loss}},
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
