"""A trained model as files: compact weights, tokenizer, reference means, curve, and a card.

Everything the card says is measured on the weights as they are stored.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, Int64, UInt16
from torch import Tensor

from circuit_sparsity.circuits.means import Means, mean_activations
from circuit_sparsity.core.checkpoint import save_model
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.experiment.scores import CARD, KINDS, score
from circuit_sparsity.release import write_means
from circuit_sparsity.runtime.assemble import load_model
from circuit_sparsity.store import Store, paths, write_atomically
from circuit_sparsity.store.atomic import write_sum
from circuit_sparsity.tasks import TASKS
from circuit_sparsity.training.checkpoints import read_checkpoint, read_progress
from circuit_sparsity.training.corpus import Corpus, tokenizer_folder
from circuit_sparsity.training.loop import as_tensor, held_out_loss
from circuit_sparsity.training.settings import TrainSettings

_CHUNK = 1_000_000


def bigram_loss(
    train: UInt16[np.ndarray, " train"], heldout: UInt16[np.ndarray, " heldout"], n_vocab: int
) -> float:
    """Nats per token of `heldout` under a bigram model counted on `train`.

    Witten-Bell smoothing: p(b|a) = (n(ab) + t(a) p(b)) / (n(a) + t(a)), where t(a) is the number
    of different tokens seen after a, and p(b) = (n(b) + 1) / (n + n_vocab). A token never seen
    in `train` is thus followed by p(b). Pairs of one document's end and the next one's beginning
    count like any other.

    Raises ValueError when either text has no pair of tokens.
    """
    if len(train) < 2 or len(heldout) < 2:
        raise ValueError(
            f"A bigram needs two tokens: got {len(train)} to train on and {len(heldout)} held out."
        )
    pairs = _pair_counts(train, n_vocab)
    single = np.bincount(train, minlength=n_vocab)
    unigram = (single + 1) / (len(train) + n_vocab)
    first, second = heldout[:-1].astype(np.int64), heldout[1:].astype(np.int64)
    followed = pairs.sum(axis=1)[first]
    variety = (pairs > 0).sum(axis=1)[first]
    seen = np.where(followed > 0, pairs[first, second] + variety * unigram[second], unigram[second])
    return float(-np.log(seen / np.maximum(followed + variety, 1)).mean())


def _pair_counts(
    tokens: UInt16[np.ndarray, " token"], n_vocab: int
) -> Int64[np.ndarray, "first second"]:
    counts = np.zeros(n_vocab * n_vocab, dtype=np.int64)
    for start in range(0, len(tokens) - 1, _CHUNK):
        part = tokens[start : start + _CHUNK + 1].astype(np.int64)
        counts += np.bincount(part[:-1] * n_vocab + part[1:], minlength=n_vocab * n_vocab)
    return counts.reshape(n_vocab, n_vocab)


def stages(run: Path) -> list[dict[str, Any]]:
    """Settings and steps of each run that led to the one in folder ``run``, the first one first."""
    state = read_checkpoint(run)
    if state is None:
        raise ValueError(f"{run} holds no checkpoint: train that run first")
    settings: dict[str, Any] = json.loads(state.settings)
    before = settings.get("start_from")
    earlier = stages(run.parent / before) if before else []
    return [*earlier, {"run": run.name, "steps": state.step, "settings": settings}]


def tokens_seen(made: list[dict[str, Any]]) -> int:
    """Tokens over all stages, repeated ones counted again."""
    sizes = (stage["settings"]["batch"] * stage["settings"]["context"] for stage in made)
    return sum(size * stage["steps"] for size, stage in zip(sizes, made, strict=True))


def joined_curve(run: Path) -> Iterator[str]:
    """Lines of ``progress.json`` over all stages; steps and tokens count from the first one."""
    steps = tokens = 0
    for stage in stages(run):
        for line in read_progress(run.parent / stage["run"]):
            if line["step"] <= stage["steps"]:
                line |= {"step": line["step"] + steps, "tokens": line["tokens"] + tokens}
                yield json.dumps(line)
        steps += stage["steps"]
        tokens += stage["steps"] * stage["settings"]["batch"] * stage["settings"]["context"]


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
    for file in (*paths.TOKENIZER, paths.CONFIG, paths.COMPACT_WEIGHTS):
        write_sum(folder / file)
    stored = load_model(folder, engine="dense")
    viz = store.local_folder(str(Path(paths.means_name(name)).parent), {"what": "reference means"})
    write_means(reference_means(stored, settings, corpus), viz / paths.MEANS)
    curves = store.local_folder(str(Path(paths.curve_name(name)).parent), {"what": "training"})
    curve = "".join(f"{line}\n" for line in joined_curve(run))
    write_atomically(curves / paths.CURVE, lambda file: file.write(curve.encode()))
    made = stages(run)
    card = {"name": name, "tokens_seen": tokens_seen(made), "stages": made}
    card |= measure(stored, settings, tokenizer, corpus)
    text = json.dumps(card, indent=1) + "\n"
    write_atomically(folder / CARD, lambda file: file.write(text.encode()))
    return Published(folder, card)


def reference_means(model: GPT, settings: TrainSettings, corpus: Corpus) -> Means:
    """Means over held-out text, generated and real in the proportion trained on."""
    generated = round(MEAN_WINDOWS * settings.corpus.generated_share)
    parts = (
        (corpus.heldout_generated, generated),
        (corpus.heldout_real, MEAN_WINDOWS - generated),
    )
    windows = torch.cat([_windows(as_tensor(t), n, settings.context) for t, n in parts])
    return mean_activations(model, [windows[i : i + 32] for i in range(0, len(windows), 32)])


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
