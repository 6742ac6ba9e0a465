"""Shape annotations are checked while the tests run."""

from jaxtyping import install_import_hook

install_import_hook("circuit_sparsity", "beartype.beartype")
