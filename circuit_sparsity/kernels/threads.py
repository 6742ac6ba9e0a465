"""Split rows over a small shared pool of threads.

numba's own thread layers are no choice here: ``workqueue`` aborts the process when two Python
threads enter it at once, and a page runs each visitor in a thread. Kernels therefore release the
GIL (``nogil=True``) and the rows are split here.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

import torch


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="sparse")


if hasattr(os, "register_at_fork"):  # threads do not survive a fork: a child makes its own
    os.register_at_fork(after_in_child=_pool.cache_clear)


def split(total: int, least: int) -> list[tuple[int, int]]:
    """Cut ``range(total)`` into equal parts, one per torch thread, none under ``least`` long.

    >>> split(3, least=10)
    [(0, 3)]
    >>> split(0, least=10)
    []
    """
    parts = max(1, min(torch.get_num_threads(), total // max(least, 1)))
    cuts = [total * part // parts for part in range(parts + 1)]
    return [(start, stop) for start, stop in zip(cuts, cuts[1:], strict=False) if stop > start]


def run_parts(work: Callable[[int, int], None], parts: list[tuple[int, int]]) -> None:
    """Call ``work(start, stop)`` for every part; the calling thread takes the first.

    A part that no pool thread has begun by then (the pool may be busy with another caller) is
    taken back and done here, so callers never queue behind each other.
    """
    if len(parts) < 2:
        for start, stop in parts:
            work(start, stop)
        return
    pool = _pool(max(1, (os.cpu_count() or 2) - 1))
    waiting: list[tuple[Future[None], tuple[int, int]]] = [
        (pool.submit(work, *part), part) for part in parts[1:]
    ]
    work(*parts[0])
    for future, part in waiting:
        if future.cancel():
            work(*part)
        else:
            future.result()
