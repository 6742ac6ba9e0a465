"""Training bridges: with the sparse model, or alone between two frozen models.

The loop prints nothing; it hands each progress line to ``report``.
"""

import dataclasses
import json
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from circuit_sparsity.bridges.bridge import Bridges, Pairing
from circuit_sparsity.bridges.evaluation import evaluate, windows_of
from circuit_sparsity.bridges.objective import Terms, terms
from circuit_sparsity.bridges.ridge import ridge_bridges
from circuit_sparsity.bridges.settings import BridgeSettings
from circuit_sparsity.core.model import GPT
from circuit_sparsity.store.atomic import write_atomically
from circuit_sparsity.training.corpus import Corpus, Sampler
from circuit_sparsity.training.loop import as_tensor
from circuit_sparsity.training.optimiser import SparseAdam, sharkfin
from circuit_sparsity.training.settings import TrainSettings

Line = dict[str, int | float]
Report = Callable[[Line], None]
CHECKPOINT, PROGRESS = "checkpoint.pt", "progress.json"


@dataclass(frozen=True, eq=False)
class Trained:
    """What a training ends with: the sparse model as it became, and the bridges."""

    sparse: GPT
    bridges: Bridges
    step: int


def train_bridges(
    settings: BridgeSettings,
    sparse: GPT,
    dense: GPT,
    corpus: Corpus,
    folder: Path,
    report: Report = lambda line: None,
    cancel: threading.Event | None = None,
) -> Trained:
    """Bridges between ``sparse`` and ``dense``, and the sparse model trained with them.

    ``sparse`` and ``dense`` are dense-engine models; neither is changed (the sparse one is
    copied). ``folder`` keeps ``checkpoint.pt`` and ``progress.json`` (JSON lines); a folder that
    holds a checkpoint of the same settings is taken up where it stopped and ends at the same
    weights. Raises ValueError when the pair does not fit, or the checkpoint belongs to other
    settings. ``cancel`` stops after a checkpoint.
    """
    run = _Run(settings, sparse, dense, corpus, folder)
    run.start()
    while run.step < settings.last_step:
        run.advance()
        last = run.step == settings.last_step
        if last or run.step % settings.evaluate_every == 0:
            report(run.evaluate())
        stop = cancel is not None and cancel.is_set()
        if last or stop or run.step % settings.checkpoint_every == 0:
            run.save()
        if stop:
            break
    return Trained(run.sparse, run.bridges, run.step)


def pairing_for(settings: BridgeSettings, sparse: GPT, dense: GPT) -> Pairing:
    """The sites that a run joins; ValueError where the two models cannot be joined so."""
    one, other = sparse.config, dense.config
    if one.vocab_size != other.vocab_size:
        raise ValueError(
            f"{settings.sparse} has a vocabulary of {one.vocab_size} tokens and {settings.dense} "
            f"one of {other.vocab_size}; bridges join models with one tokenizer"
        )
    if settings.pairing:
        pairing = Pairing.parse(settings.pairing)
        pairing.check(one, other)
    else:
        pairing = Pairing.of(one, other)
    longest = min(one.block_size, other.block_size)
    if settings.context > longest:
        raise ValueError(
            f"context is {settings.context} tokens; expected at most {longest}, the shorter "
            "block_size of the two models"
        )
    return pairing


class KeepingAdam(SparseAdam):
    """The optimiser of sparse models, holding every tensor at the L0 that it has now."""

    def __init__(self, model: GPT, settings: TrainSettings) -> None:
        super().__init__(model, settings)
        self.groups = [
            dataclasses.replace(group, target=float((group.parameter != 0).float().mean()))
            for group in self.groups
        ]
        self.final_alive = sum(int((group.parameter != 0).sum()) for group in self.groups)


