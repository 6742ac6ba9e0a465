"""The strongest paths against all paths written out."""

import random

import pytest

from circuit_sparsity.circuits.paths import reads_of_token, strongest_paths
from circuit_sparsity.circuits.wiring import wiring
from circuit_sparsity.core.names import FINAL_RESID
from circuit_sparsity.plots.colours import LIGHT
from circuit_sparsity.plots.paths import chips, path_html
from circuit_sparsity.plots.words import signed
from tests.runtime.random_circuits import random_circuit, random_model


def all_paths(wired, node, ends):
    """Every way on from a node, as lists of (neighbour, enters a key or value by weight)."""
    if node in ends:
        yield []
    for join in wired.out_of(node):
        for rest in all_paths(wired, join.node, ends):
            yield [join, *rest]


def strengths(wired, costs, starts, ends, crosses):
    found = []
    by_ends = {(edge.source, edge.target): abs(cost) for edge, cost in costs.items()}
    for start in starts:
        for joins in all_paths(wired, start, ends):
            nodes = [start, *(join.node for join in joins)]
            weighed = [
                by_ends[pair]
                for pair, join in zip(zip(nodes, nodes[1:], strict=False), joins, strict=True)
                if join.weight is not None
            ]
            moves = any(j.weight is not None and j.node.location.kind in "kv" for j in joins)
            if joins and (moves or not crosses):
                found.append(min(weighed, default=float("inf")))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("crosses", [False, True])
def test_no_path_is_stronger_than_those_that_are_found(seed, crosses):
    model = random_model(seed)
    wired = wiring(random_circuit(model, 0.12, seed), model)
    draw = random.Random(seed)
    costs = {edge: draw.choice([-0.5, -0.1, 0.0, 0.2, 0.3]) for edge in wired.edges}
    starts = [node for node in wired.nodes if node.location.kind == "act_in"]
    ends = [node for node in wired.nodes if node.location == FINAL_RESID]
    found = strongest_paths(wired, costs, starts, ends, crosses, n=4)
    wanted = strengths(wired, costs, starts, ends, crosses)
    assert [path.strength for path in found] == wanted[:4]
    assert len({path.nodes for path in found}) == len(found)
    for path in found:
        assert path.nodes[0] in starts
        assert path.nodes[-1] in ends
        assert [join.node for join in path.joins] == list(path.nodes[1:])


def test_a_token_is_read_where_its_embedding_writes():
    model = random_model(1)
    wired = wiring(random_circuit(model, 0.5), model)
    row = model.get_parameter("transformer.wte.weight")[3]
    reads = reads_of_token(wired, model, 3)
    assert len(reads) > 0
    assert all(float(row[node.channel]) != 0 for node in reads)
    kept = [n for n in wired.nodes if n.location.kind == "act_in" and n not in reads]
    assert all(float(row[n.channel]) == 0 for n in kept)


def test_a_path_is_told_from_its_token_to_the_answer():
    model = random_model(2)
    wired = wiring(random_circuit(model, 0.3, 2), model)
    starts = [node for node in wired.nodes if node.location.kind == "act_in"]
    ends = [node for node in wired.nodes if node.location == FINAL_RESID]
    costs = dict.fromkeys(wired.edges, 0.25)
    (path,) = strongest_paths(wired, costs, starts, ends, n=1)
    stops = chips(path, model.config, "<b>", -0.5)
    assert (stops[0].text, stops[-1].text) == ("“<b>”", "against the right answer")
    assert stops[0].meaning.endswith(f"writes residual channel {path.nodes[0].channel}")
    assert len(stops) == len(path.nodes) + 2
    weights = [join.weight for join in path.joins if join.weight is not None]
    assert [stop.by for stop in stops if stop.by[:1] in "+−" and stop.by][:-1] == [
        signed(weight) for weight in weights
    ]
    drawn = path_html(1, path.strength, stops, LIGHT)
    assert drawn.count('role="listitem"') == len(stops)
    assert "&lt;b&gt;" in drawn
    assert "<b>”" not in drawn
