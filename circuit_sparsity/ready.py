"""Compile all kernels before somebody waits for one: python -m circuit_sparsity.ready"""

from circuit_sparsity.circuits.compiled.warm import warm_up as warm_up_circuits
from circuit_sparsity.sparse import keep_freed_memory, warm_up


def make_ready() -> None:
    """Compile what models and circuits compute with; a second once it is on disk.

    In a fresh installation it is half a minute of processor time.
    """
    keep_freed_memory()
    warm_up()
    warm_up_circuits()


if __name__ == "__main__":
    make_ready()
