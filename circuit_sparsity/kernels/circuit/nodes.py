"""Which inputs of an activation give at least a certain magnitude."""

import math

import numpy as np

from circuit_sparsity.kernels.circuit.tables import BY_KIND, BY_POSITION, GELU, RELU
from circuit_sparsity.kernels.compiled import kernel
from circuit_sparsity.kernels.elementwise import gelu16, relu16
from circuit_sparsity.kernels.vector import (
    add,
    add_where_reaching,
    bits_of,
    keep_where_reaching,
    lanes_between,
    largest,
    load,
    load_bits,
    lowest_set,
    multiply,
    smallest,
    splat,
    store,
    subtract,
)

_LOWEST_AT, _LOWEST = -0.7517915246935645, 0.16997120747990369  # where GELU is least: -0.16997
_NOWHERE = 1e10


@kernel
def gelu(x):
    x = float(x)
    return 0.5 * x * (1.0 + math.erf(x * 0.7071067811865476))


@kernel
def activated(z, code):
    z = float(z)
    if code == GELU:
        return gelu(z)
    return max(z, 0.0) if code == RELU else z


@kernel
def _solve(limit, inside, outside):
    """Where |gelu| equals ``limit`` between a point at which it is larger and one at which not.

    By Newton's steps, and by halves where one would leave the bracket.
    """
    x = 0.5 * (inside + outside)
    for _ in range(48):
        normal = 0.5 * (1.0 + math.erf(x * 0.7071067811865476))
        off = abs(x * normal) - limit
        if off >= 0.0:
            inside = x
        else:
            outside = x
        slope = normal + x * 0.3989422804014327 * math.exp(-0.5 * x * x)
        slope = slope if x > 0.0 else -slope
        step = off / slope if slope != 0.0 else math.inf
        further = x - step
        if not min(inside, outside) < further < max(inside, outside):
            further = 0.5 * (inside + outside)
        if abs(further - x) <= 1e-9 * abs(x):
            break
        x = further
    return x


@kernel
def bounds_of(limit, code):
    """(up, low, high): |activation(z)| >= limit where z >= up or low <= z <= high.

    Without an activation the first is the bound of |z|, and the other two mean nothing.
    """
    if code != GELU or math.isinf(limit):
        return limit, _NOWHERE, _NOWHERE
    up = _solve(limit, 2.0 * limit, limit)
    if limit >= _LOWEST:
        return up, _NOWHERE, _NOWHERE
    return up, _solve(limit, _LOWEST_AT, -20.0), _solve(limit, _LOWEST_AT, 0.0)


_ALL_LANES, _NO_NUMBER = 0xFFFF, 0x7FFFFFFF
_HUGE, _JUST_ABOVE = 1e30, 1.0 + 1.1 * 2.0**-24  # in float32 the next number
_LEAST = 2.0**-100  # a separator: zeros, of which there can be many after a relu, never reach one


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
def separate(place, location, windows, buffers, column, panel, values):
    """Find the separators of sixteen columns and count what reaches them."""
    up, low, high = (
        (buffers.up + location) * buffers.width + column,
        (buffers.low + location) * buffers.width + column,
        (buffers.high + location) * buffers.width + column,
    )
    for lane in range(16):
        for row in range(place.counted):
            values[row] = abs(activated(panel[row * 16 + lane], place.code))
        start = _window(place, buffers.columns[column + lane])
        limit = _separator(windows, start, values[: place.counted])
        bounds = bounds_of(limit, place.code)
        buffers.kept[up + lane], buffers.kept[low + lane], buffers.kept[high + lane] = bounds
    limits = (load(buffers.kept, up), load(buffers.kept, low), load(buffers.kept, high))
    count = _count(panel, place.counted, place.code, limits[0], limits[1], limits[2])
    store(buffers.reached, location * buffers.width + column, count)


@kernel
def _not_negative(value):
    """A bit for each lane."""
    return lanes_between(bits_of(value), splat(np.int32(0)), splat(np.int32(_NO_NUMBER)))


@kernel
def _above(panel, rows, own, bounds, code, count):
    """How many rows but ``own`` reach the bounds of each lane."""
    up, low, high = load(bounds, 0), load(bounds, 16), load(bounds, 32)
    total = splat(np.int32(0))
    for row in range(rows):
        if row != own:
            reach = _reach(load(panel, row * 16), code, up, low, high)
            total = add_where_reaching(total, bits_of(reach), 0)
    store(count, 0, total)


@kernel
def _decide(place, plan, node, lanes, workspace, buffers, at):
    """Count out in each of ``lanes`` whether a node is among the largest, and write it."""
    panel, bounds, row = workspace.panel, workspace.bounds, plan.nodes[node].row
    for i in range(48):
        bounds[i] = math.inf
    left = lanes
    while left:
        lane = lowest_set(left)
        left &= left - np.int32(1)
        limit = abs(activated(panel[row * 16 + lane], place.code))
        up, low, high = bounds_of(limit, place.code)
        bounds[lane], bounds[16 + lane], bounds[32 + lane] = up, low, high
    _above(panel, place.counted, row, bounds, place.code, workspace.above)
    while lanes:
        lane = lowest_set(lanes)
        lanes &= lanes - np.int32(1)
        value = activated(panel[row * 16 + lane], place.code)
        stays = plan.windows[workspace.windows[lane] + workspace.above[lane]] <= abs(value)
        value = value * workspace.scale[lane] if stays else 0.0
        buffers.excess[node * buffers.step + at + lane] = value - plan.nodes[node].mean


