"""Moved to `circuit_sparsity.experiment.opening`; this name goes with the next version."""

import warnings

from circuit_sparsity.experiment.opening import *  # noqa: F403

warnings.warn(
    "circuit_sparsity.opening is circuit_sparsity.experiment.opening now; "
    "the old name goes with the next version: import from there, or from circuit_sparsity itself",
    DeprecationWarning,
    stacklevel=2,
)
