"""Ablations in compiled circuits against the hooked dense forward of the same model."""

import dataclasses
import random
import statistics
import time
from collections import defaultdict
from functools import cache

import torch
from models import EVERY_TOP_K, Shape, random_model
from table import Row

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import matrix_between
from circuit_sparsity.circuits.means import Means, mean_activations
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import FINAL_RESID, Location, Node, circuit_locations
from circuit_sparsity.runtime.ablation import answer_logits
from circuit_sparsity.runtime.compiled import CircuitRun, compile_circuit
from circuit_sparsity.runtime.compiled.masked_run import full_run
from circuit_sparsity.tasks.task import TaskBatch

SIZES = (16, 64, 133, 512, 1024, 2048, 4096)
_SEED = 0


def ablation_rows(shape: Shape, rounds: int) -> list[Row]:
    """One node's ablation, and all of them in one call, in a connected circuit of 133 nodes."""
    bench = _bench(shape)
    run = bench.run(133)
    nodes = run.circuit.node_list
    single = bench.single(run, rounds)
    every = _median(lambda: run.losses_without([[node] for node in nodes]), rounds)
    hooked = _hooked(shape, rounds)
    what = f"{shape.name} shape, 32 prompts of 64 tokens, circuit of {len(nodes)} nodes"
    threads = f"{torch.get_num_threads()} threads"
    return [
        Row(f"{what}, one ablation", 1e3 * single, 1e3 * hooked, "ms", 50, threads),
        Row(
            f"{what}, all in one call",
            1e3 * every,
            1e3 * hooked * len(nodes),
            "ms",
            100,
            f"{threads}; baseline: median of {rounds} hooked forwards, times {len(nodes)}",
        ),
    ]


def size_rows(shape: Shape, rounds: int) -> list[Row]:
    """One ablation in circuits of more and more nodes, against the same hooked forward."""
    bench, rows = _bench(shape), []
    hooked = _hooked(shape, rounds)
    for size in SIZES:
        seconds = bench.single(bench.run(size), rounds)
        what = f"{shape.name} shape, one ablation in a circuit of {size} nodes"
        rows.append(Row(what, 1e3 * seconds, 1e3 * hooked, "ms", 1))
    return rows


_STREAMS = {
    "relu on the residual stream": {"residual_activation_type": "relu"},
    "top-k of the residual stream": {
        "afrac_loctypes": f"{EVERY_TOP_K},resid_post_attn,resid_post_mlp"
    },
    "LayerNorm before a top-k": {"rms_norm": False},
}


def stream_rows(shape: Shape, rounds: int) -> list[Row]:
    """One ablation where the residual stream is no plain sum, against the same model masked."""
    rows = []
    for name, options in _STREAMS.items():
        config = dataclasses.replace(shape.config, **options)
        bench = Bench(Shape(f"{shape.name}, {name}", config, shape.density))
        run = bench.run(133)
        masked = full_run(run.circuit, bench.model, bench.means, bench.batch)
        ours, baseline = bench.single(run, rounds), bench.single(masked, 1)
        what = f"{shape.name} shape with {name}, one ablation in a circuit of 133 nodes"
        note = "baseline: the compressed model, masked, from the ablated layer on"
        rows.append(Row(what, 1e3 * ours, 1e3 * baseline, "ms", 1, note))
    return rows


class Bench:
    """A random model of a shape with means and 32 prompts of 64 tokens."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.model = random_model(shape, "sparse")
        self.means = self._means()
        generator = torch.Generator().manual_seed(_SEED)
        vocab = shape.config.vocab_size
        right, wrong = torch.randint(vocab, (2, 32), generator=generator)
        tokens = torch.randint(vocab, (32, 64), generator=generator)
        self.batch = TaskBatch(tokens, torch.full((32,), 63), right, wrong)

    def _means(self) -> Means:
        generator = torch.Generator().manual_seed(_SEED + 1)
        windows = torch.randint(self.shape.config.vocab_size, (4, 64), generator=generator)
        return mean_activations(self.model, [windows])

    def run(self, size: int) -> CircuitRun:
        circuit = connected_circuit(self.model, size, _SEED)
        return compile_circuit(circuit, self.model, self.means).on(self.batch)

    def single(self, run: CircuitRun, rounds: int) -> float:
        """Median seconds of one ablation, over nodes from the first location to the last."""
        nodes = run.circuit.node_list
        chosen = nodes[:: max(1, len(nodes) // 16)]
        run.losses_without([[chosen[0]]])
        return statistics.median(
            _median(lambda node=node: run.losses_without([[node]]), rounds) for node in chosen
        )


_bench = cache(Bench)


@cache
@torch.no_grad()
def _hooked(shape: Shape, rounds: int) -> float:
    """Median seconds of one masked forward of the dense model."""
    bench, dense = _bench(shape), random_model(shape, "dense")
    alive = connected_circuit(bench.model, 133, _SEED).masks(shape.config)
    opened, means = bench.batch, bench.means
    return _median(
        lambda: answer_logits(dense, opened.tokens, opened.last, alive=alive, means=means), rounds
    )


def connected_circuit(model: GPT, size: int, seed: int) -> Circuit:
    """``size`` nodes, each feeding another one or read by the unembedding: walked backwards."""
    draw, config = random.Random(seed), model.config
    kept: dict[Node, None] = {}
    waiting = [Node(FINAL_RESID, draw.randrange(config.d_model)) for _ in range(size // 8 + 1)]
    while len(kept) < size:
        if not waiting:
            waiting.append(Node(FINAL_RESID, draw.randrange(config.d_model)))
        node = waiting.pop(draw.randrange(len(waiting)))
        if node not in kept:
            kept[node] = None
            feeding = list(_feeding(model, node))
            waiting += draw.sample(feeding, min(len(feeding), 4))
    nodes: dict[Location, list[int]] = defaultdict(list)
    for node in kept:
        nodes[node.location].append(node.channel)
    places = circuit_locations(config.n_layer)
    return Circuit({p: tuple(nodes[p]) for p in places}, "random", "walk", "", str(size))


def _feeding(model: GPT, node: Node) -> list[Node]:
    """Nodes that write what ``node`` reads."""
    place, layers = node.location, range(model.config.n_layer)
    if place.reads_residual:
        before = [i for i in layers if place.layer is None or i < place.layer]
        found = [Node(Location(i, b, "resid_delta"), node.channel) for i in before for b in _BLOCKS]
        return found if node.channel < model.config.d_model else []
    assert place.layer is not None, "only the final residual stream is outside all layers"
    by = {"resid_delta": "v" if place.block == "attn" else "post_act"}.get(place.kind, "act_in")
    source = Location(place.layer, place.block, by)
    row = matrix_between(model, source, place).rows(node.channel, node.channel + 1)
    found = [Node(source, int(channel)) for channel in row.columns.tolist()]
    if place.kind == "v":  # what decides where it is read
        found += [Node(Location(place.layer, "attn", kind), node.channel) for kind in "qk"]
    return found


_BLOCKS = ("attn", "mlp")


def _median(work, rounds: int) -> float:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)
