"""The whole command in a process of its own, with few documents, so that it is quick."""

import sys

from circuit_sparsity.__main__ import main
from circuit_sparsity.pruning import request

if __name__ == "__main__":
    request.DOCUMENT_WINDOWS = 2
    sys.exit(main())
