"""Prompts in an order in which neighbours begin alike, cut into tiles that are run together."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuit_sparsity.core.names import FINAL_RESID, Location
from circuit_sparsity.kernels.circuit.tables import COLUMN, PROMPT, TILE, Phase, Plan, records
from circuit_sparsity.runtime.compiled.fold import Folded
from circuit_sparsity.runtime.compiled.rows import window
from circuit_sparsity.runtime.compiled.run import Prompts
from circuit_sparsity.runtime.prefix_cache import block_of

MOST_PROMPTS = 16  # of a tile: as many as a panel has lanes
MOST_COLUMNS = 1024  # of a tile, unless one prompt has more


@dataclass(frozen=True, eq=False)
class Arrangement:
    """Tiles of prompts, and for every column of either phase its token and position."""

    tiles: np.ndarray
    prompts: np.ndarray  # sorted
    first_column: np.ndarray  # prompt, as given: of the first phase, where none is shared
    last_column: np.ndarray  # column of the second phase: that of the first, within the tile
    longest: int
    lane: np.ndarray  # prompt, as given: its column in the second phase
    tokens: np.ndarray  # column of the first phase
    positions: np.ndarray
    last_tokens: np.ndarray  # column of the second phase
    last_positions: np.ndarray


@dataclass
class _Tile:
    """Prompts gathered so far; a column is a (token, position)."""

    prompts: list[int]
    shared: list[int]
    first: list[int]  # column of the first token that is not shared
    last: list[int]  # column of the last token
    columns: list[tuple[int, int]]
    path: list[int]  # columns of the latest prompt

    def add(self, prompt: int, tokens: tuple[int, ...], shared: int) -> None:
        self.prompts.append(prompt)
        self.shared.append(shared)
        self.first.append(len(self.columns))
        new = range(len(self.columns), len(self.columns) + len(tokens) - shared)
        self.path = [*self.path[:shared], *new]
        self.columns += [(tokens[i], i) for i in range(shared, len(tokens))]
        self.last.append(self.path[-1])


def arrange(
    tokens: Int[Tensor, "prompt pos"], last: Int[Tensor, " prompt"], apart: bool = False
) -> Arrangement:
    """Sort prompts, drop the beginnings that neighbours share, pad tiles to whole panels.

    ``apart``: nothing is shared, every token of every prompt has a column of its own.
    """
    ends = last.tolist()
    rows = [tuple(row[: end + 1]) for row, end in zip(tokens.tolist(), ends, strict=True)]
    groups = _groups(rows, apart)
    columns = [_padded(group.columns) for group in groups]
    lanes = [_padded(group.prompts) for group in groups]
    lane_starts = np.cumsum([0, *map(len, lanes)]).astype(np.int64)
    lane = np.zeros(len(rows), dtype=np.int64)
    for start, group in zip(lane_starts, groups, strict=False):
        lane[group.prompts] = start + np.arange(len(group.prompts))
    order = [prompt for group in groups for prompt in group.prompts]
    prompts = records(
        PROMPT,
        len(order),
        shared=[shared for group in groups for shared in group.shared],
        length=[len(rows[prompt]) for prompt in order],
        column=[column for group in groups for column in group.first],
    )
    flat = np.array([column for tile in columns for column in tile], dtype=np.int64).reshape(-1, 2)
    ending = np.array([(rows[p][-1], ends[p]) for tile in lanes for p in tile], dtype=np.int64)
    ending = ending.reshape(-1, 2)
    last_column = np.array([c for group in groups for c in _padded(group.last)], dtype=np.int64)
    longest = max(map(len, rows), default=0)
    tiles = _tiles(groups)
    first_column = np.zeros(len(rows), dtype=np.int64)
    for group, start in zip(groups, tiles["column_from"], strict=True):
        first_column[group.prompts] = start + np.array(group.first)
    return Arrangement(
        tiles,
        prompts,
        first_column,
        last_column,
        longest,
        lane,
        flat[:, 0],
        flat[:, 1],
        ending[:, 0],
        ending[:, 1],
    )


def _tiles(groups: list["_Tile"]) -> np.ndarray:
    columns = np.cumsum([0, *(len(_padded(group.columns)) for group in groups)])
    lanes = np.cumsum([0, *(len(_padded(group.prompts)) for group in groups)])
    prompts = np.cumsum([0, *(len(group.prompts) for group in groups)])
    return records(
        TILE,
        len(groups),
        column_from=columns[:-1],
        column_to=columns[1:],
        lane_from=lanes[:-1],
        lane_to=lanes[1:],
        prompt_from=prompts[:-1],
        prompt_to=prompts[1:],
    )


def _groups(rows: list[tuple[int, ...]], apart: bool) -> list[_Tile]:
    groups: list[_Tile] = []
    before: tuple[int, ...] = ()
    for prompt in sorted(range(len(rows)), key=rows.__getitem__):
        shared = 0 if apart else _common(before, rows[prompt])
        if not groups or _is_full(groups[-1], len(rows[prompt]) - shared):
            groups.append(_Tile([], [], [], [], [], []))
            shared = 0
        groups[-1].add(prompt, rows[prompt], shared)
        before = rows[prompt]
    return groups


def _is_full(tile: _Tile, more: int) -> bool:
    return len(tile.prompts) == MOST_PROMPTS or len(tile.columns) + more > MOST_COLUMNS


def _common(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def _padded(values: list) -> list:
    """To a whole number of panels, by repeating the last."""
    return values + values[-1:] * (-len(values) % 16)


@dataclass(frozen=True, eq=False)
class PromptTables:
    """A folded circuit's view of prompts."""

    folded: Folded
    prompts: Prompts
    apart: bool = False  # whether prompts share no columns

    @cached_property
    def arrangement(self) -> Arrangement:
        return arrange(self.prompts.tokens, self.prompts.last, self.apart)

    @cached_property
    def adds_positions(self) -> bool:
        model = self.folded.model
        return not model.config.d_pos_emb and bool((model.transformer.wpe.weight != 0).any())

    @cached_property
    def _kinds(self) -> tuple[np.ndarray, np.ndarray]:
        """Distinct tokens (with positions, where those are added), and the kind of each column.

        Columns of the first phase come before those of the second.
        """
        order = self.arrangement
        tokens = np.concatenate([order.tokens, order.last_tokens])
        positions = np.concatenate([order.positions, order.last_positions])
        if not self.adds_positions:
            positions = np.zeros_like(positions)
        pairs = np.stack([tokens, positions], axis=1)
        kinds, which = np.unique(pairs, axis=0, return_inverse=True)
        return kinds, which.reshape(-1)

    @cached_property
    def embedded(self) -> Float[Tensor, "kind d_model"]:
        """What each kind of token puts on the residual stream."""
        tokens, positions = torch.from_numpy(self._kinds[0]).T
        transformer = self.folded.model.transformer
        embedded = transformer.wte.weight[tokens]
        return embedded + transformer.wpe.weight[positions] if self.adds_positions else embedded

    @cached_property
    def _token_alone(self) -> list[Float[Tensor, "kind d_model"]]:
        """The residual stream before each read, where nothing kept has written to it."""
        return self.folded.stream.token_alone(self.embedded)

    def _fixed(self, read: int) -> Float[Tensor, "kind fixed"]:
        """Channels to which nothing kept has written before a read."""
        varying = int(self.folded.stream.reads[read]["varying"])
        rest = torch.ones(self.folded.model.config.d_model, dtype=torch.bool)
        rest[self.folded.stream.channels[:varying]] = False
        return self._token_alone[read][:, rest]

    def _fixed_magnitudes(self, read: int) -> Float[Tensor, "kind fixed"]:
        """The same times the gain of the norm, as they compete in the top-k."""
        varying = int(self.folded.stream.reads[read]["varying"])
        rest = torch.ones(self.folded.model.config.d_model, dtype=torch.bool)
        rest[self.folded.stream.channels[:varying]] = False
        gain = self.folded.stream.gain(self.folded.numbering.reads[read])
        return (self._fixed(read) * gain[rest]).abs()

    def _is_read(self, read: int) -> bool:
        location = self.folded.numbering.reads[read]
        if location == FINAL_RESID or not self.folded.numbering.is_live(location):
            return False
        return bool(self.folded.numbering.kept(location))

    @cached_property
    def _sums(self) -> Float[Tensor, "two read kind"]:
        """Sums and sums of squares of the fixed channels."""
        reads = len(self.folded.numbering.reads)
        sums = torch.zeros(2, reads, len(self.embedded))
        for read in filter(self._is_read, range(reads)):
            fixed = self._fixed(read)
            sums[0, read], sums[1, read] = fixed.sum(1), fixed.square().sum(1)
        return sums

    @property
    def n_positions(self) -> int:
        return self.arrangement.longest

    @cached_property
    def _places(self) -> Float[Tensor, "read channel pos"]:
        """Concatenated positions, normed as each read norms them."""
        model, stream = self.folded.model, self.folded.stream
        if not stream.positions:
            return torch.zeros(len(self.folded.numbering.reads), 0, self.n_positions)
        rows = model.transformer.wpe.weight[: self.n_positions]
        found = []
        for layer in range(model.config.n_layer):
            block = block_of(model, layer)
            found += [block.ln_p1(rows).T, block.ln_p2(rows).T]
        return torch.stack([*found, torch.zeros_like(rows.T)])

    @cached_property
    def _still(self) -> Float[Tensor, "still pos"]:
        """Gates that depend on the position alone."""
        count = torch.arange(1.0, self.n_positions + 1)
        parts = [heads.gates(count)[list(heads.still)] for heads in self.folded.heads]
        return torch.cat(parts)

    @torch.no_grad()
    def phase(self, second: bool) -> Phase:
        """The columns of one phase, nothing run yet."""
        order, early = self.arrangement, len(self.arrangement.tokens)
        positions = order.last_positions if second else order.positions
        kind = self._kinds[1][early:] if second else self._kinds[1][:early]
        slots = self.embedded[:, self.folded.stream.channels]
        parts = [
            torch.from_numpy(positions + 1)[None],
            slots[kind].T,
            self._sums[0][:, kind],
            self._sums[1][:, kind],
            self._places[:, :, positions].flatten(0, 1),
            self._still[:, positions],
        ]
        starts = np.cumsum([0, *map(len, parts)]).tolist()
        nodes, places = len(self.folded.numbering.node), len(self.folded.numbering.places)
        return Phase(
            records(COLUMN, len(kind), kind=kind, position=positions),
            _flat(torch.cat(parts)),
            _room(nodes + 3 * places, len(kind)),
            _room(places, len(kind)).astype(np.int32),
            len(kind),
            *starts[:-1],
            *(nodes + i * places for i in range(3)),
        )

    @torch.no_grad()
    def plan(self) -> Plan:
        """The folded circuit with the fixed competitors about the threshold of every top-k."""
        found, starts, at = [np.zeros(0, dtype=np.float32)], [], 0
        for location in self.folded.numbering.places:
            starts.append(at)
            part = self._window(location)
            if part is not None:
                found.append(part.reshape(-1))
                at += part.size
        plan = self.folded.plan
        places = plan.places.copy()
        places["window_from"] = starts
        return plan._replace(places=places, windows=np.concatenate(found))

    def _window(self, location: Location) -> np.ndarray | None:
        numbering, top = self.folded.numbering, self.folded.top(location)
        if top < 0 or not numbering.is_live(location) or not numbering.kept(location):
            return None
        if location.kind == "act_in":
            fixed = self._fixed_magnitudes(numbering.reads.index(location))
        else:
            fixed = self.folded.fixed(location, self.n_positions)
        counted = int(self.folded.plan.places[numbering.place[location]]["counted"])
        return window(fixed.detach().numpy(), top, counted)

    @torch.no_grad()
    def ends(self) -> np.ndarray:
        """What answers read, by column of the second phase.

        Rows: unembedding of right less wrong, with the gain, over the means that are not kept; over
        all channels; everything that no run changes; then for each kept channel.
        """
        stream, model, order = self.folded.stream, self.folded.model, self.arrangement
        lanes = torch.zeros(len(order.last_tokens), dtype=torch.long)
        lanes[torch.from_numpy(order.lane)] = torch.arange(len(order.lane))
        right, wrong = self.prompts.right[lanes], self.prompts.wrong[lanes]
        unembedding = model.lm_head.weight[right] - model.lm_head.weight[wrong]
        bias = unembedding @ stream.bias(FINAL_RESID)
        bias = bias + model.final_logits_bias[right] - model.final_logits_bias[wrong]
        if model.config.enable_bigram_table:
            bias = bias + self._bigram(right) - self._bigram(wrong)
        direction = unembedding * stream.gain(FINAL_RESID)  # lane d_model
        kept = list(self.folded.numbering.kept(FINAL_RESID))
        constant = direction @ stream.rest_of_the_end
        rows = torch.stack([constant, direction.sum(1), bias])
        return _flat(torch.cat([rows, direction[:, kept].T]))

    def _bigram(self, answers: Int[Tensor, " lane"]) -> Float[Tensor, " lane"]:
        table = self.folded.model.bigram_table
        assert isinstance(table, Tensor), "a bigram table is a tensor"
        return table[torch.from_numpy(self.arrangement.last_tokens), answers]


def _flat(values: Tensor) -> np.ndarray:
    return values.detach().to(torch.float32).contiguous().view(-1).numpy()


def _room(rows: int, width: int) -> np.ndarray:
    """Zeros, and to spare what a panel may read beyond the end."""
    return np.zeros(rows * width + 16, dtype=np.float32)
