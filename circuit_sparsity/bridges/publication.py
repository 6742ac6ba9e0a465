"""A trained pair as files: the sparse model, its bridges, its means, and a card.

Everything the card says is measured on the files as they are stored.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from circuit_sparsity.bridges.bridge import Bridges
from circuit_sparsity.bridges.evaluation import Windows, evaluate, windows_of
from circuit_sparsity.bridges.files import FILE, StoredBridges, read_bridges, write_bridges
from circuit_sparsity.bridges.ridge import ridge_bridges
from circuit_sparsity.bridges.settings import BridgeSettings
from circuit_sparsity.bridges.training import CHECKPOINT, PROGRESS, Trained
from circuit_sparsity.core.checkpoint import save_model
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.experiment.scores import CARD, card_of
from circuit_sparsity.release import write_means
from circuit_sparsity.runtime.assemble import load_model
from circuit_sparsity.store import Store, paths
from circuit_sparsity.training.corpus import Corpus, CorpusSettings, Sampler
from circuit_sparsity.training.generation import generated_tokens
from circuit_sparsity.training.loop import as_tensor
from circuit_sparsity.training.optimiser import alive_mask
from circuit_sparsity.training.publication import measure, reference_means
from circuit_sparsity.training.settings import TrainSettings

EVALUATED = 16_384  # held-out tokens behind the card's scores
RIDGE_TOKENS = 65_536  # of the baselines by ridge regression
_AT_ONCE = 8  # windows


@dataclass(frozen=True)
class Published:
    """Where a pair went and what was measured on it."""

    folder: Path
    card: Mapping[str, Any]


def publish(
    trained: Trained,
    settings: BridgeSettings,
    before: GPT,
    dense: GPT,
    tokenizer: Tokenizer,
    corpus: Corpus,
    run: Path,
    store: Store,
) -> Published:
    """Write the sparse model and its bridges among the store's own models, with a card.

    ``before`` is the sparse model that training began with: ridge regression between it and
    ``dense`` is the baseline, and between a random model as sparse as it and ``dense`` the other.
    """
    folder = store.local_folder(paths.model_folder(settings.name), settings.to_dict())
    save_model(trained.sparse.cpu(), folder)
    tokens_at = store.path_of_tokenizer(settings.sparse)
    assert tokens_at is not None, f"{settings.sparse} was opened with its tokenizer"
    for file in paths.TOKENIZER:
        shutil.copyfile(tokens_at / file, folder / file)
    named = (settings.name, settings.dense, tokenizer.fingerprint)
    write_bridges(StoredBridges(trained.bridges.cpu(), *named), folder / FILE)
    stored = load_model(folder)
    plain = _as_training(settings, stored)
    means = store.local_folder(str(Path(paths.means_name(settings.name)).parent), {"what": "means"})
    write_means(reference_means(stored, plain, corpus), means / paths.MEANS)
    curves = store.local_folder(
        str(Path(paths.curve_name(settings.name)).parent), {"what": "training"}
    )
    shutil.copyfile(run / PROGRESS, curves / paths.CURVE)
    card = _origin(store, settings, run)
    joined = load_model(folder, engine="dense")  # hybrids let rows in on the way
    card |= {"bridges": scores(joined, before, dense, read_bridges(folder / FILE).bridges, corpus)}
    card |= measure(joined, plain, tokenizer, corpus)
    (folder / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return Published(folder, card)


def scores(
    sparse: GPT, before: GPT, dense: GPT, bridges: Bridges, corpus: Corpus
) -> dict[str, Any]:
    """Scores by site of these bridges, and of ridge regression with two other sparse models."""
    length = min(sparse.config.block_size, dense.config.block_size)
    held_out = as_tensor(corpus.heldout_generated)
    text = windows_of(held_out, length, _AT_ONCE, EVALUATED // length)
    generator = torch.Generator().manual_seed(0)
    rows = max(1, RIDGE_TOKENS // length)
    fitted, _ = Sampler(corpus).batch(generator, rows, length)
    found = {"trained": evaluate(sparse, dense, bridges, text).to_dict()}
    others = {"ridge": before, "ridge_of_untrained": untrained_like(sparse)}
    for name, other in others.items():
        solved = ridge_bridges(other, dense, fitted.split(_AT_ONCE), bridges.pairing, bridges.kept)
        found[name] = evaluate(other, dense, solved, text).to_dict()
    return {"context": length, "kept": bridges.kept, "pairing": str(bridges.pairing)} | found


def untrained_like(model: GPT, seed: int = 0) -> GPT:
    """A model with fresh weights, as many of them in each matrix as ``model`` has."""
    fresh = GPT(model.config)
    fresh.initialise(seed)
    counts = {name: int((x != 0).sum()) for name, x in model.named_parameters()}
    with torch.no_grad():
        for name, parameter in fresh.named_parameters():
            if parameter.dim() == 2 and 0 < counts[name] < parameter.numel():
                parameter.mul_(alive_mask(parameter.detach(), counts[name]))
    return fresh.eval().requires_grad_(False)


def held_out_windows(
    store: Store, model: str, tokenizer: Tokenizer, length: int, tokens: int
) -> list[Windows]:
    """Held-out generated text like what ``model`` was trained on, in windows of ``length``.

    What it was trained on is told by its card; without one, programs of the usual mixture.
    """
    stages: Sequence[Mapping[str, Any]] = (card_of(store, model) or {}).get("stages", ())
    told = stages[-1]["settings"]["corpus"] if stages else {}
    corpus = CorpusSettings(**told)
    count = max(1, tokens // length)
    text, _ = generated_tokens(
        f"{corpus.seed}/heldout", count * length + 1, tokenizer, 1, corpus.mixture
    )
    return windows_of(as_tensor(text), length, _AT_ONCE, count)


def _as_training(settings: BridgeSettings, model: GPT) -> TrainSettings:
    """What the measures of trained models read: the text's shares and the longest windows."""
    return TrainSettings(
        settings.name, model.config, settings.corpus, context=model.config.block_size
    )


def _origin(store: Store, settings: BridgeSettings, run: Path) -> dict[str, Any]:
    """Name, and every run that led here: those on the sparse model's card, and those of bridges."""
    before = card_of(store, settings.sparse) or {}
    made = _runs(run)
    seen = sum(
        stage["steps"] * stage["settings"]["batch"] * stage["settings"]["context"]
        for stage in made
        if stage["settings"]["joint"]
    )
    return {
        "name": settings.name,
        "dense": settings.dense,
        "tokens_seen": before.get("tokens_seen", 0) + seen,
        "stages": [*before.get("stages", ()), *made],
    }


def _runs(run: Path) -> list[dict[str, Any]]:
    """Settings and steps of each bridge training that led to the one in ``run``, in order."""
    state = torch.load(run / CHECKPOINT, weights_only=True)
    settings = json.loads(state["settings"])
    before = settings["start_from"]
    earlier = _runs(run.parent / before) if before else []
    return [*earlier, {"run": run.name, "steps": state["step"], "settings": settings}]
