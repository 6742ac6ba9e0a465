"""Moved to `circuit_sparsity.experiment.recipes`; this name goes with the next version."""

import warnings

from circuit_sparsity.experiment.recipes import *  # noqa: F403

warnings.warn(
    "circuit_sparsity.recipes.effects is circuit_sparsity.experiment.recipes now; "
    "the old name goes with the next version: import from there, or from circuit_sparsity itself",
    DeprecationWarning,
    stacklevel=2,
)
