"""``bridge-evaluate``: errors and hybrid losses of a pair's bridges, site by site."""

import argparse
from typing import TYPE_CHECKING

from circuit_sparsity.cli.answer import Answer, Say, table
from circuit_sparsity.store import Store

if TYPE_CHECKING:
    from circuit_sparsity.bridges.evaluation import Evaluation

TOKENS = 16_384


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sparse", metavar="SPARSE", help="such as bridge_main")
    parser.add_argument("dense", metavar="DENSE", help="such as dense")
    parser.add_argument("--tokens", type=int, default=TOKENS, help=f"of held-out text ({TOKENS:,})")


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    if arguments.tokens < 1:
        raise ValueError(f"--tokens is {arguments.tokens}; expected at least 1")

    from circuit_sparsity.bridges.evaluation import evaluate
    from circuit_sparsity.bridges.pair import open_pair
    from circuit_sparsity.bridges.publication import held_out_windows

    store = Store.from_environment()
    pair = open_pair(store, arguments.sparse, arguments.dense)
    say("held-out text ...")
    text = held_out_windows(store, arguments.sparse, pair.tokenizer, pair.context, arguments.tokens)
    say("four readings a site ...")
    found = evaluate(pair.sparse, pair.dense, pair.bridges, text)
    data = found.to_dict() | {"sparse": arguments.sparse, "dense": arguments.dense}
    return Answer(data | {"notes": list(pair.notes)}, (*pair.notes, *_lines(found)))


def _lines(found: "Evaluation") -> tuple[str, ...]:
    head = ("site", "NMSE to sparse", "to dense", "hybrid into sparse", "into dense")
    rows = [
        (
            one.site,
            f"{one.nmse_to_sparse:.3f}",
            f"{one.nmse_to_dense:.3f}",
            f"{one.loss_dense_to_sparse:.3f}",
            f"{one.loss_sparse_to_dense:.3f}",
        )
        for one in found.sites
    ]
    return (
        *table(head, rows),
        f"sparse {found.loss_sparse:.3f}, dense {found.loss_dense:.3f} nats per token; worst "
        f"hybrid {found.worst_gap:+.3f} over the model it ends in ({found.tokens:,} tokens)",
    )
