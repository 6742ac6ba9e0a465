"""Prompts in an order in which neighbours begin alike, cut into tiles that are run together."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from torch import Tensor

from circuit_sparsity.circuits.compiled.kernels.tables import PROMPT, TILE, records

MOST_PROMPTS = 16  # of a tile: as many as a panel has lanes
MOST_COLUMNS = 1024  # of a tile, unless one prompt has more


@dataclass(frozen=True, eq=False)
class Arrangement:
    """Tiles of prompts, and for every column of either phase its token and position."""

    tiles: np.ndarray
    prompts: np.ndarray  # sorted
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


def arrange(tokens: Int[Tensor, "prompt pos"], last: Int[Tensor, " prompt"]) -> Arrangement:
    """Sort prompts, drop the beginnings that neighbours share, pad tiles to whole panels."""
    ends = last.tolist()
    rows = [tuple(row[: end + 1]) for row, end in zip(tokens.tolist(), ends, strict=True)]
    groups = _groups(rows)
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
    return Arrangement(
        tiles,
        prompts,
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


def _groups(rows: list[tuple[int, ...]]) -> list[_Tile]:
    groups: list[_Tile] = []
    before: tuple[int, ...] = ()
    for prompt in sorted(range(len(rows)), key=rows.__getitem__):
        shared = _common(before, rows[prompt])
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
