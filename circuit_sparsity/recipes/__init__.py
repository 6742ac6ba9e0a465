"""Moved to `circuit_sparsity.circuits.recipe`; this name goes with the next version."""

import warnings

from circuit_sparsity.circuits.recipe import *  # noqa: F403

warnings.warn(
    "circuit_sparsity.recipes is circuit_sparsity.circuits.recipe now; "
    "the old name goes with the next version: import from there, or from circuit_sparsity itself",
    DeprecationWarning,
    stacklevel=2,
)
