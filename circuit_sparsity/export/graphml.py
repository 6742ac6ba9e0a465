"""The circuit as GraphML, which Gephi, Cytoscape, yEd and networkx read."""

import re
from collections.abc import Mapping
from typing import Any

import networkx

from circuit_sparsity.export.document import Document

# What XML 1.0 has no way to write: control characters and halves of surrogate pairs.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def graphml(told: Document) -> str:
    """Nodes and edges with their numbers and labels; links through residual stream and attention.

    An edge's ``by`` says what joins: ``weight``, ``residual stream`` or ``attention``.
    """
    circuit = told["circuit"]
    title = " · ".join(circuit[part] for part in ("model", "task", "sweep", "k"))
    graph = networkx.DiGraph(title=title, prompts=told["prompts"], **_attributes(told["units"]))
    for node in told["nodes"]:
        graph.add_node(node["node"], **_attributes(node))
    for edge in told["edges"]:
        graph.add_edge(edge["source"], edge["target"], by="weight", **_attributes(edge))
    for link in told["links"]:
        graph.add_edge(link["source"], link["target"], by=link["by"])
    return '<?xml version="1.0" encoding="utf-8"?>\n' + "\n".join(networkx.generate_graphml(graph))


def _attributes(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is nothing, and with text that XML can hold."""
    return {
        key: _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", value) if isinstance(value, str) else value
        for key, value in values.items()
        if value is not None and key not in ("node", "source", "target")
    }
