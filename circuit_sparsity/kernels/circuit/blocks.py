"""Tiles of prompts through the blocks, from the first that differs to the answers."""

from circuit_sparsity.kernels.circuit.heads import gates_alone, mix, mix_last
from circuit_sparsity.kernels.circuit.location import (
    KEY,
    MLP_READ,
    MLP_WRITE,
    QUERY,
    READ,
    VALUE,
    WRITE,
    add_writes,
    finish_stream,
    is_run,
    patch,
    recall,
    recall_residual,
    visit,
)
from circuit_sparsity.kernels.compiled import kernel
from circuit_sparsity.kernels.vector import (
    add,
    divide,
    load,
    multiply,
    multiply_add,
    root,
    splat,
    store,
    subtract,
)


@kernel
def _block(plan, buffers, sets, workspace, prompts, tile, chosen, block, first, width):
    """Attention or MLP of one layer in either phase."""
    layer = block // 2
    begin = layer * 8 + (MLP_READ if block % 2 else READ)
    write = layer * 8 + (MLP_WRITE if block % 2 else WRITE)
    if not plan.places[write].live:
        finish_stream(plan, buffers, workspace, block, width)
        return
    if sets.start[chosen] >= begin:
        recall(plan.places, buffers, begin, write, first, width)
    for location in range(begin, write + 1):
        if location == write and write % 8 == WRITE and is_run(sets, chosen, write):
            gates_alone(plan, layer, buffers, first, width)
            mix(plan, layer, prompts, tile, buffers, workspace)
        visit(plan, buffers, sets, workspace, chosen, location, first, width)
    add_writes(plan.places[write], plan.nodes, buffers.excess, buffers.step, 0, buffers, width)
    finish_stream(plan, buffers, workspace, block, width)


@kernel
def _gather(source, step, target, lanes, begin, end, columns):
    """Take the columns of last tokens."""
    for row in range(begin, end):
        for lane in range(columns.size):
            target[row * lanes + lane] = source[row * step + columns[lane]]


@kernel
def _keys(plan, buffers, sets, workspace, chosen, first, width):
    """Of the last attention that mixes tokens, what every token is needed for."""
    begin = plan.switch * 8
    if sets.start[chosen] >= begin:
        recall(plan.places, buffers, begin, begin + VALUE, first, width)
    for kind in (READ, KEY, VALUE):
        visit(plan, buffers, sets, workspace, chosen, begin + kind, first, width)


@kernel
def _queries(plan, early, late, sets, workspace, prompts, tile, chosen):
    """Of the last attention that mixes tokens, what only last tokens are needed for."""
    begin, write = plan.switch * 8, plan.switch * 8 + WRITE
    of = prompts.tiles[tile]
    first, width = of.lane_from, of.lane_to - of.lane_from
    last = prompts.last_column[first : of.lane_to]
    _gather(early.residual, early.step, late.residual, late.step, 0, plan.slots, last)
    if sets.start[chosen] >= begin:
        recall(plan.places, late, begin, write, first, width)
    reads = plan.places[begin]
    _gather(early.excess, early.step, late.excess, late.step, reads.node_from, reads.node_to, last)
    visit(plan, late, sets, workspace, chosen, begin + QUERY, first, width)
    if is_run(sets, chosen, write):
        gates_alone(plan, plan.switch, late, first, width)
        mix_last(plan, plan.switch, prompts, tile, early, late, workspace)
    visit(plan, late, sets, workspace, chosen, write, first, width)
    add_writes(plan.places[write], plan.nodes, late.excess, late.step, 0, late, width)
    finish_stream(plan, late, workspace, 2 * plan.switch, width)


@kernel
def _end(plan, buffers, sets, chosen, node, at):
    """A final node in sixteen columns, patches aside."""
    own, read = plan.nodes[node], (plan.reads.size - 1) * plan.slots
    if sets.held[chosen, node]:
        return splat(own.mean + sets.level[node])
    x = load(buffers.residual, own.slot * buffers.step + at)
    x = add(x, plan.channels[read + own.slot].offset)
    if sets.scaled[chosen, node]:
        x = multiply(x, splat(sets.factor[node]))
    return x


