"""The cache folder, what ships with the project, and the container: the only network code.

`Store.from_environment()` is the way in; `paths` names the files of the layout.
"""

from circuit_sparsity.store.atomic import write_atomically
from circuit_sparsity.store.errors import (
    Busy,
    Cancelled,
    Damaged,
    NoSpace,
    NotFound,
    NotHere,
    Refused,
    StoreError,
    Unreachable,
)
from circuit_sparsity.store.local import Item, Where
from circuit_sparsity.store.rows import ModelRow, Row
from circuit_sparsity.store.store import Store

__all__ = [
    "Busy",
    "Cancelled",
    "Damaged",
    "Item",
    "ModelRow",
    "NoSpace",
    "NotFound",
    "NotHere",
    "Refused",
    "Row",
    "Store",
    "StoreError",
    "Unreachable",
    "Where",
    "write_atomically",
]
