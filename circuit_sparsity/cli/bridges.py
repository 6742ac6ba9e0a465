"""``bridges``: the pairs of a sparse and a dense model whose bridges are here."""

import argparse
from typing import TYPE_CHECKING

from circuit_sparsity.cli.answer import Answer, Say, table
from circuit_sparsity.store import Store
from circuit_sparsity.store.progress import size_in_words

if TYPE_CHECKING:
    from circuit_sparsity.bridges.pair import PairName


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    from circuit_sparsity.bridges.pair import pairs_here

    pairs, troubles = pairs_here(Store.from_environment())
    data = {
        "pairs": [{**vars(pair), "ships": pair.where == "shipped"} for pair in pairs],
        "troubles": list(troubles),
    }
    cells = [_cells(pair) for pair in pairs]
    return Answer(data, (*table(("sparse", "dense", "where", "size"), cells), *troubles))


def _cells(pair: "PairName") -> tuple[str, ...]:
    return pair.sparse, pair.dense, pair.where, size_in_words(pair.size)
