"""``python clear_cache.py``: delete downloads, as ``python -m circuit_sparsity clear`` does."""

import sys

from circuit_sparsity.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["clear", *sys.argv[1:]]))
