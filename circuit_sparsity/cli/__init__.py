"""What each command of ``python -m circuit_sparsity`` does; printing is left to ``__main__``."""
