"""Nodes and edges as comma-separated values, for spreadsheets and data frames."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from circuit_sparsity.export.document import document
from circuit_sparsity.export.investigation import Investigation

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for a formula


def nodes_csv(found: Investigation) -> str:
    """One line a node, under a head."""
    return _csv(document(found)["nodes"])


def edges_csv(found: Investigation) -> str:
    """One line an edge, under a head."""
    columns = ("source", "target", "weight", "rise", "off", "label")
    return _csv(document(found)["edges"], columns)


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
