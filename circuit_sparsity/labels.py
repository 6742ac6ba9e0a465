"""Moved to `circuit_sparsity.experiment.labels`; this name goes with the next version."""

import warnings

from circuit_sparsity.experiment.labels import *  # noqa: F403

warnings.warn(
    "circuit_sparsity.labels is circuit_sparsity.experiment.labels now; "
    "the old name goes with the next version: import from there, or from circuit_sparsity itself",
    DeprecationWarning,
    stacklevel=2,
)
