"""What a step changes on given prompts: at which tokens, and to which values of other prompts."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuit_sparsity.circuits.edges import Edge
from circuit_sparsity.circuits.means import Means
from circuit_sparsity.circuits.positions import Positions
from circuit_sparsity.circuits.recipe import Level, Step
from circuit_sparsity.core.hooks import Hook
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import Node
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.runtime.activations import node_activations
from circuit_sparsity.runtime.compiled.folded_run import FoldedRun
from circuit_sparsity.runtime.compiled.run import CircuitRun
from circuit_sparsity.runtime.interventions import Intervention, Patch, part_of
from circuit_sparsity.tasks.alignment import counterparts
from circuit_sparsity.tasks.task import TaskBatch

_PROMPTS_AT_ONCE = 64
Part = Node | Edge


@dataclass(frozen=True, eq=False)
class Sources:
    """The run whose values on other prompts are patched in: of a circuit, or of the whole model."""

    model: GPT
    means: Means
    hook: Hook  # makes the model the circuit
    batch: TaskBatch
    tokenizer: Tokenizer | None
    compiled: CircuitRun | None = None  # of the circuit, prompts apart

    def on_batch(self, nodes: Iterable[Node]) -> dict[Node, Float[Tensor, "prompt pos"]]:
        """Each node's value on every token of the prompts."""
        if isinstance(self.compiled, FoldedRun):
            return {node: self.compiled.values(node) for node in nodes}
        wanted, found = list(nodes), defaultdict[Node, list[Tensor]](list)
        for tokens in self.batch.tokens.split(_PROMPTS_AT_ONCE):
            for node, x in node_activations(self.model, wanted, tokens, self.hook).items():
                found[node].append(x)
        return {node: torch.cat(parts).cpu().float() for node, parts in found.items()}

    def on_tokens(
        self, tokens: Sequence[int], nodes: Iterable[Node]
    ) -> dict[Node, Float[Tensor, "one pos"]]:
        """Each node's value on every token of one text."""
        row = torch.tensor([list(tokens)], device=self.model.device)
        found = node_activations(self.model, nodes, row, self.hook)
        return {node: x.cpu().float() for node, x in found.items()}

    def encode(self, text: str) -> list[int]:
        """The tokens of a text; ValueError where no tokenizer is known, or nothing is left."""
        if self.tokenizer is None:
            raise ValueError(
                f"{text!r} names tokens, and this experiment has no tokenizer: open the circuit by "
                "open_circuit, or name positions by numbers"
            )
        tokens, most = self.tokenizer.encode(text), self.model.config.block_size
        if not 0 < len(tokens) <= most:
            raise ValueError(
                f"the text {text[:60]!r} has {len(tokens)} tokens; expected 1 to {most}, the "
                "model's context"
            )
        return tokens


def interventions(steps: Sequence[tuple[Part, Step]], sources: Sources) -> list[Intervention]:
    """What each step does to its part on the prompts of ``sources``.

    A token of the prompt that has no counterpart in the other prompt stays as it is, unless no
    chosen token of the prompt has one. Raises ValueError for a position outside a prompt, a token
    that stands in none, prompts that cannot be aligned, and a part that two steps change at one
    token.
    """
    found = [_intervention(part, step, sources) for part, step in steps]
    _once_each(found)
    return found


def _intervention(part: Part, step: Step, sources: Sources) -> Intervention:
    if step.is_constant:
        return part, step.level
    at = where(step.positions, sources)
    node, level = part.source if isinstance(part, Edge) else part, step.level
    if level.how == "scale":
        return Patch(part, at, torch.zeros(at.shape), level.value)
    if level.is_constant:
        mean = float(sources.means.values[node.location][node.channel])
        value = {"mean": mean, "zero": 0.0, "set": level.value}[level.how]
        return Patch(part, at, torch.full(at.shape, value))
    value, aligned = _from_other(node, level, sources)
    _check_alignment(step, at, aligned)
    return Patch(part, at & aligned, value)


