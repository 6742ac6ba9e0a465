"""The training loop: batches in, optimiser steps, lines of progress and resumable checkpoints out.

The loop prints nothing; it hands each progress line to ``report``.
"""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from circuit_sparsity.core.device import device_named
from circuit_sparsity.core.model import GPT
from circuit_sparsity.training.checkpoints import (
    CHECKPOINT,
    Checkpoint,
    Line,
    add_progress,
    keep_progress,
    read_checkpoint,
    write_checkpoint,
)
from circuit_sparsity.training.corpus import Corpus, Sampler, Tokens
from circuit_sparsity.training.optimiser import SparseAdam
from circuit_sparsity.training.settings import TrainSettings


def train(
    settings: TrainSettings,
    corpus: Corpus,
    folder: Path,
    report: Callable[[Line], object] = lambda line: None,
    cancel: threading.Event | None = None,
    device: str = "auto",
    say: Callable[[str], object] = lambda text: None,
) -> GPT:
    """The trained model. ``folder`` keeps ``checkpoint.pt`` and ``progress.json`` (JSON lines).

    A folder that holds a checkpoint of the same settings is taken up where it stopped, and ends
    at the same weights as a run that never stopped. Batches depend on seed and step alone. A
    damaged checkpoint is left aside for the one before it, and ``say`` is told so. Raises
    ValueError when the checkpoint belongs to other settings, or none can be read. ``cancel`` stops
    after a checkpoint. ``device`` is auto (a GPU where there is one), cpu, cuda, cuda:N or mps.
    """
    run = _Run(settings, corpus, folder, device_named(device))
    run.resume(say)
    while run.step < settings.last_step:
        run.advance()
        if run.step % settings.evaluate_every == 0 or run.step == settings.last_step:
            report(run.evaluate())
        stop = cancel is not None and cancel.is_set()
        if stop or run.step % settings.checkpoint_every == 0 or run.step == settings.last_step:
            run.save()
        if stop:
            break
    return run.model


class _Run:
    def __init__(
        self, settings: TrainSettings, corpus: Corpus, folder: Path, device: torch.device
    ) -> None:
        self.settings, self.folder = settings, folder
        self.sampler = Sampler(corpus)
        self.held_out = {"generated": corpus.heldout_generated, "real": corpus.heldout_real}
        self.device = device
        self.model = GPT(settings.model)
        self.model.initialise(settings.seed)
        if settings.start_from is not None:
            self._take_weights(folder.parent / settings.start_from)
        self.model.to(self.device).train()
        self.optimiser = SparseAdam(self.model, settings)
        self.step = 0
        self.losses: list[Tensor] = []
        self.started, self.tokens = time.monotonic(), 0
        folder.mkdir(parents=True, exist_ok=True)

    def advance(self) -> None:
        generator = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + self.step)
        tokens, targets = self.sampler.batch(generator, self.settings.batch, self.settings.context)
        loss = self._loss(tokens, targets)
        self.optimiser.adam.zero_grad()
        loss.backward()  # pyright: ignore[reportUnknownMemberType]  # torch leaves a type open
        self.optimiser.step(self.step)
        self.losses.append(loss.detach())
        self.step += 1
        self.tokens += tokens.numel()

    def _loss(self, tokens: Int[Tensor, "batch pos"], targets: Int[Tensor, "batch pos"]) -> Tensor:
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            logits, _, _ = self.model(tokens.to(self.device))
        flat = logits.float().flatten(0, 1)
        return torch.nn.functional.cross_entropy(flat, targets.to(self.device).flatten())

    def evaluate(self) -> Line:
        """One line of progress: losses in nats per token, L0, tokens a second since the start."""
        seconds = time.monotonic() - self.started
        line: Line = {
            "step": self.step,
            "tokens": self.step * self.settings.batch * self.settings.context,
            "train_xent": float(torch.stack(self.losses).mean()),
            "L0": sum(int((p != 0).sum()) for p in self.model.parameters()),
            "tokens_per_second": self.tokens / seconds,
        }
        for part, tokens in self.held_out.items():
            some = as_tensor(tokens[: self.settings.evaluate_tokens])
            line[f"test_xent/{part}"] = held_out_loss(self.model, some, self.settings.context)
        line["test_xent"] = line["test_xent/generated"]
        self.losses = []
        add_progress(line, self.folder)
        return line

    def save(self) -> None:
        settings, adam = self._settings_text(), self.optimiser.adam.state_dict()
        write_checkpoint(
            Checkpoint(settings, self.model.state_dict(), adam, self.step), self.folder
        )

    def _settings_text(self) -> str:
        return json.dumps(self.settings.to_dict(), sort_keys=True)

    def _take_weights(self, folder: Path) -> None:
        before = read_checkpoint(folder)
        if before is None:
            path = folder / CHECKPOINT
            raise ValueError(f"this run starts from {path}, which is not there: train that first")
        self._load(before, folder)

    def resume(self, say: Callable[[str], object] = lambda text: None) -> None:
        state = read_checkpoint(self.folder, self.device, say)
        if state is None:
            keep_progress(self.folder, 0)
            return
        if state.settings != self._settings_text():
            raise ValueError(
                f"{self.folder / CHECKPOINT} belongs to a run with other settings; "
                "name another folder, or delete it to start afresh"
            )
        self._load(state, self.folder)
        try:
            self.optimiser.adam.load_state_dict(state.adam)
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            raise ValueError(
                f"the optimiser's state in {self.folder / CHECKPOINT} does not fit this run "
                f"({error}): name another folder, or delete it to start afresh"
            ) from error
        self.step = state.step
        keep_progress(self.folder, self.step)

    def _load(self, state: Checkpoint, folder: Path) -> None:
        try:
            self.model.load_state_dict(state.model)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            raise ValueError(
                f"the weights in {folder / CHECKPOINT} do not fit this run's model: {reason}"
            ) from error


def as_tensor(tokens: Tokens) -> Int[Tensor, " token"]:
    """Stored 16-bit tokens as the integers that embeddings take."""
    return torch.as_tensor(tokens.astype("int64"))


@torch.no_grad()
def held_out_loss(model: GPT, tokens: Int[Tensor, " token"], context: int) -> float:
    """Mean cross-entropy in nats per token over consecutive windows of ``context`` tokens."""
    windows = (len(tokens) - 1) // context
    if windows < 1:
        raise ValueError(f"{len(tokens)} held-out tokens; expected more than context {context}")
    device = model.lm_head.weight.device
    inputs = tokens[: windows * context].view(windows, context)
    targets = tokens[1 : windows * context + 1].view(windows, context)
    total = 0.0
    for start in range(0, windows, 32):
        part = slice(start, start + 32)
        loss = model(inputs[part].to(device), targets[part].to(device))[1]
        total += float(loss) * len(inputs[part])
    return total / windows
