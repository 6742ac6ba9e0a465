"""What heads give when only some of their channels vary.

A score is that of two means, plus what kept queries add, plus what kept keys add, plus a product
for every channel kept in both. Only the excess of values is mixed; their means pass the *gate*, the
share of attention that does not go to the sink. Prompts of a tile are sorted: keys and values of
the beginning that a prompt shares with the one before are still on the *path*.
"""

import math

import numpy as np

from circuit_sparsity.kernels.circuit.tables import MIXING, QUERY_ALONE
from circuit_sparsity.kernels.compiled import kernel
from circuit_sparsity.kernels.elementwise import exp16
from circuit_sparsity.kernels.vector import (
    add,
    divide,
    largest,
    load,
    multiply,
    multiply_add,
    splat,
    spread,
    store,
    subtract,
)

_NEVER = -1e30  # a score


@kernel
def _scores(terms, begin, end, base, excess, step, at):
    """What kept queries, or kept keys, add in sixteen columns."""
    total = splat(base)
    for i in range(begin, end):
        term = terms[i]
        total = multiply_add(load(excess, term.node * step + at), term.weight, total)
    return total


@kernel
def _extend(plan, head, excess, step, column, begin, end, path, apart):
    """Put the tokens begin..end of a prompt on the path: scores, crossed keys, values."""
    for i in range(begin, end, 16):
        at = column + i - begin
        scores = _scores(plan.terms, head.key_from, head.key_to, 0.0, excess, step, at)
        store(path, i, scores)
        row = apart + i
        for c in range(head.cross_from, head.cross_to):
            x = load(excess, plan.crosses[c].key * step + at)
            store(path, row, multiply(x, plan.scale))
            row += apart
        for v in range(head.value_from, head.value_to):
            store(path, row, load(excess, plan.values[v].node * step + at))
            row += apart


@kernel
def _weigh(plan, head, queries, step, at, first, last, path, apart, hidden, scores):
    """exp(score - best) of sixteen queries, which stand at ``first`` on, with the keys 0..last."""
    base = _scores(plan.terms, head.query_from, head.query_to, head.score, queries, step, at)
    best = splat(head.sink if plan.has_sink else _NEVER)
    for key in range(last + 1):
        score, row = add(base, spread(path, key)), apart + key
        for c in range(head.cross_from, head.cross_to):
            x = load(queries, plan.crosses[c].query * step + at)
            score = multiply_add(x, spread(path, row), score)
            row += apart
        if key > first:
            score = add(score, load(hidden, (key - first) * 16))
        store(scores, key * 16, score)
        best = largest(best, score)
    inside = splat(0.0)
    for key in range(last + 1):
        weight = exp16(subtract(load(scores, key * 16), best))
        store(scores, key * 16, weight)
        inside = add(inside, weight)
    if not plan.has_sink:
        return inside, inside
    return inside, add(inside, exp16(subtract(head.sink, best)))


@kernel
def _mix_columns(plan, head, buffers, column, begin, end, workspace):
    """Outputs of the tokens begin..end of the prompt on the path."""
    path, apart, step = workspace.path, workspace.apart, buffers.step
    values = (1 + head.cross_to - head.cross_from) * apart
    for first in range(begin, end, 16):
        last, at = min(first + 15, end - 1), column + first - begin
        inside, total = _weigh(
            plan,
            head,
            buffers.excess,
            step,
            at,
            first,
            last,
            path,
            apart,
            workspace.hidden,
            workspace.scores,
        )
        store(buffers.mixed, head.gate_row * step + at, divide(inside, total))
        row = values
        for v in range(head.value_from, head.value_to):
            mixed = splat(0.0)
            for key in range(last + 1):
                mixed = multiply_add(
                    load(workspace.scores, key * 16), spread(path, row + key), mixed
                )
            store(buffers.mixed, plan.values[v].row * step + at, divide(mixed, total))
            row += apart


@kernel
def _add_up(x, scores):
    store(scores, 0, x)
    total = scores[0]
    for lane in range(1, 16):
        total += scores[lane]
    return total


@kernel
def _best(x, most, scores):
    store(scores, 0, x)
    for lane in range(16):
        most = max(most, scores[lane])
    return most


@kernel
def _weigh_one(plan, head, queries, step, lane, length, path, apart, scores):
    """exp(score - best) of one query with every key of the path; their sum, and with the sink."""
    base = head.score
    for i in range(head.query_from, head.query_to):
        base += queries[plan.terms[i].node * step + lane] * plan.terms[i].weight
    for key in range(length, length + 16):
        path[key] = _NEVER
    best = splat(_NEVER)
    for key in range(0, length, 16):
        score, row = add(load(path, key), base), apart + key
        for c in range(head.cross_from, head.cross_to):
            x = queries[plan.crosses[c].query * step + lane]
            score = multiply_add(load(path, row), x, score)
            row += apart
        store(scores, 16 + key, score)
        best = largest(best, score)
    most = _best(best, head.sink if plan.has_sink else np.float32(_NEVER), scores)
    inside = splat(0.0)
    for key in range(0, length, 16):
        weight = exp16(subtract(load(scores, 16 + key), most))
        store(scores, 16 + key, weight)
        inside = add(inside, weight)
    total = _add_up(inside, scores)
    return total, total + (math.exp(head.sink - most) if plan.has_sink else 0.0)


