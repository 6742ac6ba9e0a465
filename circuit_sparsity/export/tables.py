"""Nodes and edges as comma-separated values, for spreadsheets and data frames."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
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


_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for a formula


def nodes_csv(told: Document) -> str:
    """One line a node, under a head."""
    return _csv(told["nodes"])


def edges_csv(told: Document) -> str:
    """One line an edge, under a head."""
    columns = ("source", "target", "weight", "rise", "off", "label")
    return _csv(told["edges"], columns)


def _csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns or list(rows[0] if rows else ()), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    """
    >>> _cell("=HYPERLINK(1)"), _cell(-0.5), _cell(None)
    ("'=HYPERLINK(1)", -0.5, '')
    """
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