class _Run:
    def __init__(
        self, settings: BridgeSettings, sparse: GPT, dense: GPT, corpus: Corpus, folder: Path
    ) -> None:
        self.settings, self.folder, self.corpus = settings, folder, corpus
        self.pairing = pairing_for(settings, sparse, dense)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.sampler = Sampler(corpus)
        self.dense = dense.to(self.device).eval().requires_grad_(False)
        self.sparse = _trainable(sparse, settings.joint).to(self.device)
        widths = sparse.config.d_model, dense.config.d_model
        torch.manual_seed(settings.seed)
        kept = max(1, round(settings.kept * widths[0]))
        self.bridges = Bridges(self.pairing, *widths, kept).to(self.device)
        self.adam = torch.optim.Adam(
            self.bridges.parameters(), lr=settings.bridge_learning_rate, betas=(0.9, 0.95)
        )
        self.sparse_adam = (
            KeepingAdam(self.sparse, _as_train_settings(settings, self.sparse))
            if settings.joint
            else None
        )
        self.step, self.tokens = 0, 0
        self.seen: list[Tensor] = []
        self.started = time.monotonic()

    def start(self) -> None:
        """Take up the folder's checkpoint, or another run's weights, or begin with ridge."""
        path, earlier = self.folder / CHECKPOINT, self.settings.start_from
        if path.exists():
            self._resume(path)
        elif earlier is not None:
            self._take_weights(self.folder.parent / earlier / CHECKPOINT)
        elif self.settings.ridge_tokens:
            self._solve()
        self.folder.mkdir(parents=True, exist_ok=True)

    def _solve(self) -> None:
        settings = self.settings
        generator = torch.Generator().manual_seed(settings.seed)
        windows = max(1, settings.ridge_tokens // settings.context)
        tokens, _ = self.sampler.batch(generator, windows, settings.context)
        batches = tokens.to(self.device).split(16)
        solved = ridge_bridges(
            self.sparse, self.dense, batches, self.pairing, self.bridges.kept, settings.ridge
        )
        self.bridges.load_state_dict(solved.state_dict())

    def advance(self) -> None:
        settings = self.settings
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + self.step)
        tokens, targets = self.sampler.batch(generator, settings.batch, settings.context)
        found = self._terms(tokens.to(self.device), targets.to(self.device))
        self.adam.zero_grad()
        if self.sparse_adam is not None:
            self.sparse_adam.adam.zero_grad()
        values = found.values()
        self._check_finite(values)
        found.total(settings.weights).backward()
        factor = sharkfin(self.step, settings.steps, settings.warm_up, 1.0)
        self.adam.param_groups[0]["lr"] = settings.bridge_learning_rate * factor
        self.adam.step()
        if self.sparse_adam is not None:
            self.sparse_adam.step(self.step)
        self.seen.append(values)
        self.step += 1
        self.tokens += tokens.numel()

    def _check_finite(self, values: Tensor) -> None:
        if bool(values.isfinite().all()):
            return
        names = [field.name for field in dataclasses.fields(Terms)]
        bad = [
            name
            for name, value in zip(names, values.tolist(), strict=True)
            if not math.isfinite(value)
        ]
        raise ValueError(
            f"step {self.step}: {', '.join(bad)} is not finite; the last checkpoint is left as it "
            "was: use smaller learning rates, or check the two models"
        )

    def _terms(self, tokens: Tensor, targets: Tensor) -> Terms:
        with torch.autocast(
            self.device.type, dtype=torch.bfloat16, enabled=self.device.type == "cuda"
        ):
            return terms(
                self.sparse,
                self.dense,
                self.bridges,
                tokens,
                targets,
                self.settings.switches,
                self.step,
            )

    def evaluate(self) -> Line:
        """One line of progress: terms since the last one, held-out scores, tokens a second."""
        settings = self.settings
        names = [field.name for field in dataclasses.fields(Terms)]
        line: Line = {"step": self.step, "tokens": self.step * settings.batch * settings.context}
        line["tokens_per_second"] = self.tokens / (time.monotonic() - self.started)
        line |= dict(zip(names, torch.stack(self.seen).mean(0).tolist(), strict=True))
        held_out = as_tensor(self.corpus.heldout_generated[: settings.evaluate_tokens + 1])
        found = evaluate(
            self.sparse, self.dense, self.bridges, windows_of(held_out, settings.context, 16)
        )
        line |= {"loss_sparse": found.loss_sparse, "loss_dense": found.loss_dense}
        for score in found.sites:
            line |= {f"{k}/{score.site}": v for k, v in vars(score).items() if k != "site"}
        line["L0"] = sum(int((p != 0).sum()) for p in self.sparse.parameters())
        self.seen = []
        with (self.folder / PROGRESS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        return line

    def save(self) -> None:
        state = {
            "settings": json.dumps(self.settings.to_dict(), sort_keys=True),
            "sparse": self.sparse.state_dict(),
            "bridges": self.bridges.state_dict(),
            "adam": self.adam.state_dict(),
            "sparse_adam": self.sparse_adam and self.sparse_adam.adam.state_dict(),
            "step": self.step,
        }
        write_atomically(self.folder / CHECKPOINT, lambda file: torch.save(state, file))

    def _take_weights(self, path: Path) -> None:
        if not path.exists():
            raise ValueError(f"this run starts from {path}, which is not there: train that first")
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.sparse.load_state_dict(state["sparse"])
        self.bridges.load_state_dict(state["bridges"])

    def _resume(self, path: Path) -> None:
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["settings"] != json.dumps(self.settings.to_dict(), sort_keys=True):
            raise ValueError(
                f"{path} belongs to a run with other settings; "
                "name another folder, or delete it to start afresh"
            )
        self.sparse.load_state_dict(state["sparse"])
        self.bridges.load_state_dict(state["bridges"])
        self.adam.load_state_dict(state["adam"])
        if self.sparse_adam is not None:
            self.sparse_adam.adam.load_state_dict(state["sparse_adam"])
        self.step = state["step"]


def _trainable(model: GPT, joint: bool) -> GPT:
    """A copy that can be trained; its bigram table stays, which holds most of its entries."""
    copy = GPT(model.config)
    copy.load_state_dict(model.state_dict())
    copy.requires_grad_(joint)
    copy.transformer.wpe.weight.requires_grad_(joint and not model.config.sinusoidal_cat_pos_emb)
    if model.config.enable_bigram_table:
        copy.bigram_table.requires_grad_(False)
    return copy


def _as_train_settings(settings: BridgeSettings, sparse: GPT) -> TrainSettings:
    """What the optimiser of sparse models reads; densities are the model's own (`KeepingAdam`)."""
    return TrainSettings(
        name=settings.name,
        model=sparse.config,
        corpus=settings.corpus,
        steps=settings.steps,
        learning_rate=settings.learning_rate,
        warm_up=settings.warm_up,
        weight_decay=settings.weight_decay,
        at_least=settings.at_least,
        anneal=0.0,
    )
