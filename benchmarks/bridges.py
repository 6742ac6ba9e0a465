"""Bridges against the plain two-model loop, and an edit carried over: python benchmarks/bridges.py

The plain loop is the same objective the obvious way: every hybrid of every site is a pass of its
own through the whole model that it ends in, its residual stream replaced at the site, all
sequences at all sites. Ours switches each sequence at every site too (same terms, same gradients)
and then at one, as training does. Edits are of the shipped circuit of the joined model.
"""

import argparse
import time

import torch
from table import Row, print_rows, timed
from torch import Tensor
from torch.nn import functional as F

from circuit_sparsity.bridges.bridge import Bridges
from circuit_sparsity.bridges.hybrids import residual_streams
from circuit_sparsity.bridges.objective import Weights, nmse, terms
from circuit_sparsity.bridges.pair import Pair, open_pair
from circuit_sparsity.bridges.transfer import Carrier, NodeEdit
from circuit_sparsity.core.hooks import replace
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.opening import batch_of_tests, open_task
from circuit_sparsity.store import Store

BATCH, CONTEXT = 6, 128
NODE = "2.mlp.act_in:18"
TASK = "single_double_quote"


def plain_objective(
    sparse: GPT, dense: GPT, bridges: Bridges, tokens: Tensor, targets: Tensor
) -> Tensor:
    """The objective with a whole pass for every hybrid."""
    with torch.no_grad():
        others, wanted = residual_streams(dense, tokens, bridges.pairing.dense)
    wanted = wanted.log_softmax(-1)
    ones, logits = residual_streams(sparse, tokens, bridges.pairing.sparse)
    total = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    for i, (site, other_site) in enumerate(bridges.pairing.pairs):
        encoded, decoded = bridges[i].encode(others[i]), bridges[i].decode(ones[i])
        total = total + nmse(encoded, ones[i]) + nmse(decoded, others[i])
        for model, place, x in ((sparse, site, encoded), (dense, other_site, decoded)):
            hybrid = model(tokens, hook=replace({place.hook_name: lambda _, x=x: x}))[0]
            got = hybrid.log_softmax(-1).flatten(0, 1)
            total = total + F.kl_div(
                got, wanted.flatten(0, 1), log_target=True, reduction="batchmean"
            )
    return total


def steps(pair: Pair, rounds: int) -> list[Row]:
    """One step forward and backward, ours at all sites and at one, against the plain loop."""
    sparse, dense, bridges = pair.sparse, pair.dense, pair.bridges
    sparse.requires_grad_(True)
    if sparse.config.enable_bigram_table:
        sparse.bigram_table.requires_grad_(False)  # as in training
    bridges.requires_grad_(True)
    tokens = torch.randint(sparse.config.vocab_size, (BATCH, CONTEXT + 1))
    inputs, targets = tokens[:, :-1], tokens[:, 1:]

    def plain() -> None:
        plain_objective(sparse, dense, bridges, inputs, targets).backward()

    def ours(switches: int) -> None:
        terms(sparse, dense, bridges, inputs, targets, switches).total(Weights()).backward()

    size = f"{BATCH} × {CONTEXT} tokens"
    return [
        timed(f"a step, {size}, all hybrids", lambda: ours(len(bridges)), plain, rounds, 1),
        timed(f"a step, {size}, one hybrid a sequence", lambda: ours(1), plain, rounds, 3),
    ]


def edit_seconds(pair: Pair, store: Store, times: int) -> Tensor:
    """Seconds of one move of a strength slider: both models anew, prompts already there."""
    task = open_task(TASK)
    batch = batch_of_tests(task, pair.tokenizer, pair.sparse)
    carrier = Carrier(pair, batch)
    shifts = carrier.shifts([NodeEdit(Node.parse(NODE))])
    added = carrier.additions(shifts)
    found = []
    for i in range(times):
        start = time.perf_counter()
        carrier.in_sparse(shifts, i / times).p_right  # noqa: B018 - the page shows it
        carrier.dense.outcome(added, i / times).p_right  # noqa: B018
        found.append(time.perf_counter() - start)
    return torch.tensor(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sparse", default="bridge_main")
    parser.add_argument("--dense", default="dense")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--times", type=int, default=40)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    store = Store.from_environment()
    pair = open_pair(store, arguments.sparse, arguments.dense)
    seconds = edit_seconds(pair, store, arguments.times)
    low, high = seconds.quantile(torch.tensor([0.5, 0.95])).tolist()
    print(f"an edit at one strength, 256 prompts: median {low:.3f} s, p95 {high:.3f} s")
    print_rows(steps(pair, arguments.rounds))


if __name__ == "__main__":
    main()
