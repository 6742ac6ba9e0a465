"""Time the compressed product against its alternatives: python benchmarks/kernels.py TABLE

Each alternative takes its turn in every round, so that a busy machine slows all of them alike; the
figure is the median. With one thread it is the thread's own processor time.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import scipy.sparse
import torch
from torch.nn import functional

from circuit_sparsity.kernels import (
    SparseMatrix,
    abs_top_k,
    abs_top_k_panels,
    sparse_linear,
    to_panels,
    top_k_mask_flat,
)

Work = Callable[[], object]


def medians(works: dict[str, Work], rounds: int) -> dict[str, float]:
    """Milliseconds of each, all taking turns."""
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            start = clock()
            work()
            if turn:
                times[name].append(1e3 * (clock() - start))
    return {name: statistics.median(all_of) for name, all_of in times.items()}


def random_matrix(rows: int, columns: int, density: float) -> SparseMatrix:
    count = max(1, round(rows * columns * density))
    flat = torch.randint(rows * columns, (count,))
    return SparseMatrix.from_entries(
        flat // columns, flat % columns, torch.randn(count), (rows, columns)
    )


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(f"{x:.3f}" if isinstance(x, float) else str(x) for x in row) + " |")


def products(rounds: int) -> None:
    head = ("matrix", "density", "tokens", "panels", "channels x tokens", "scipy CSR", "torch CSR")
    rows = []
    for (columns, rows_, part), tokens in [
        (shape, tokens)
        for shape in [(2048, 8192, 1024), (8192, 2048, 1024), (1024, 4096, 256), (1024, 4096, 16)]
        for tokens in (1, 64, 256, 1024)
    ]:
        matrix = random_matrix(rows_, columns, 1 / part)
        dense, bias = matrix.dense(), torch.randn(rows_)
        x = torch.randn(columns, tokens)
        panels, first = to_panels(x.T), x.T.contiguous()
        plain, shift = x.numpy(), bias[:, None].numpy()
        arrays = (matrix.values.numpy(), matrix.columns.numpy(), matrix.starts.numpy())
        theirs = scipy.sparse.csr_matrix(arrays, shape=matrix.shape)
        torchs = torch.sparse_csr_tensor(
            matrix.starts, matrix.columns, matrix.values, size=matrix.shape
        )
        got = medians(
            {
                "panels": lambda m=matrix, p=panels, b=bias: sparse_linear(p, m, b),
                "plain": lambda m=matrix, x=x, b=bias: sparse_linear(x, m, b),
                "scipy": lambda m=theirs, x=plain, b=shift: m @ x + b,
                "torch": lambda m=torchs, x=x, b=bias[:, None]: m @ x + b,
                "dense": lambda d=dense, x=first, b=bias: functional.linear(x, d, b),
                "gelu": lambda m=matrix, p=panels, b=bias: sparse_linear(p, m, b, "gelu"),
                "gelu after": lambda m=matrix, p=panels, b=bias: functional.gelu(
                    sparse_linear(p, m, b)
                ),
            },
            rounds,
        )
        rows.append((f"{columns} to {rows_}", f"1/{part}", tokens, *got.values()))
    print_table((*head, "dense", "panels + GELU", "panels, GELU after"), rows)


def crossover(rounds: int) -> None:
    parts = (1024, 256, 64, 32, 16, 8, 4, 2)
    rows = []
    for columns, rows_, tokens in [
        *((1024, 4096, tokens) for tokens in (1, 16, 64, 256, 2048)),
        *((256, 1024, tokens) for tokens in (1, 16, 64, 256, 2048, 16_384)),
    ]:
        ratios: list[object] = []
        x = torch.randn(tokens, columns)
        panels = to_panels(x)
        for part in parts:
            matrix = random_matrix(rows_, columns, 1 / part)
            dense, bias = matrix.dense(), torch.randn(rows_)
            got = medians(
                {
                    "sparse": lambda m=matrix, b=bias, p=panels: sparse_linear(p, m, b),
                    "dense": lambda d=dense, b=bias, x=x: functional.linear(x, d, b),
                },
                rounds,
            )
            ratios.append(f"{got['dense'] / got['sparse']:.2f}")
        rows.append((f"{columns} to {rows_}", tokens, *ratios))
    print("Dense time over compressed time; above 1 the compressed product is faster.\n")
    print_table(("matrix", "tokens", *(f"1/{part}" for part in parts)), rows)


def topk(rounds: int) -> None:
    rows = []
    for tokens, width, k in ((4096, 1024, 256), (256, 2048, 512), (256, 8192, 2048)):
        x = torch.randn(tokens, width)
        panels = to_panels(x)
        got = medians(
            {
                "rows": lambda x=x, k=k: abs_top_k(x, k),
                "panels": lambda p=panels, k=k: abs_top_k_panels(p, k),
                "torch": lambda x=x, k=k: x.abs().topk(k, sorted=False),
            },
            rounds,
        )
        rows.append((f"{tokens} x {width}", k, *got.values()))
    print_table(("activations", "k", "tokens first", "panels", "torch.topk alone"), rows)
    rows = []
    for size, k in ((1 << 19, 1 << 9), (1 << 19, 1 << 17), (1 << 21, 1 << 14)):
        x = torch.randn(size)
        got = medians(
            {
                "mask": lambda x=x, k=k: top_k_mask_flat(x, k),
                "torch": lambda x=x, k=k: x.abs().topk(k, sorted=False),
            },
            rounds,
        )
        rows.append((size, k, *got.values()))
    print()
    print_table(("weights", "k", "mask", "torch.topk alone"), rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    tables = {"products": products, "crossover": crossover, "topk": topk}
    parser.add_argument("table", choices=tables)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    tables[args.table](args.rounds)
