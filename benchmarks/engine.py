"""The sparse engine against the dense implementation of the same model."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from memory import grown_by_opening, peak_of_conversion
from models import YOLO1, Shape, random_model, random_weights
from safetensors.torch import save_file
from table import Row, timed

from circuit_sparsity.core.checkpoint import COMPACT_FILE, CONFIG_FILE, DENSE_FILE, pack
from circuit_sparsity.core.hooks import no_hook
from circuit_sparsity.core.model import GPT
from circuit_sparsity.kernels import SparseMatrix

DENSITIES = (1024, 256, 64, 32, 16, 8, 4, 2, 1)  # one over the share that is not zero


@torch.no_grad()
def forward(model: GPT, tokens: torch.Tensor) -> torch.Tensor:
    return model(tokens)[0]


def forward_and_gradient(model: GPT, tokens: torch.Tensor) -> torch.Tensor:
    """The gradient of the last logits with respect to the embedded tokens."""
    start = model.transformer.wte(tokens).requires_grad_()
    positions = model.transformer.wpe.weight[: tokens.shape[1]]
    x, positions = (start, positions) if model.config.d_pos_emb else (start + positions, None)
    for block in model.blocks:
        x = block(x, positions, no_hook)
    logits = model.unembed(x[:, -1], tokens[:, -1])
    return torch.autograd.grad(logits.logsumexp(-1).sum(), start)[0]


def forward_row(shape: Shape, at_least: float, rounds: int) -> Row:
    ours, dense = random_model(shape, "auto"), random_model(shape, "dense")
    tokens = torch.randint(shape.config.vocab_size, (1, 256))
    return timed(
        f"{shape.name} shape, forward, 256 tokens",
        lambda: forward(ours, tokens),
        lambda: forward(dense, tokens),
        rounds,
        at_least,
    )


def gradient_row(shape: Shape, at_least: float, rounds: int) -> Row:
    ours, dense = random_model(shape, "auto"), random_model(shape, "dense")
    tokens = torch.randint(shape.config.vocab_size, (4, 64))
    return timed(
        f"{shape.name} shape, forward and input gradient, 4 x 64 tokens",
        lambda: forward_and_gradient(ours, tokens),
        lambda: forward_and_gradient(dense, tokens),
        rounds,
        at_least,
    )


def memory_rows(shape: Shape) -> list[Row]:
    """Resident memory that opening takes, and anonymous memory at most while converting."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / CONFIG_FILE).write_text(json.dumps(shape.config.to_dict()))
        save_file(pack(random_weights(shape)), folder / COMPACT_FILE)
        opened = grown_by_opening(folder)
        (folder / COMPACT_FILE).unlink()
        dense = {n: _dense(x) for n, x in random_weights(shape).items()}
        torch.save(dense, folder / DENSE_FILE)
        largest = max(x.numel() * 4 for x in dense.values()) / 1e6
        del dense
        size = (folder / DENSE_FILE).stat().st_size / 1e6
        peak = peak_of_conversion(folder)
    note = f"largest tensor {largest:.0f} MB"
    return [
        Row(f"{shape.name} shape, resident memory of opening", opened, size, "MB", 20),
        Row(f"{shape.name} shape, anonymous memory of converting", peak, size, "MB", 8, note),
    ]


def _dense(x: torch.Tensor | SparseMatrix) -> torch.Tensor:
    return x.dense() if isinstance(x, SparseMatrix) else x


def density_rows(rounds: int) -> list[Row]:
    """One layer of the csp_yolo1 shape: where does keeping weights compressed stop to pay?"""
    config = replace(YOLO1.config, n_layer=1, enable_bigram_table=False)
    rows = []
    tokens = torch.randint(config.vocab_size, (1, 256))
    for part in DENSITIES:
        shape = Shape(f"1/{part}", config, 1 / part)
        ours, dense = random_model(shape, "sparse"), random_model(shape, "dense")
        rows.append(
            timed(
                f"one layer, 1024 channels, density 1/{part}, forward, 256 tokens",
                lambda ours=ours: forward(ours, tokens),
                lambda dense=dense: forward(dense, tokens),
                rounds,
                1.0 if part >= 4 else 0.0,
            )
        )
    return rows
