"""Rows of one panel: what a location's values are before activation and top-k."""

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
def _slot_row(plan, buffers, index, slot, at, mean, spread):
    """One residual channel as its norm gives it, but for a division by the spread."""
    channel = plan.channels[index + slot]
    x = add(load(buffers.residual, slot * buffers.step + at), channel.offset)
    x = multiply(subtract(x, mean), channel.gain)
    return multiply_add(spread, channel.bias, x) if plan.centred else x


@kernel
def _spread_of(plan, buffers, read, column, at):
    """Mean and root-mean-square that the norm divides by, of sixteen columns."""
    square = load(buffers.known, (buffers.square + read) * buffers.width + column)
    total = load(buffers.known, (buffers.sum + read) * buffers.width + column)
    for slot in range(plan.reads[read].varying):
        x = load(buffers.residual, slot * buffers.step + at)
        x = add(x, plan.channels[read * plan.slots + slot].offset)
        square = multiply_add(x, x, square)
        total = add(total, x)
    mean = multiply(total, 1.0 / plan.width if plan.centred else 0.0)
    square = subtract(multiply(square, 1.0 / plan.width), multiply(mean, mean))
    return mean, root(add(square, plan.epsilon))


@kernel
def read_rows(plan, buffers, read, column, at, panel, scale):
    """Varying channels, position channels, others that are read; ``scale`` makes values of them.

    Dividing all by the spread changes no order, so it is left to the few that are kept.
    """
    mean, spread = _spread_of(plan, buffers, read, column, at)
    store(scale, 0, divide(1.0, spread))
    of, index = plan.reads[read], read * plan.slots
    for slot in range(of.varying):
        store(panel, slot * 16, _slot_row(plan, buffers, index, slot, at, mean, spread))
    row = of.varying
    for channel in range(plan.positions):
        place = (buffers.place + read * plan.positions + channel) * buffers.width + column
        store(panel, row * 16, multiply(load(buffers.known, place), spread))
        row += 1
    for extra in range(of.extra_from, of.extra_to):
        value = _slot_row(plan, buffers, index, plan.extra[extra], at, mean, spread)
        store(panel, row * 16, value)
        row += 1


@kernel
def linear_rows(rows, entries, first, count, source, step, at, panel):
    """Sparse rows over the excesses of what feeds this location."""
    for i in range(count):
        row = rows[first + i]
        total = splat(row.constant)
        for j in range(row.entry_from, row.entry_to):
            entry = entries[j]
            total = multiply_add(load(source, entry.source * step + at), entry.weight, total)
        store(panel, i * 16, total)


@kernel
def cut_rows(cuts, first, last, source, step, at, panel):
    """Take out of rows what ablated edges bring beyond their sources' levels."""
    for i in range(first, last):
        cut = cuts[i]
        excess = load(source, cut.source * step + at)
        level = splat(cut.level)
        if cut.gate >= 0:
            level = multiply(load(source, cut.gate * step + at), level)
        total = load(panel, cut.row * 16)
        store(panel, cut.row * 16, multiply_add(subtract(excess, level), -cut.weight, total))
