"""A masked model over compressed weights: gates in panels, and nodes that are out left out."""

from circuit_sparsity.pruning.panels.gates import score
from circuit_sparsity.pruning.panels.run import PanelModel, PanelRun, answer_margins, fits

__all__ = ["PanelModel", "PanelRun", "answer_margins", "fits", "score"]
