"""``Investigation``: a circuit and what was found out about it; every export is made of one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from circuit_sparsity.circuits.circuit import total_nodes
from circuit_sparsity.circuits.edges import Edge
from circuit_sparsity.circuits.wiring import Wiring, wiring
from circuit_sparsity.core.names import Node
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.evidence.evidence import Evidence
from circuit_sparsity.experiment.experiment import Effect, Experiment, Part, Progress
from circuit_sparsity.runtime.compiled import Fill

MOST_NODES, MOST_EDGES = 512, 2000  # more are not ablated one by one without being asked to


@dataclass(frozen=True, eq=False)
class Investigation:
    """What an export holds beside the circuit itself. Labels and recipe travel as they are.

    ``effect`` is measured by whoever makes this: what is changed may be held at anything.
    """

    experiment: Experiment
    tokenizer: Tokenizer | None = None
    rises: Mapping[Part, float] = field(default_factory=dict)  # without a part alone, nats
    rises_on: str = ""  # the prompts that those were measured on, in words
    effect: Effect | None = None  # of what is switched off or changed, all together
    held: Mapping[str, str] = field(default_factory=dict)  # at what, in words, by node or edge
    recipe: Any = None  # the steps that led there; JSON values
    labels: Mapping[str, str] = field(default_factory=dict)  # by node or edge, in a user's words
    evidence: Evidence | None = None
    link: str = ""  # the address of the view
    views: Mapping[str, str] = field(default_factory=dict)  # addresses' queries by a reader's name

    @cached_property
    def wiring(self) -> Wiring:
        return wiring(self.experiment.circuit, self.experiment.model)

    @property
    def off(self) -> tuple[Part, ...]:
        """The nodes and edges that are switched off or changed."""
        return () if self.effect is None else self.effect.parts

    @property
    def model_nodes(self) -> int:
        return total_nodes(self.experiment.model.config)

    @cached_property
    def answers(self) -> tuple[int, ...]:
        """Every token that is a prompt's right or wrong answer; those of the first pair first."""
        batch = self.experiment.batch
        pairs = zip(batch.right.tolist(), batch.wrong.tolist(), strict=True)
        return tuple(dict.fromkeys(token for pair in pairs for token in pair))

    def text_of(self, tokens: Sequence[int]) -> str:
        """The tokens as text; empty where there is no tokenizer."""
        return "" if self.tokenizer is None else self.tokenizer.decode(list(tokens))


def rises_of(
    experiment: Experiment, fill: Fill = "mean", progress: Progress = lambda done, of: None
) -> dict[Part, float]:
    """What each node and each edge alone costs, nats per sequence.

    Nodes of circuits above `MOST_NODES` and edges above `MOST_EDGES` are left out.
    """
    nodes: tuple[Node, ...] = experiment.circuit.node_list
    edges: tuple[Edge, ...] = experiment.edges
    parts = (*(nodes if len(nodes) <= MOST_NODES else ()), *_few(edges))
    effects = experiment.ablate_each(parts, progress, fill=fill)
    return {effect.parts[0]: effect.delta for effect in effects}


def _few(edges: tuple[Edge, ...]) -> tuple[Edge, ...]:
    return edges if len(edges) <= MOST_EDGES else ()
