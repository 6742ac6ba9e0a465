"""A folded circuit on prompts: its own run is kept, and ablations start where they differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import Edge
from circuit_sparsity.core.names import Location, Node
from circuit_sparsity.kernels.circuit.blocks import run
from circuit_sparsity.kernels.circuit.location import KEY, READ, VALUE
from circuit_sparsity.kernels.circuit.tables import (
    CUT,
    PATCH,
    Phase,
    PhaseBuffers,
    Plan,
    Sets,
    Workspace,
    records,
)
from circuit_sparsity.kernels.circuit.tables import Prompts as PromptArrays
from circuit_sparsity.kernels.threads import run_parts, split
from circuit_sparsity.runtime.compiled.fold import Folded
from circuit_sparsity.runtime.compiled.prompts import PromptTables
from circuit_sparsity.runtime.compiled.run import Ablation, CircuitRun, Fill, Prompts


@dataclass(frozen=True, eq=False)
class FoldedRun(CircuitRun):
    """Only kept nodes are computed, and of prompts only what differs and what answers need."""

    circuit: Circuit
    folded: Folded
    plan: Plan
    early: Phase
    late: Phase
    prompts: PromptArrays
    longest: int
    lane: np.ndarray  # prompt: its column
    last: np.ndarray  # prompt: its last token
    first_column: np.ndarray | None  # prompt: its first in the first phase; None where shared

    def _margins(self, ablations: Sequence[Ablation], fill: Fill) -> Float[Tensor, "set prompt"]:
        return self.execute(self._sets(ablations, fill))

    def execute(self, sets: Sets) -> Float[Tensor, "set prompt"]:
        """Margins of every set; one that starts before all locations is kept for the others."""
        margins = np.zeros((len(sets.start), self.late.width), dtype=np.float32)
        tiles = len(self.prompts.tiles)

        def on_tiles(begin: int, end: int) -> None:
            early, late, workspace = allocate(self)
            flat = margins.reshape(-1)
            run(self.plan, early, late, sets, workspace, self.prompts, begin, end, flat)

        def of_sets(begin: int, end: int) -> None:
            early, late, workspace = allocate(self)
            some, flat = _some(sets, begin, end), margins[begin:end].reshape(-1)
            run(self.plan, early, late, some, workspace, self.prompts, 0, tiles, flat)

        if tiles == 1 and len(sets.start) > 1:
            run_parts(of_sets, split(len(sets.start), least=64))
        elif len(sets.start):
            run_parts(on_tiles, split(tiles, least=1))
        return torch.from_numpy(margins[:, self.lane])

    def columns(self, location: Location) -> Int[np.ndarray, "prompt pos"]:
        """Where each token's values at ``location`` are computed; -1 where no answer needs them.

        Behind the last attention that mixes tokens only last tokens are. The prompts must share no
        columns (``apart``).
        """
        assert self.first_column is not None, "prompts share columns: bind the circuit apart"
        positions = np.arange(self.longest)[None]
        if self._is_late(location):
            return np.where(positions == self.last[:, None], self.lane[:, None], -1)
        found = self.first_column[:, None] + positions
        return np.where(positions <= self.last[:, None], found, -1)

    def values(self, node: Node) -> Float[Tensor, "prompt pos"]:
        """What a kept node is in the circuit's own run; 0 where no answer needs it."""
        columns = self.columns(node.location)
        phase, number = (
            self.late if self._is_late(node.location) else self.early,
            self._number(node),
        )
        kept = phase.kept[number * phase.width : (number + 1) * phase.width]
        own = kept[columns] + self.folded.stream.node_means[number]
        return torch.from_numpy(np.where(columns >= 0, own, 0.0).astype(np.float32))

    def _number(self, node: Node) -> int:
        return self.folded.numbering.node[node]

    def _is_late(self, location: Location) -> bool:
        """Whether it is computed in the second phase, for last tokens alone."""
        layer, kind = divmod(self.folded.numbering.place[location], 8)
        if layer == self.plan.switch:
            return kind not in (READ, KEY, VALUE)
        return layer > self.plan.switch

    def _sets(self, ablations: Sequence[Ablation], fill: Fill) -> Sets:
        numbering, means = self.folded.numbering, self.folded.stream.node_means
        held = np.zeros((len(ablations), len(means)), dtype=np.bool_)
        start = np.zeros(len(ablations), dtype=np.int64)
        cuts: list[Cut] = []
        for i, ablated in enumerate(ablations):
            nodes = {part for part in ablated if isinstance(part, Node)}
            held[i, [numbering.node[node] for node in nodes]] = True
            found = [self.cut(i, part, fill) for part in ablated if isinstance(part, Edge)]
            cuts += [cut for cut in found if cut is not None]
            live = [n.location for n in nodes if numbering.is_live(n.location)]
            places = [numbering.place[location] for location in live]
            places += [cut.location for cut in found if cut is not None]
            start[i] = min(places, default=len(numbering.places) - 1)
        level = np.zeros_like(means) if fill == "mean" else -means
        return sets_of(start, held, level, cuts, len(numbering.places))

    def cut(self, chosen: int, edge: Edge, fill: Fill = "mean") -> "Cut | None":
        """An ablated edge; None where nothing that varies is computed at its target."""
        numbering, target = self.folded.numbering, edge.target.location
        if not numbering.is_live(target):
            return None
        source, gate = numbering.node[edge.source], -1
        level = 0.0 if fill == "mean" else -float(self.folded.stream.node_means[source])
        if target.block == "attn" and target.kind == "resid_delta":
            assert target.layer is not None, "a block has a layer"
            heads = self.folded.heads[target.layer]
            source = heads.value_row[edge.source.channel]
            gate = heads.gate_row[edge.source.channel // numbering.config.d_head]
        row = int(self.plan.nodes[numbering.node[edge.target]]["row"])
        location = numbering.place[target]
        return Cut(chosen, location, row, source, edge.weight, level, gate)


@dataclass(frozen=True, order=True)
class Cut:
    """An ablated edge, in numbers."""

    chosen: int
    location: int
    row: int
    source: int
    weight: float
    level: float
    gate: int


class Patches(NamedTuple):
    """Single nodes of sets in single columns, arrays of one length: excess · factor + value."""

    chosen: np.ndarray
    location: np.ndarray
    node: np.ndarray
    column: np.ndarray
    factor: np.ndarray
    value: np.ndarray


_NONE = np.zeros(0, np.int64)
NO_PATCHES = Patches(_NONE, _NONE, _NONE, _NONE, np.zeros(0), np.zeros(0))


def folded_run(
    circuit: Circuit, folded: Folded, prompts: Prompts, apart: bool = False
) -> FoldedRun:
    """Bind a folded circuit to prompts and run it as it is."""
    tables = PromptTables(folded, prompts, apart)
    order = tables.arrangement
    arrays = PromptArrays(order.tiles, order.prompts, order.last_column, tables.ends())
    early, late = tables.phase(second=False), tables.phase(second=True)
    made = FoldedRun(
        circuit,
        folded,
        tables.plan(),
        early,
        late,
        arrays,
        order.longest,
        order.lane,
        prompts.last.numpy(),
        order.first_column if apart else None,
    )
    numbering = folded.numbering
    held = np.zeros((1, len(numbering.node)), dtype=np.bool_)
    level = np.zeros(len(numbering.node), dtype=np.float32)
    made.execute(sets_of(np.array([-1]), held, level, [], len(numbering.places)))
    return made


def sets_of(
    start: np.ndarray,
    held: np.ndarray,
    level: np.ndarray,
    cuts: list[Cut],
    locations: int,
    patches: Patches = NO_PATCHES,
) -> Sets:
    cuts, cells = sorted(cuts), len(start) * locations
    counts = np.zeros(cells, dtype=np.int64)
    for cut in cuts:
        counts[cut.chosen * locations + cut.location] += 1
    at = patches.chosen * locations + patches.location
    order = np.argsort(at, kind="stable")
    return Sets(
        start=start.astype(np.int64),
        held=held,
        level=level.astype(np.float32),
        scaled=np.zeros_like(held),
        factor=np.ones_like(level, dtype=np.float32),
        shift=np.zeros_like(level, dtype=np.float32),
        cut_from=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        cuts=records(
            CUT,
            len(cuts),
            row=[cut.row for cut in cuts],
            source=[cut.source for cut in cuts],
            gate=[cut.gate for cut in cuts],
            weight=[cut.weight for cut in cuts],
            level=[cut.level for cut in cuts],
        ),
        patch_from=np.concatenate([[0], np.bincount(at, minlength=cells).cumsum()]).astype(
            np.int64
        ),
        patches=records(
            PATCH,
            len(order),
            node=patches.node[order],
            column=patches.column[order],
            factor=patches.factor[order],
            value=patches.value[order],
        ),
        locations=locations,
    )


def _some(sets: Sets, begin: int, end: int) -> Sets:
    """The sets from ``begin`` to ``end``."""
    cells = slice(begin * sets.locations, end * sets.locations + 1)
    return sets._replace(
        start=sets.start[begin:end],
        held=sets.held[begin:end],
        scaled=sets.scaled[begin:end],
        cut_from=sets.cut_from[cells],
        patch_from=sets.patch_from[cells],
    )


def allocate(run: FoldedRun) -> tuple[PhaseBuffers, PhaseBuffers, Workspace]:
    """Both phases and a workspace to write on, for one thread."""
    plan, tiles = run.plan, run.prompts.tiles
    rows = max(int(plan.places["rows"].max()), plan.slots)
    heads, apart = plan.heads, run.longest + 32
    values = heads["value_to"] - heads["value_from"] + heads["cross_to"] - heads["cross_from"]
    workspace = Workspace(
        panel=_room(rows, 16),
        scale=_room(1, 16),
        values=_room(1, rows),
        counts=np.zeros(16, np.int32),
        windows=np.zeros(16, np.int64),
        sure=np.zeros(16, np.float32),
        bounds=np.zeros(48, np.float32),
        above=np.zeros(16, np.int32),
        path=_room(2 + int(values.max(initial=0)), apart),
        apart=apart,
        hidden=np.tril(np.full((16, 16), -1e30, dtype=np.float32), k=-1).ravel(),
        scores=_room(apart + 16, 16),
    )
    columns = int((tiles["column_to"] - tiles["column_from"]).max(initial=0)) + 16
    lanes = int((tiles["lane_to"] - tiles["lane_from"]).max(initial=0)) + 16
    return (
        _phase_buffers(plan, run.early, columns),
        _phase_buffers(plan, run.late, lanes),
        workspace,
    )


def _phase_buffers(plan: Plan, phase: Phase, step: int) -> PhaseBuffers:
    return PhaseBuffers(
        *phase,
        excess=_room(len(plan.nodes), step),
        residual=_room(plan.slots, step),
        mixed=_room(plan.outputs, step),
        step=step,
    )


def _room(rows: int, width: int) -> np.ndarray:
    """Zeros, and to spare what a panel may reach beyond the end."""
    return np.zeros(rows * width + 16, dtype=np.float32)
