"""Nodes and edges as comma-separated values, for spreadsheets and data frames."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from circuit_sparsity.export.document import Document

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
