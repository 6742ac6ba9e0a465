"""The circuits of the unpacked release layout, ready to run, and how contents differ."""

import json
from pathlib import Path
from typing import Any

import torch

from circuit_sparsity.core.tokenizer import load_tokenizer
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.release import StoredCircuit, read_means, read_viz, task_batch
from circuit_sparsity.runtime.assemble import load_model

YOLO1 = "csp_yolo1/single_double_quote/prune_v2"
YOLO2 = "csp_yolo2/bracket_counting_beeg/prune_v4/k_optim"
CIRCUITS = (
    f"{YOLO1}/16",
    f"{YOLO1}/64",
    f"{YOLO1}/128",
    YOLO2,
    "csp_yolo2/else_elif_beeg/prune_v4/k_optim",
    "csp_sweep1_1x_0.9Mnonzero_afrac0.125/single_double_quote/prune_v4/k_optim",
)


def open_experiment(root: Path, name: str) -> Experiment:
    stored = read_viz(root / "viz" / name / "viz_data.pt")
    circuit = stored.circuit
    model = load_model(root / "models" / circuit.model)
    means = read_means(root / "viz" / circuit.model / "mean_baseline_pretrain.pt")
    tokenizer = load_tokenizer(root / "tinypython")
    known = json.loads((root / "answers.json").read_text(encoding="utf-8"))
    words = known[f"{circuit.model}/{circuit.task}"]
    (first,), (second,) = (tokenizer.encode(word) for word in words)
    batch = task_batch(stored, (first, second))
    return Experiment(circuit, model, means.check(model.config), batch)


def raw_contents(root: Path, stored: StoredCircuit) -> dict[str, Any]:
    c = stored.circuit
    path = root / "viz" / c.model / c.task / c.sweep / c.k / "viz_data.pt"
    return torch.load(path, weights_only=True)


def all_windows(stored: StoredCircuit) -> torch.Tensor:
    """The text that the documents were taken from: each of its windows is some node's document."""
    found = {
        tuple(doc.tokens.tolist())
        for quantiles in stored.documents.values()
        for extremes in quantiles.values()
        for side in extremes
        for doc in side
    }
    return torch.tensor(sorted(found))


def differences(ours: object, theirs: object, values: bool = True, at: str = "") -> list[str]:
    """Where two contents differ in type, keys, order of keys, dtype, shape or (if so) value."""
    if type(ours) is not type(theirs):
        return [f"{at}: {type(ours).__name__} against {type(theirs).__name__}"]
    if isinstance(ours, torch.Tensor) and isinstance(theirs, torch.Tensor):
        forms = [(x.dtype, x.shape, x.requires_grad) for x in (ours, theirs)]
        same = forms[0] == forms[1] and (not values or torch.equal(ours, theirs))
        return [] if same else [f"{at}: {forms[0]} against {forms[1]}"]
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if [_key(key) for key in ours] != [_key(key) for key in theirs]:
            return [f"{at}: keys {list(ours)[:5]} against {list(theirs)[:5]}"]
        pairs = zip(ours.values(), theirs.values(), ours, strict=True)
        return [d for x, y, key in pairs for d in differences(x, y, values, f"{at}/{key}")]
    if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        if len(ours) != len(theirs):
            return [f"{at}: {len(ours)} against {len(theirs)} items"]
        pairs = zip(ours, theirs, range(len(ours)), strict=True)
        return [d for x, y, i in pairs for d in differences(x, y, values, f"{at}/{i}")]
    return [f"{at}: {ours!r} against {theirs!r}"] if values and ours != theirs else []


def _key(key: object) -> tuple[object, ...]:
    if isinstance(key, torch.Tensor):
        return ("tensor", key.dtype, tuple(key.shape), key.item())
    return (type(key).__name__, key)
