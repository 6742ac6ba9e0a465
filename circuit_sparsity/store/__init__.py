"""The cache folder, what ships with the project, and the container: the only network code.

`Store.from_environment()` is the way in; `paths` names the files of the layout.
"""

from circuit_sparsity.store.atomic import write_atomically
from circuit_sparsity.store.container import Fetched, Refreshed
from circuit_sparsity.store.errors import (
    Busy,
    Damaged,
    NoSpace,
    NotFound,
    NotHere,
    NotListable,
    Refused,
    StoreError,
    TransferCancelled,
    Unreachable,
)
from circuit_sparsity.store.local import Item, ModelRow, Row, Where
from circuit_sparsity.store.progress import Progress
from circuit_sparsity.store.store import Store
from circuit_sparsity.store.upkeep import Usage

__all__ = [
    "Busy",
    "TransferCancelled",
    "Damaged",
    "Fetched",
    "Item",
    "ModelRow",
    "NoSpace",
    "NotFound",
    "NotHere",
    "NotListable",
    "Progress",
    "Refreshed",
    "Refused",
    "Row",
    "Store",
    "StoreError",
    "Unreachable",
    "Usage",
    "Where",
    "write_atomically",
]
