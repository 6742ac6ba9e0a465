"""A trained model as files: compact weights, tokenizer, reference means, curve, and a card.

Everything the card says is measured on the weights as they are stored.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from circuit_sparsity.checkpoint import load_model, save_model
from circuit_sparsity.circuits.means import Means, mean_activations
from circuit_sparsity.model import GPT
from circuit_sparsity.release import write_means
from circuit_sparsity.scores import CARD, KINDS, score
from circuit_sparsity.store import Store, paths
from circuit_sparsity.tasks import TASKS
from circuit_sparsity.tokenizer import Tokenizer
from circuit_sparsity.training.bigram import bigram_loss
from circuit_sparsity.training.corpus import Corpus
from circuit_sparsity.training.loop import as_tensor, held_out_loss
from circuit_sparsity.training.preparation import tokenizer_folder
from circuit_sparsity.training.settings import TrainSettings
from circuit_sparsity.training.stages import joined_curve, stages, tokens_seen

MEAN_WINDOWS = 512  # windows of the context's length that the reference means are taken over
TASK_PAIRS = 200


@dataclass(frozen=True)
class Published:
    """Where a model went and what was measured on it."""

    folder: Path
    card: Mapping[str, Any]


def publish(
    model: GPT,
    settings: TrainSettings,
    tokenizer: Tokenizer,
    corpus: Corpus,
    run: Path,
    store: Store,
) -> Published:
    """Write ``model`` among the store's own models, with everything that using it takes."""
    name = settings.name
    folder = store.local_folder(paths.model_folder(name), settings.to_dict())
    save_model(model.cpu(), folder)
    for file in paths.TOKENIZER:
        shutil.copyfile(tokenizer_folder(settings, run) / file, folder / file)
    stored = load_model(folder, engine="dense")
    viz = store.local_folder(str(Path(paths.means_name(name)).parent), {"what": "reference means"})
    write_means(reference_means(stored, settings, corpus), viz / paths.MEANS)
    curves = store.local_folder(str(Path(paths.curve_name(name)).parent), {"what": "training"})
    curve = "".join(f"{line}\n" for line in joined_curve(run))
    (curves / paths.CURVE).write_text(curve, encoding="utf-8")
    made = stages(run)
    card = {"name": name, "tokens_seen": tokens_seen(made), "stages": made}
    card |= measure(stored, settings, tokenizer, corpus)
    text = json.dumps(card, indent=1) + "\n"
    (folder / CARD).write_text(text, encoding="utf-8")
    return Published(folder, card)


def reference_means(model: GPT, settings: TrainSettings, corpus: Corpus) -> Means:
    """Means over held-out text, generated and real in the proportion trained on."""
    generated = round(MEAN_WINDOWS * settings.corpus.generated_share)
    parts = (
        (corpus.heldout_generated, generated),
        (corpus.heldout_real, MEAN_WINDOWS - generated),
    )
    windows = torch.cat([_windows(as_tensor(t), n, settings.context) for t, n in parts])
    return mean_activations(model, windows.split(32))


def _windows(tokens: Int[Tensor, " token"], n: int, length: int) -> Int[Tensor, "window pos"]:
    """``n`` windows spread evenly over ``tokens``."""
    starts = torch.linspace(0, len(tokens) - length, n).long()
    return tokens[starts[:, None] + torch.arange(length)]


def measure(
    model: GPT, settings: TrainSettings, tokenizer: Tokenizer, corpus: Corpus
) -> dict[str, Any]:
    """What a model holds and how well it does (losses in nats per token)."""
    texts = {
        "generated": (corpus.train_generated, corpus.heldout_generated),
        "real": (corpus.train_real, corpus.heldout_real),
    }
    weights = dict(model.named_parameters())
    return {
        "corpus": dict(corpus.stats),
        "nonzero": {name: int((p != 0).sum()) for name, p in weights.items()},
        "density": {name: float((p != 0).float().mean()) for name, p in weights.items()},
        "held_out": {
            part: {
                "model": held_out_loss(model, as_tensor(tokens), settings.context),
                "bigram": bigram_loss(train, tokens, tokenizer.n_vocab),  # of the same part
                "tokens": len(tokens),
            }
            for part, (train, tokens) in texts.items()
        },
        "tasks": {name: task_scores(model, tokenizer, name) for name in sorted(TASKS)},
    }


def task_scores(model: GPT, tokenizer: Tokenizer, name: str) -> dict[str, dict[str, float]]:
    """Two-way accuracy and loss on test contents, by whether training text has the structure."""
    return {kind: asdict(score(model, tokenizer, TASKS[name], kind, TASK_PAIRS)) for kind in KINDS}
