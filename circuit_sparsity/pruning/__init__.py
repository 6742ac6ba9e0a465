"""Find circuits: rank the nodes, bisect how many stay, remove what is not needed.

``prune(model, task, target=0.15)`` is the way in; ``PruneSettings`` says how it looks.
"""

from circuit_sparsity.pruning.request import prune
from circuit_sparsity.pruning.settings import PruneSettings

__all__ = ["PruneSettings", "prune"]
