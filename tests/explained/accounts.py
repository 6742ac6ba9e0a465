"""What the tests of accounts share: claims by their marks, and an opened circuit to measure."""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import pytest
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuit_sparsity.circuits.recipe import Recipe
from circuit_sparsity.core.hooks import Recorder, chain
from circuit_sparsity.core.names import Node
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.experiment.experiment import Effect, Experiment
from circuit_sparsity.experiment.opening import open_circuit, open_tokenizer
from circuit_sparsity.explained.account import account_of
from circuit_sparsity.explained.attack import Answers
from circuit_sparsity.runtime.ablation import mean_fill
from circuit_sparsity.runtime.activations import node_activations
from circuit_sparsity.store import Store
from circuit_sparsity.tasks.task import Pair, TaskBatch, encode, task_context

_MARK = re.compile(r"\[([A-Z]\d+)\]")


def claims(account: str) -> dict[str, str]:
    """Each claim's text by its mark: what stands before the mark in its paragraph or point."""
    found: dict[str, str] = {}
    for block in re.split(r"\n\n|\n(?=- )", account):
        texts = _MARK.split(" ".join(block.split()))
        for text, mark in zip(texts[::2], texts[1::2], strict=False):
            assert mark not in found, f"two claims are marked {mark}"
            found[mark] = text
    return found


@dataclass(frozen=True, eq=False)
class Explained:
    """A circuit that ships, its account, and its prompts as words."""

    opened: Experiment
    tokenizer: Tokenizer

    @classmethod
    def open(cls, task: str, k: str) -> "Explained":
        return cls(
            open_circuit("main", task, "full", k),
            open_tokenizer(Store.from_environment(), "main"),
        )

    @property
    def account(self) -> str:
        return account_of(self.opened.circuit) or ""

    @cached_property
    def claims(self) -> dict[str, str]:
        return claims(self.account)

    def says(self, mark: str, told: str, measured: float, within: float = 0.006) -> None:
        """The claim gives this number, and it is what was measured, in its own unit."""
        assert re.search(rf"(?<![\d.-]){re.escape(told)}(?![\d]|\.\d)", self.claims[mark]), told
        assert measured == pytest.approx(float(told), abs=within)

    def on(self, batch: TaskBatch) -> "Explained":
        return replace(self, opened=replace(self.opened, batch=batch))

    def on_pairs(self, pairs: Iterable[Pair]) -> "Explained":
        context = task_context(self.opened.model.config.block_size)
        return self.on(encode(tuple(pairs), self.tokenizer, context, cut=False))

    @cached_property
    def words(self) -> list[list[str]]:
        return [
            [self.tokenizer.decode([token]) for token in tokens[: last + 1].tolist()]
            for tokens, last in zip(self.opened.batch.tokens, self.opened.batch.last, strict=True)
        ]

    @cached_property
    def real(self) -> Bool[Tensor, "prompt pos"]:
        return self.where(lambda word: True)

    @cached_property
    def at_last(self) -> Bool[Tensor, "prompt pos"]:
        return (
            torch.arange(self.opened.batch.tokens.shape[1])[None] == self.opened.batch.last[:, None]
        )

    def where(self, is_one: Callable[[str], bool]) -> Bool[Tensor, "prompt pos"]:
        """Which tokens of the prompts are such words."""
        found = torch.zeros_like(self.opened.batch.tokens, dtype=torch.bool)
        for row, words in enumerate(self.words):
            for at, word in enumerate(words):
                found[row, at] = is_one(word)
        return found

    @cached_property
    def positive(self) -> Bool[Tensor, " prompt"]:
        return torch.arange(len(self.opened.batch)) < self.opened.batch.n_pairs

    @cached_property
    def acts(self) -> dict[str, Float[Tensor, "prompt pos"]]:
        """What every node does in the circuit, by its name."""
        hook = mean_fill(self.opened.alive, self.opened.means)
        opened = self.opened
        found = node_activations(opened.model, opened.circuit.node_list, opened.batch.tokens, hook)
        return {str(node): x for node, x in found.items()}

    def mean(self, node: str, there: Bool[Tensor, "prompt pos"]) -> float:
        return float(self.acts[node][there].mean())

    def ends(self, node: str) -> tuple[float, float]:
        """Its mean at the last token of positive and of negative prompts."""
        x = self.acts[node][self.at_last]
        return float(x[self.positive].mean()), float(x[~self.positive].mean())

    def fires(self, node: str, there: Bool[Tensor, "prompt pos"], above: float = 1.0) -> int:
        """On how many of those tokens it is above that."""
        return int((self.acts[node][there & self.real] > above).sum())

    @cached_property
    def effects(self) -> tuple[Effect, ...]:
        """Of ablating each node alone."""
        return self.opened.ablate_each(self.opened.circuit.node_list)

    def wired(self, *edges: str) -> None:
        """The circuit has these weights."""
        assert set(edges) <= {str(edge) for edge in self.opened.edges}

    def cost(self, nodes: Iterable[str]) -> float:
        return self.opened.ablate(nodes).delta

    def p(self, steps: Iterable[str] = ()) -> Answers:
        """p(right) of both kinds of prompt, in the circuit with these parts held so."""
        return Answers.of(self.opened.apply(Recipe.parse(steps)).after)

    def without(self, nodes: Iterable[str]) -> "Explained":
        gone = [Node.parse(node) for node in nodes]
        return replace(self, opened=replace(self.opened, circuit=self.opened.circuit.without(gone)))

    def scores(self, layer: int, head: int) -> Float[Tensor, "prompt d_head pos"]:
        """What each channel adds to a head's scores from the last token, before the softmax."""
        opened, d = self.opened, self.opened.model.config.d_head
        recorder = Recorder(rf"{layer}\.attn\.[qk]$")
        with torch.no_grad():
            opened.model.residual(
                opened.batch.tokens, chain(mean_fill(opened.alive, opened.means), recorder)
            )
        here = slice(head * d, (head + 1) * d)
        q, k = (recorder.tensors[f"{layer}.attn.{name}"][..., here] for name in "qk")
        return (opened.batch.at_last(q)[:, None] * k / math.sqrt(d)).transpose(1, 2)

    def sink(self, layer: int, head: int) -> float:
        """The score of the head's sink."""
        name = f"transformer.h.{layer}.attn.attn_imp.sink_logit"
        return float(self.opened.model.get_parameter(name)[head])

    def weights(self, layer: int, head: int) -> Float[Tensor, "prompt pos"]:
        """Where the head looks from the last token; the rest is on the sink."""
        scores = self.scores(layer, head).sum(1).masked_fill(~self.real, -math.inf)
        sink = torch.full((len(scores), 1), self.sink(layer, head))
        return torch.cat((sink, scores), 1).softmax(1)[:, 1:]