@kernel
def _mix_one(plan, head, buffers, lane, length, workspace):
    """Output of the last token of the prompt on the path."""
    path, apart, step, scores = workspace.path, workspace.apart, buffers.step, workspace.scores
    inside, total = _weigh_one(plan, head, buffers.excess, step, lane, length, path, apart, scores)
    buffers.mixed[head.gate_row * step + lane] = inside / total
    row = (1 + head.cross_to - head.cross_from) * apart
    for v in range(head.value_from, head.value_to):
        mixed = splat(0.0)
        for key in range(0, length, 16):
            mixed = multiply_add(load(scores, 16 + key), load(path, row + key), mixed)
        buffers.mixed[plan.values[v].row * step + lane] = _add_up(mixed, scores) / total
        row += apart


@kernel
def _add_values(plan, head, excess, step, column, begin, end, path, apart):
    """Extend running sums of the values, for heads that weigh all tokens alike."""
    row = 0
    for v in range(head.value_from, head.value_to):
        source = plan.values[v].node * step + column - begin
        total = path[row + begin - 1] if begin else path[row] * 0
        for i in range(begin, end):
            total += excess[source + i]
            path[row + i] = total
        row += apart


@kernel
def _average(plan, head, buffers, column, begin, end, path, apart):
    """Outputs of the tokens begin..end of a head that weighs all tokens alike."""
    gate, row = head.gate_row * buffers.step + column - begin, 0
    for i in range(begin, end):
        buffers.mixed[gate + i] = (i + 1) / (i + 1 + head.ratio)
    for v in range(head.value_from, head.value_to):
        target = plan.values[v].row * buffers.step + column - begin
        for i in range(begin, end):
            buffers.mixed[target + i] = path[row + i] / (i + 1 + head.ratio)
        row += apart


@kernel
def gates_alone(plan, layer, buffers, first, width):
    """Gates of heads whose keys are all at their means, and gates that are known."""
    of, step = plan.layers[layer], buffers.step
    for at in range(0, width, 16):
        tokens = load(buffers.known, buffers.count * buffers.width + first + at)
        for h in range(of.head_from, of.head_to):
            head = plan.heads[h]
            if head.kind == QUERY_ALONE:
                begin, end = head.query_from, head.query_to
                base = _scores(plan.terms, begin, end, head.score, buffers.excess, step, at)
                gate = divide(tokens, add(tokens, exp16(subtract(head.sink, base))))
                store(buffers.mixed, head.gate_row * step + at, gate)
        row = of.still_row
        for still in range(of.still_from, of.still_to):
            gate = load(buffers.known, (buffers.still + still) * buffers.width + first + at)
            store(buffers.mixed, row * step + at, gate)
            row += 1


@kernel
def mix(plan, layer, prompts, tile, buffers, workspace):
    """Heads that mix tokens, for every column of a tile."""
    path, apart, of = workspace.path, workspace.apart, prompts.tiles[tile]
    for h in range(plan.layers[layer].head_from, plan.layers[layer].head_to):
        head = plan.heads[h]
        if head.kind == QUERY_ALONE:
            continue
        for p in range(of.prompt_from, of.prompt_to):
            prompt = prompts.prompts[p]
            begin, end, column = prompt.shared, prompt.length, prompt.column
            if head.kind == MIXING:
                _extend(plan, head, buffers.excess, buffers.step, column, begin, end, path, apart)
                _mix_columns(plan, head, buffers, column, begin, end, workspace)
            else:
                _add_values(
                    plan, head, buffers.excess, buffers.step, column, begin, end, path, apart
                )
                _average(plan, head, buffers, column, begin, end, path, apart)


@kernel
def mix_last(plan, layer, prompts, tile, early, late, workspace):
    """Heads that mix tokens, for the last token of every prompt of a tile."""
    path, apart, of = workspace.path, workspace.apart, prompts.tiles[tile]
    for h in range(plan.layers[layer].head_from, plan.layers[layer].head_to):
        head = plan.heads[h]
        if head.kind == QUERY_ALONE:
            continue
        for p in range(of.prompt_from, of.prompt_to):
            prompt, lane = prompts.prompts[p], p - of.prompt_from
            begin, end, column = prompt.shared, prompt.length, prompt.column
            if head.kind == MIXING:
                _extend(plan, head, early.excess, early.step, column, begin, end, path, apart)
                _mix_one(plan, head, late, lane, end, workspace)
            else:
                _add_values(plan, head, early.excess, early.step, column, begin, end, path, apart)
                _average_one(plan, head, late, lane, end, path, apart)


@kernel
def _average_one(plan, head, buffers, lane, length, path, apart):
    buffers.mixed[head.gate_row * buffers.step + lane] = length / (length + head.ratio)
    row = length - 1
    for v in range(head.value_from, head.value_to):
        share = path[row] / (length + head.ratio)
        buffers.mixed[plan.values[v].row * buffers.step + lane] = share
        row += apart
