"""From a panel of rows to nodes: activation, exact top-k, ablation.

A node survives a top-k of K when fewer than K others are larger. Fixed rows are sorted beforehand,
and of their order only a *window* about K matters: entry j of a window is the (K + 1 - j)-th
largest of them. The run that others start from finds for every column a *separator*, exactly K rows
being larger. In another run, where as many varying rows reach the separator as did then, it
separates still. Where not, the few nodes that lie between are counted out one by one.
"""

import math

import numpy as np

from circuit_sparsity.circuits.compiled.kernels.bounds import activated, bounds_of
from circuit_sparsity.circuits.compiled.kernels.tables import BY_KIND, BY_POSITION, GELU, RELU
from circuit_sparsity.sparse.activation import gelu16, relu16
from circuit_sparsity.sparse.compiled import kernel
from circuit_sparsity.sparse.vector import (
    add_where_reaching,
    bits_of,
    keep_where_reaching,
    lanes_between,
    largest,
    load,
    load_bits,
    lowest_set,
    multiply,
    splat,
    store,
    subtract,
)

_ALL_LANES = 0xFFFF
_LEAST = 1e-30  # a separator: zeros, of which there can be many after a relu, never reach one


@kernel
def _reach(z, code, up, low, high):
    """Not negative in the lanes where a row reaches the separator."""
    if code == GELU:
        between = multiply(subtract(z, low), subtract(high, z))
        return largest(subtract(z, up), between)
    if code == RELU:
        return subtract(z, up)
    return subtract(largest(z, subtract(0.0, z)), up)


@kernel
def _reaches(z, code, up, low, high):
    if code == GELU:
        return z >= up or low <= z <= high
    return (z if code == RELU else abs(z)) >= up


@kernel
def _activate(z, code):
    if code == GELU:
        return gelu16(z)
    return relu16(z) if code == RELU else z


@kernel
def _count(panel, rows, code, up, low, high):
    total = splat(np.int32(0))
    for row in range(rows):
        reach = _reach(load(panel, row * 16), code, up, low, high)
        total = add_where_reaching(total, bits_of(reach), 0)
    return total


@kernel
def _window(place, column):
    """Where the window of a column begins."""
    if place.window_by == BY_KIND:
        return place.window_from + column.kind * place.window_width
    if place.window_by == BY_POSITION:
        return place.window_from + column.position * place.window_width
    return place.window_from


@kernel
def _separator(windows, at, values):
    """Midway between the K-th and the next largest of fixed and varying rows together.

    Where fewer than K are not zero, just above zero.
    """
    values.sort()
    last, after = windows[at + 1], windows[at]
    for rank in range(1, values.size + 1):
        value = values[values.size - rank]
        last = max(last, min(value, windows[at + 1 + rank]))
        after = max(after, min(value, windows[at + rank]))
    return last if math.isinf(last) else max(0.5 * (last + after), _LEAST)


@kernel
def separate(place, location, windows, side, column, panel, values):
    """Find the separators of sixteen columns and count what reaches them."""
    up, low, high = (
        (side.up + location) * side.width + column,
        (side.low + location) * side.width + column,
        (side.high + location) * side.width + column,
    )
    for lane in range(16):
        for row in range(place.counted):
            values[row] = abs(activated(panel[row * 16 + lane], place.code))
        start = _window(place, side.columns[column + lane])
        limit = _separator(windows, start, values[: place.counted])
        bounds = bounds_of(limit, place.code)
        side.kept[up + lane], side.kept[low + lane], side.kept[high + lane] = bounds
    limits = (load(side.kept, up), load(side.kept, low), load(side.kept, high))
    count = _count(panel, place.counted, place.code, limits[0], limits[1], limits[2])
    store(side.reached, location * side.width + column, count)


@kernel
def _above(panel, lane, rows, own, limit, code):
    """How many rows but ``own`` are larger than ``limit``."""
    up, low, high = bounds_of(limit, code)
    above = 0
    for row in range(rows):
        above += row != own and _reaches(panel[row * 16 + lane], code, up, low, high)
    return above


@kernel
def _repair(place, plan, column, limits, panel, scale, lane, change, reached, held, side, at):
    """Decide anew in one column, where ``reached`` rows reach the separator."""
    window = _window(place, column) + 1
    up, low, high = limits
    for i in range(place.node_from, place.node_to):
        if held[i]:
            continue
        row = plan.nodes[i].row
        z = panel[row * 16 + lane]
        stays = _reaches(z, place.code, up, low, high)
        value = activated(z, place.code)
        doubtful = stays == (change > 0) and stays != (abs(value) >= plan.windows[window + reached])
        if doubtful:
            above = _above(panel, lane, place.counted, row, abs(value), place.code)
            stays = plan.windows[window + above] <= abs(value)
        value = value * scale[lane] if stays else 0.0
        side.excess[i * side.step + at] = value - plan.nodes[i].mean


@kernel
def _write(place, nodes, panel, scale, limits, level, held, excess, step, at):
    up, low, high = limits
    factor = load(scale, 0)
    for i in range(place.node_from, place.node_to):
        if held[i]:
            store(excess, i * step + at, splat(level[i]))
            continue
        z = load(panel, nodes[i].row * 16)
        value = _activate(z, place.code)
        if place.top >= 0:
            reach = bits_of(_reach(z, place.code, up, low, high))
            value = keep_where_reaching(value, reach, splat(np.int32(0)))
        store(excess, i * step + at, subtract(multiply(value, factor), nodes[i].mean))


@kernel
def settle(place, location, plan, side, desk, column, at, level, held):
    """Write the excess of every node of a location in sixteen columns."""
    panel, scale = desk.panel, desk.scale
    up = (side.up + location) * side.width + column
    low = (side.low + location) * side.width + column
    high = (side.high + location) * side.width + column
    limits = (load(side.kept, up), load(side.kept, low), load(side.kept, high))
    _write(place, plan.nodes, panel, scale, limits, level, held, side.excess, side.step, at)
    if place.top < 0:
        return
    count = _count(panel, place.counted, place.code, limits[0], limits[1], limits[2])
    here = location * side.width + column
    before = load_bits(side.reached, here)
    same = lanes_between(count, before, add_where_reaching(before, 0, 0))
    doubtful = same ^ np.int32(_ALL_LANES)
    if not doubtful:
        return
    reached = np.empty(16, np.int32)
    store(reached, 0, count)
    while doubtful:
        lane = lowest_set(doubtful)
        doubtful &= doubtful - np.int32(1)
        own = (side.kept[up + lane], side.kept[low + lane], side.kept[high + lane])
        change, now = reached[lane] - side.reached[here + lane], reached[lane]
        of = side.columns[column + lane]
        _repair(place, plan, of, own, panel, scale, lane, change, now, held, side, at + lane)
