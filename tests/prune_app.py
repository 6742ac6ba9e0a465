"""A process that prunes as the app does, says when it has begun, and then waits to be killed."""

import sys
import threading

from circuit_sparsity.pruning.request import PruneRequest
from circuit_sparsity.pruning.settings import QUICK
from circuit_sparsity.store import Store
from circuit_sparsity.ui.prune import jobs as prune_jobs

if __name__ == "__main__":
    model, task, k = sys.argv[1:]

    def endless(*given: object, **named: object) -> None:
        print("began", flush=True)  # noqa: T201
        threading.Event().wait()

    prune_jobs.carry_out = endless
    request = PruneRequest(model, task, k=int(k), settings=QUICK)
    prune_jobs.prune(Store.from_environment(), request).result()