@kernel
def _write(place, nodes, panel, scale, limits, level, held, buffers, at):
    up, low, high = limits
    excess, step = buffers.excess, buffers.step
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
def _nearest(panel, rows, code, separators, beyond):
    """In each lane the smallest row that reaches its separator, and the largest that does not."""
    limit, under, over = load(separators, 0), splat(0.0), splat(_HUGE)
    some = splat(np.int32(1))
    for row in range(rows):
        value = _activate(load(panel, row * 16), code)
        value = largest(value, subtract(0.0, value))
        short = bits_of(subtract(limit, value))
        under = largest(under, keep_where_reaching(value, short, some))
        over = smallest(over, add(value, keep_where_reaching(splat(_HUGE), short, some)))
    store(beyond, 0, over)
    store(beyond, 16, under)


@kernel
def _fixed_above(place, windows, window, limit, most):
    """How many fixed rows, at most ``most``, reach a limit.

    Or any number with which all that vary are fewer than K: the window says no more.
    """
    least = max(place.top - place.counted, 0)
    while most >= least and most > 0 and windows[window + place.top - most] < limit:
        most -= 1
    return most


@kernel
def _move(place, plan, workspace, lanes, limit, before):
    """Move the separators of ``lanes`` row by row, until K rows reach them.

    Or all that are not zero, where those are fewer.
    """
    window, fixed, beyond, separators = (
        workspace.windows,
        workspace.above,
        workspace.bounds,
        workspace.sure,
    )
    store(separators, 0, limit)
    store(fixed, 0, before)
    left = lanes
    while left:
        lane = lowest_set(left)
        left &= left - np.int32(1)
        most = place.top - fixed[lane]
        fixed[lane] = _fixed_above(place, plan.windows, window[lane], separators[lane], most)
    while lanes:
        _nearest(workspace.panel, place.counted, place.code, separators, beyond)
        left = lanes
        while left:
            lane = lowest_set(left)
            left &= left - np.int32(1)
            at, too_many = (
                window[lane] + place.top,
                workspace.counts[lane] + fixed[lane] - place.top,
            )
            if too_many > 0:
                is_fixed = fixed[lane] > 0 and plan.windows[at - fixed[lane]] < beyond[lane]
                least = plan.windows[at - fixed[lane]] if is_fixed else beyond[lane]
                separators[lane] = least * _JUST_ABOVE
                fixed[lane] -= is_fixed
                workspace.counts[lane] -= not is_fixed
            elif too_many < 0:
                after = plan.windows[at - fixed[lane] - 1]
                is_fixed = after > beyond[16 + lane]
                separators[lane] = max(after if is_fixed else beyond[16 + lane], _LEAST)
                fixed[lane] += is_fixed
                workspace.counts[lane] += not is_fixed
            if too_many == 0 or separators[lane] == _LEAST:
                lanes ^= np.int32(1) << lane
    return load(separators, 0)


@kernel
def _repair(place, plan, workspace, limits, lanes, before, count, level, held, buffers, column, at):
    """Decide anew in ``lanes``, where other than ``before`` rows reach the separator."""
    moved = np.int32(0)
    grown = lanes & lanes_between(before, splat(np.int32(0)), count)
    shrunk = lanes ^ grown
    windows, sure = workspace.windows, workspace.sure
    store(workspace.counts, 0, count)
    left = lanes
    while left:
        lane = lowest_set(left)
        left &= left - np.int32(1)
        windows[lane] = _window(place, buffers.columns[column + lane]) + 1
        sure[lane] = plan.windows[windows[lane] + workspace.counts[lane]]
    enough, (up, low, high) = load(sure, 0), limits
    for node in range(place.node_from, place.node_to):
        if held[node]:
            continue
        z = load(workspace.panel, plan.nodes[node].row * 16)
        value = _activate(z, place.code)
        stays = _not_negative(_reach(z, place.code, up, low, high))
        safe = _not_negative(subtract(largest(value, subtract(0.0, value)), enough))
        asked = (grown & stays & (safe ^ np.int32(_ALL_LANES))) | (shrunk & safe & ~stays)
        if place.code != GELU:
            moved |= asked
        elif asked:
            _decide(place, plan, node, asked, workspace, buffers, at)
    if moved:
        up = _move(place, plan, workspace, moved, up, before)
        _write(
            place,
            plan.nodes,
            workspace.panel,
            workspace.scale,
            (up, low, high),
            level,
            held,
            buffers,
            at,
        )


@kernel
def rows_to_nodes(place, location, plan, buffers, workspace, column, at, level, held):
    """Write the excess of every node of a location in sixteen columns."""
    panel, scale = workspace.panel, workspace.scale
    up = (buffers.up + location) * buffers.width + column
    low = (buffers.low + location) * buffers.width + column
    high = (buffers.high + location) * buffers.width + column
    limits = (load(buffers.kept, up), load(buffers.kept, low), load(buffers.kept, high))
    _write(place, plan.nodes, panel, scale, limits, level, held, buffers, at)
    if place.top < 0:
        return
    count = _count(panel, place.counted, place.code, limits[0], limits[1], limits[2])
    here = location * buffers.width + column
    before = load_bits(buffers.reached, here)
    same = lanes_between(count, before, add_where_reaching(before, 0, 0))
    doubtful = same ^ np.int32(_ALL_LANES)
    if not doubtful:
        return
    _repair(
        place, plan, workspace, limits, doubtful, before, count, level, held, buffers, column, at
    )
