"""The arrays that kernels read: a circuit folded with its model, and the prompts it is run on.

Locations are numbered in order of computation, nodes in the order of their circuit. Residual
channels that a kept node reads or writes have *slots*, those written first come first. What several
records own together is one after the other in a table of its own: ``x_from`` is where a record's
part begins and ``x_to`` where it ends. Arrays of floats are flat, one row after the other.
"""

from typing import NamedTuple

import numpy as np

NO_CODE, GELU, RELU = range(3)  # activations
UNIFORM, MIXING, QUERY_ALONE = range(3)  # kinds of attention heads
BY_NOTHING, BY_KIND, BY_POSITION = range(3)  # what a window of fixed values depends on


def _record(integers: str, floats: str = "") -> np.dtype:
    fields = [(name, np.int64) for name in integers.split()]
    return np.dtype([*fields, *((name, np.float32) for name in floats.split())], align=True)


PLACE = _record(  # a location
    "node_from node_to "
    "live "  # whether an answer can depend on it
    "rows counted "  # rows of its panel, and how many of them vary and compete in the top-k
    "top "  # entries that survive, -1 where all do
    "code window_by window_from window_width "
    "row_from"
)
NODE = _record(
    "slot "  # residual channel that it reads or writes, -1 for none
    "row",  # of its location's panel
    "mean",  # that its excess is over
)
ROW = _record("entry_from entry_to", "constant")  # what a location's value is before the top-k
ENTRY = np.dtype([("source", np.int32), ("weight", np.float32)])  # source: node, or head's output
READ = _record("varying extra_from extra_to")  # a norm: slots written before, others that are read
CHANNEL = _record("", "offset gain bias")  # read and slot: means written before; of the norm
LAYER = _record("head_from head_to still_from still_to still_row")
HEAD = _record(
    "kind query_from query_to key_from key_to cross_from cross_to value_from value_to gate_row",
    "score sink ratio",  # of two means; logit of the sink; exp(sink - score), 0 without a sink
)
TERM = np.dtype([("node", np.int32), ("weight", np.float32)])  # what a query or a key adds
CROSS = np.dtype([("query", np.int32), ("key", np.int32)])  # a channel of which both are kept
VALUE = np.dtype([("node", np.int32), ("row", np.int32)])  # a value and its row of output
COLUMN = _record(
    "kind "  # which distinct token it is (and at which position, where positions are added)
    "position"
)
TILE = _record("column_from column_to lane_from lane_to prompt_from prompt_to")
PROMPT = _record(
    "shared length "  # tokens, the first of them like those of the prompt before in its tile
    "column"  # of the first token that is not shared, within the tile
)
CUT = _record("row source gate", "weight level")  # an ablated edge
PATCH = _record("node column", "factor value")  # one node in one column: excess · factor + value


class Plan(NamedTuple):
    """A folded circuit."""

    places: np.ndarray
    nodes: np.ndarray
    rows: np.ndarray
    entries: np.ndarray
    reads: np.ndarray
    channels: np.ndarray  # read slot
    extra: np.ndarray  # slots
    layers: np.ndarray
    heads: np.ndarray
    terms: np.ndarray
    crosses: np.ndarray
    values: np.ndarray
    windows: np.ndarray
    steps: np.ndarray  # block slot: means written; empty where the residual stream is a sum
    slots: int
    relu: bool  # after each add to the residual stream
    kept_after: np.ndarray  # of the stream, after attention and after an MLP; -1: all
    positions: int  # concatenated position channels
    width: int  # d_model
    epsilon: float
    centred: bool  # LayerNorm
    scale: float  # of scores
    has_sink: bool
    outputs: int  # rows that the heads of a layer give, the most of any layer
    switch: int  # last layer whose attention mixes tokens; behind it only answers count; -1: none
    square: float  # of the final means that are not kept
    total: float


class Phase(NamedTuple):
    """Columns, what is known of them beforehand, and the run that others start from.

    In the first phase a column is a distinct beginning of a prompt, in the second a prompt, at its
    last token. Integers are the rows at which the parts of ``known`` and ``kept`` begin.
    """

    columns: np.ndarray
    known: np.ndarray
    kept: np.ndarray
    reached: np.ndarray  # location: how many counted rows reach the separator
    width: int  # how many columns
    count: int  # of known: tokens up to this one
    embedding: int  # of known, slot
    sum: int  # of known, read: over channels nothing kept has written to
    square: int  # of known, read
    place: int  # of known, read and position channel: normed
    still: int  # of known: gates that depend on the position alone
    up: int  # of kept, location: to reach it, or to lie between low and high, is to survive
    low: int
    high: int  # nodes' excesses come first


class PhaseBuffers(NamedTuple):
    """A phase, and where a thread writes while it runs a tile of it."""

    columns: np.ndarray
    known: np.ndarray
    kept: np.ndarray
    reached: np.ndarray
    width: int
    count: int
    embedding: int
    sum: int
    square: int
    place: int
    still: int
    up: int
    low: int
    high: int
    excess: np.ndarray  # node
    residual: np.ndarray  # slot
    mixed: np.ndarray  # what heads give
    step: int  # from one row of these to the next


class Prompts(NamedTuple):
    """Groups of prompts that are run together, sorted so that neighbours begin alike."""

    tiles: np.ndarray
    prompts: np.ndarray
    last_column: np.ndarray  # column of the second phase: that of the first, within the tile
    ends: np.ndarray  # constant, sum, bias, then a row for every final node


class Sets(NamedTuple):
    """What is ablated in each run."""

    start: np.ndarray  # set: first location that differs from the run others start from
    held: np.ndarray  # set, node
    level: np.ndarray  # node: excess of what an ablated one is held at
    scaled: np.ndarray  # set, node
    factor: np.ndarray  # node: what a scaled one is multiplied by
    shift: np.ndarray  # node: what that adds to its excess, as its mean is multiplied too
    cut_from: np.ndarray  # set location: first cut into it; one more at the end
    cuts: np.ndarray
    patch_from: np.ndarray  # set location: first patch of its nodes; one more at the end
    patches: np.ndarray
    locations: int


class Workspace(NamedTuple):
    """What a thread writes on besides. Every array here costs each call of a kernel some time."""

    panel: np.ndarray  # row lane
    scale: np.ndarray  # lane
    values: np.ndarray  # of one column
    counts: np.ndarray  # lane: how many rows reach the separator
    windows: np.ndarray  # lane: where its window begins
    sure: np.ndarray  # lane: what is this large survives for sure; or a separator that moves
    bounds: np.ndarray  # lane: three, to reach one node; or the next rows over a separator, under
    above: np.ndarray  # lane: how many rows reach that node; or how many fixed ones the separator
    path: np.ndarray  # score, crossed keys, values
    apart: int  # from one row of the path to the next
    hidden: np.ndarray  # 16 x 16: what a score loses where the key comes after the query
    scores: np.ndarray


def records(kind: np.dtype, count: int, /, **fields: object) -> np.ndarray:
    """``count`` records with these fields, each a sequence or one value for all."""
    found = np.zeros(count, dtype=kind)
    for name, values in fields.items():
        found[name] = values
    return found