@kernel
def _patch_end(plan, buffers, sets, chosen, lane, at):
    """The excesses of all final nodes in sixteen columns, patched."""
    place = plan.places[-1]
    for node in range(place.node_from, place.node_to):
        x = _end(plan, buffers, sets, chosen, node, at)
        store(buffers.excess, node * buffers.step + at, subtract(x, plan.nodes[node].mean))
    patch(sets, chosen, sets.locations - 1, buffers, lane, at, 16)


@kernel
def _answers(plan, buffers, sets, chosen, ends, lane, at):
    """Margins of sixteen prompts."""
    place, width = plan.places[-1], buffers.width
    margin, square, total = load(ends, lane), splat(plan.square), splat(plan.total)
    patched = chosen * sets.locations + sets.locations - 1
    is_patched = sets.patch_from[patched] < sets.patch_from[patched + 1]
    if is_patched or sets.start[chosen] < 0:  # the run that others start from keeps its end
        _patch_end(plan, buffers, sets, chosen, lane, at)
    for i in range(place.node_to - place.node_from):
        node, own = place.node_from + i, plan.nodes[place.node_from + i]
        x = _end(plan, buffers, sets, chosen, node, at)
        if is_patched:
            x = add(load(buffers.excess, node * buffers.step + at), own.mean)
        square, total = multiply_add(x, x, square), add(x, total)
        margin = multiply_add(x, load(ends, (3 + i) * width + lane), margin)
    mean = multiply(total, 1.0 / plan.width if plan.centred else 0.0)
    square = subtract(multiply(square, 1.0 / plan.width), multiply(mean, mean))
    margin = subtract(margin, multiply(mean, load(ends, width + lane)))
    margin = divide(margin, root(add(square, plan.epsilon)))
    return add(margin, load(ends, 2 * width + lane))


@kernel
def _keep(buffers, nodes, first, width):
    """Keep what a tile's columns came to, for others to start from."""
    for node in range(nodes):
        kept, excess = node * buffers.width + first, node * buffers.step
        for i in range(width):
            buffers.kept[kept + i] = buffers.excess[excess + i]


@kernel
def _run_set(plan, early, late, sets, workspace, prompts, tile, chosen, margins):
    """One set on one tile."""
    of, start = prompts.tiles[tile], max(sets.start[chosen], 0)
    block = start // 8 * 2 + (start % 8 >= MLP_READ)
    first, width = of.column_from, of.column_to - of.column_from
    if block <= 2 * plan.switch:
        recall_residual(plan, early, workspace, block, first, width)
        for i in range(block, 2 * plan.switch):
            _block(plan, early, sets, workspace, prompts, tile, chosen, i, first, width)
        _keys(plan, early, sets, workspace, chosen, first, width)
        _queries(plan, early, late, sets, workspace, prompts, tile, chosen)
        block = 2 * plan.switch + 1
    else:
        recall_residual(plan, late, workspace, block, of.lane_from, of.lane_to - of.lane_from)
    first, width = of.lane_from, of.lane_to - of.lane_from
    for i in range(block, plan.reads.size - 1):
        _block(plan, late, sets, workspace, prompts, tile, chosen, i, first, width)
    for at in range(0, width, 16):
        found = _answers(plan, late, sets, chosen, prompts.ends, first + at, at)
        store(margins, chosen * late.width + first + at, found)


@kernel
def run(plan, early, late, sets, workspace, prompts, begin, end, margins):
    """Every set on the tiles begin..end. A set that starts before all is kept for the others."""
    for tile in range(begin, end):
        of = prompts.tiles[tile]
        for chosen in range(sets.start.size):
            _run_set(plan, early, late, sets, workspace, prompts, tile, chosen, margins)
            if sets.start[chosen] >= 0:
                continue
            if plan.switch >= 0:
                last = prompts.last_column[of.lane_from : of.lane_to]
                nodes = plan.places[plan.switch * 8].node_to
                _gather(early.excess, early.step, late.excess, late.step, 0, nodes, last)
                _keep(early, plan.nodes.size, of.column_from, of.column_to - of.column_from)
            _keep(late, plan.nodes.size, of.lane_from, of.lane_to - of.lane_from)
