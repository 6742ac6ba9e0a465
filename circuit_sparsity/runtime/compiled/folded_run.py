"""A folded circuit on prompts: its own run is kept, and ablations start where they differ."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import Edge
from circuit_sparsity.core.names import Node
from circuit_sparsity.kernels.circuit.blocks import run
from circuit_sparsity.kernels.circuit.tables import (
    CUT,
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

    def _margins(self, ablations: Sequence[Ablation], fill: Fill) -> Float[Tensor, "set prompt"]:
        return self.execute(self._sets(ablations, fill))

    def execute(self, sets: Sets) -> Float[Tensor, "set prompt"]:
        """Margins of every set; one that starts before all locations is kept for the others."""
        margins = np.zeros((len(sets.start), self.late.width), dtype=np.float32)
        flat = margins.reshape(-1)

        def work(begin: int, end: int) -> None:
            early, late, workspace = allocate(self)
            run(self.plan, early, late, sets, workspace, self.prompts, begin, end, flat)

        if len(sets.start):
            run_parts(work, split(len(self.prompts.tiles), least=1))
        return torch.from_numpy(margins[:, self.lane])

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


def folded_run(circuit: Circuit, folded: Folded, prompts: Prompts) -> FoldedRun:
    """Bind a folded circuit to prompts and run it as it is."""
    tables = PromptTables(folded, prompts)
    order = tables.arrangement
    arrays = PromptArrays(order.tiles, order.prompts, order.last_column, tables.ends())
    early, late = tables.phase(second=False), tables.phase(second=True)
    made = FoldedRun(circuit, folded, tables.plan(), early, late, arrays, order.longest, order.lane)
    numbering = folded.numbering
    held = np.zeros((1, len(numbering.node)), dtype=np.bool_)
    level = np.zeros(len(numbering.node), dtype=np.float32)
    made.execute(sets_of(np.array([-1]), held, level, [], len(numbering.places)))
    return made


def sets_of(
    start: np.ndarray, held: np.ndarray, level: np.ndarray, cuts: list[Cut], locations: int
) -> Sets:
    cuts = sorted(cuts)
    counts = np.zeros(len(start) * locations, dtype=np.int64)
    for cut in cuts:
        counts[cut.chosen * locations + cut.location] += 1
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
        locations=locations,
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
