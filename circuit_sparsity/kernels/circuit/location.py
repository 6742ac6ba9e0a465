"""One location for a tile of columns, and how columns come from and go to the run kept of all."""

from circuit_sparsity.kernels.circuit.nodes import rows_to_nodes, separate
from circuit_sparsity.kernels.circuit.rows import cut_rows, linear_rows, read_rows
from circuit_sparsity.kernels.compiled import kernel
from circuit_sparsity.kernels.elementwise import relu16
from circuit_sparsity.kernels.topk_channels import keep_top
from circuit_sparsity.kernels.vector import add, load, multiply_add, splat, store

READ, QUERY, KEY, VALUE, WRITE, MLP_READ, NEURON, MLP_WRITE = range(8)  # places of a layer


@kernel
def is_run(sets, chosen, location):
    """Whether a location is to be computed anew, and not only its ablated nodes to be set."""
    cut = chosen * sets.locations + location
    if sets.cut_from[cut] < sets.cut_from[cut + 1]:
        return True
    place = location % 8
    since = location - place if QUERY <= place <= VALUE else location - 1
    return sets.start[chosen] <= since


@kernel
def _rows(plan, buffers, sets, workspace, chosen, location, column, at):
    """Fill the panel of sixteen columns."""
    kind = location % 8
    if kind in (READ, MLP_READ):
        read = location // 8 * 2 + (kind == MLP_READ)
        read_rows(plan, buffers, read, column, at, workspace.panel, workspace.scale)
        return
    store(workspace.scale, 0, splat(1.0))
    source = buffers.mixed if kind == WRITE else buffers.excess
    place, cut = plan.places[location], chosen * sets.locations + location
    first, count, step = place.row_from, place.rows, buffers.step
    linear_rows(plan.rows, plan.entries, first, count, source, step, at, workspace.panel)
    begin, end = sets.cut_from[cut], sets.cut_from[cut + 1]
    cut_rows(sets.cuts, begin, end, source, step, at, workspace.panel)


@kernel
def _hold(place, held, level, excess, step, width):
    """Set the ablated nodes of a location."""
    for node in range(place.node_from, place.node_to):
        if held[node]:
            for at in range(0, width, 16):
                store(excess, node * step + at, splat(level[node]))


@kernel
def _scale(place, sets, chosen, excess, step, at, width):
    """Multiply the scaled nodes of a location."""
    for node in range(place.node_from, place.node_to):
        if sets.scaled[chosen, node]:
            factor, shift = splat(sets.factor[node]), splat(sets.shift[node])
            for column in range(at, at + width, 16):
                x = load(excess, node * step + column)
                store(excess, node * step + column, multiply_add(x, factor, shift))


@kernel
def patch(sets, chosen, location, buffers, first, at, width):
    """Change single nodes of a location in single columns, of which ``first`` lies at ``at``."""
    begin = chosen * sets.locations + location
    for i in range(sets.patch_from[begin], sets.patch_from[begin + 1]):
        own = sets.patches[i]
        if first <= own.column < first + width:
            here = own.node * buffers.step + at + own.column - first
            buffers.excess[here] = buffers.excess[here] * own.factor + own.value


@kernel
def visit(plan, buffers, sets, workspace, chosen, location, first, width):
    """Compute a location in ``width`` columns from ``first`` on, or set what is ablated of it."""
    place, held = plan.places[location], sets.held[chosen]
    if place.node_from == place.node_to:
        return
    if not is_run(sets, chosen, location):
        _hold(place, held, sets.level, buffers.excess, buffers.step, width)
        _scale(place, sets, chosen, buffers.excess, buffers.step, 0, width)
        patch(sets, chosen, location, buffers, first, 0, width)
        return
    separates = sets.start[chosen] < 0 and place.top >= 0
    for at in range(0, width, 16):
        column = first + at
        _rows(plan, buffers, sets, workspace, chosen, location, column, at)
        if separates:
            separate(
                place, location, plan.windows, buffers, column, workspace.panel, workspace.values
            )
        rows_to_nodes(place, location, plan, buffers, workspace, column, at, sets.level, held)
        _scale(place, sets, chosen, buffers.excess, buffers.step, at, 16)
        patch(sets, chosen, location, buffers, column, at, 16)


@kernel
def recall(places, buffers, begin, end, first, width):
    """Take over the nodes of the locations begin..end from the run that others start from."""
    for node in range(places[begin].node_from, places[end].node_to):
        for at in range(0, width, 16):
            value = load(buffers.kept, node * buffers.width + first + at)
            store(buffers.excess, node * buffers.step + at, value)


@kernel
def add_writes(place, nodes, source, step, first, buffers, width):
    """Add what a location writes to the residual stream."""
    for node in range(place.node_from, place.node_to):
        target = nodes[node].slot * buffers.step
        for at in range(0, width, 16):
            x = load(source, node * step + first + at)
            store(buffers.residual, target + at, add(load(buffers.residual, target + at), x))


@kernel
def _keep_top(plan, buffers, workspace, kept, at):
    """Of sixteen columns of the residual stream, the largest channels."""
    for slot in range(plan.slots):
        x = load(buffers.residual, slot * buffers.step + at) if kept > 0 else splat(0.0)
        store(workspace.panel, slot * 16, x)
    if kept > 0:
        keep_top(workspace.panel, workspace.panel, 0, plan.slots, kept)
    for slot in range(plan.slots):
        store(buffers.residual, slot * buffers.step + at, load(workspace.panel, slot * 16))


@kernel
def finish_stream(plan, buffers, workspace, block, width):
    """Of a stream that is no sum: the means that a block writes, relu and top-k."""
    if plan.steps.size == 0:
        return
    for slot in range(plan.slots):
        step = plan.steps[block * plan.slots + slot]
        for at in range(0, width, 16):
            x = add(load(buffers.residual, slot * buffers.step + at), step)
            store(buffers.residual, slot * buffers.step + at, relu16(x) if plan.relu else x)
    kept = plan.kept_after[block % 2]
    if 0 <= kept < plan.slots:
        for at in range(0, width, 16):
            _keep_top(plan, buffers, workspace, kept, at)


@kernel
def recall_residual(plan, buffers, workspace, block, first, width):
    """The residual stream before a block (attention 2 * layer, MLP 2 * layer + 1)."""
    for slot in range(plan.slots):
        for at in range(0, width, 16):
            value = load(buffers.known, (buffers.embedding + slot) * buffers.width + first + at)
            store(buffers.residual, slot * buffers.step + at, value)
    for earlier in range(block):
        place = plan.places[earlier // 2 * 8 + (MLP_WRITE if earlier % 2 else WRITE)]
        if place.live:
            add_writes(place, plan.nodes, buffers.kept, buffers.width, first, buffers, width)
        finish_stream(plan, buffers, workspace, earlier, width)
