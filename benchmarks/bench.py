"""The claims of speed and memory, measured here: python benchmarks/bench.py [GROUP ...]"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from circuits import SIZES, ablation_rows, size_rows, stream_rows
from engine import DENSITIES, density_rows, forward_row, gradient_row, memory_rows
from models import YOLO1, YOLO2
from picture import draw_density, draw_nodes
from table import Row, print_rows

from circuit_sparsity.runtime.warm_up import warm_up

GROUPS: dict[str, Callable[[int], list[Row]]] = {
    "forward": lambda rounds: [forward_row(YOLO2, 15, rounds), forward_row(YOLO1, 6, rounds)],
    "gradient": lambda rounds: [gradient_row(YOLO2, 12, rounds)],
    "memory": lambda rounds: memory_rows(YOLO2),
    "ablation": lambda rounds: ablation_rows(YOLO2, rounds),
    "density": density_rows,
    "streams": lambda rounds: stream_rows(YOLO2, rounds),
    "nodes": lambda rounds: size_rows(YOLO2, rounds),
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("group", nargs="*", choices=[[], *GROUPS], default=list(GROUPS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pictures", type=Path, help="folder to draw density and nodes into")
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    warm_up()
    for group in args.group:
        rows = GROUPS[group](args.rounds)
        print_rows(rows)
        if group == "density" and args.pictures:
            draw_density(DENSITIES, rows, args.pictures / "density.png")
        if group == "nodes" and args.pictures:
            draw_nodes(SIZES, rows, args.pictures / "kept_nodes.png")
