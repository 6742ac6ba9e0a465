"""`python -m circuit_sparsity.store` writes the sums of what ships into `cache/MANIFEST.json`."""

from circuit_sparsity.store import Store
from circuit_sparsity.store.health import write_manifest

if __name__ == "__main__":
    write_manifest(Store.from_environment().shipped)