def where(positions: Positions, sources: Sources) -> Bool[Tensor, "prompt pos"]:
    """The tokens that ``positions`` names in each prompt; ValueError where it names none."""
    batch = sources.batch
    last = batch.last.cpu()[:, None]
    place = torch.arange(batch.tokens.shape[1])[None]
    inside = place <= last  # prompt pos
    if positions.kind == "all":
        return inside
    if positions.kind == "last":
        return place == last
    if positions.kind == "range":
        short = (last[:, 0] < positions.end).nonzero().flatten()
        if len(short):
            first = int(short[0])
            raise ValueError(
                f"position {positions.end} is outside prompt {first}, which has "
                f"{int(last[first]) + 1} tokens, counted from 0: choose prompts that are long "
                "enough, or say last or the text of a token"
            )
        return inside & (place >= positions.first) & (place <= positions.end)
    if positions.kind == "differing":
        return inside & differing_tokens(batch)
    tokens = sources.encode(positions.token)
    found = inside & (batch.tokens.cpu() == tokens[0])
    if len(tokens) != 1 or not bool(found.any()):
        raise ValueError(
            f"{positions.token!r} is {len(tokens)} tokens and stands as one in "
            f"{int(found.any(1).sum()) if len(tokens) == 1 else 0} of {len(batch)} prompts; "
            "expected the text of one token of a prompt"
        )
    return found


def differing_tokens(batch: TaskBatch) -> Bool[Tensor, "prompt pos"]:
    """Where a prompt's token is not that of the pair's other prompt, or has no counterpart."""
    places = _places(batch, other_of_pair(batch))
    other = batch.tokens.cpu()[other_of_pair(batch)]
    same = (places >= 0) & (other.gather(1, places.clamp(min=0)) == batch.tokens.cpu())
    return ~same & (torch.arange(batch.tokens.shape[1])[None] <= batch.last.cpu()[:, None])


def other_of_pair(batch: TaskBatch) -> Int[Tensor, " prompt"]:
    """For each prompt the number of its pair's other prompt."""
    return torch.arange(len(batch)).roll(batch.n_pairs)


def _from_other(
    node: Node, level: Level, sources: Sources
) -> tuple[Float[Tensor, "prompt pos"], Bool[Tensor, "prompt pos"]]:
    """The node's value at the counterpart of each token, and whether there is one."""
    batch = sources.batch
    if level.how == "prompt":
        tokens = sources.encode(level.text)
        places = _places_in(batch, [tokens] * len(batch))
        values = sources.on_tokens(tokens, [node])[node].expand(len(batch), -1)
    else:
        other = other_of_pair(batch) if level.how == "pair" else resampled(batch, int(level.value))
        places, values = _places(batch, other), sources.on_batch([node])[node][other]
    return values.gather(1, places.clamp(min=0)), places >= 0


def resampled(batch: TaskBatch, seed: int) -> Int[Tensor, " prompt"]:
    """For each prompt the number of another one, drawn by ``seed``; each is drawn once.

    ValueError where there is only one prompt.
    """
    if len(batch) < 2:
        raise ValueError("one prompt cannot be patched from another of the task: give more prompts")
    order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(seed))
    other = torch.empty_like(order)
    other[order] = order.roll(1)  # one cycle: nothing is drawn for itself
    return other


def _places(batch: TaskBatch, other: Int[Tensor, " prompt"]) -> Int[Tensor, "prompt pos"]:
    rows = token_rows(batch)
    return _places_in(batch, [rows[i] for i in other.tolist()])


def _places_in(batch: TaskBatch, others: Sequence[Sequence[int]]) -> Int[Tensor, "prompt pos"]:
    """Of each token the position of its counterpart, -1 for none."""
    found = torch.full(batch.tokens.shape, -1)
    for i, (row, other) in enumerate(zip(token_rows(batch), others, strict=True)):
        found[i, : len(row)] = torch.tensor(counterparts(row, other))
    return found


def token_rows(batch: TaskBatch) -> list[list[int]]:
    """The tokens of each prompt, padding left out."""
    rows: list[list[int]] = batch.tokens.tolist()
    return [row[: int(last) + 1] for row, last in zip(rows, batch.last, strict=True)]


def _check_alignment(
    step: Step, at: Bool[Tensor, "prompt pos"], aligned: Bool[Tensor, "prompt pos"]
) -> None:
    alone = (at.any(1) & ~(at & aligned).any(1)).nonzero().flatten()
    if len(alone):
        raise ValueError(
            f"{step} changes tokens of prompt {int(alone[0])} that have no counterpart in the "
            "other prompt: the two differ in length there; choose other positions, or prompts of "
            "one length"
        )


def _once_each(found: Sequence[Intervention]) -> None:
    by_part: Mapping[Part, list[Intervention]] = defaultdict(list)
    for change in found:
        by_part[part_of(change)].append(change)
    for part, changes in by_part.items():
        patched = [change.at.long() for change in changes if isinstance(change, Patch)]
        constant = len(changes) - len(patched)
        if constant + bool(patched) > 1 or (patched and int(torch.stack(patched).sum(0).max()) > 1):
            raise ValueError(
                f"the recipe changes {part} twice at one token; expected one step a part and token"
            )
