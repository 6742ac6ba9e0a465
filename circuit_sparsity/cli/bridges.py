"""``bridges``: the pairs of a sparse and a dense model whose bridges are here."""

import argparse

from circuit_sparsity.bridges.pair import PairName, pairs_here
from circuit_sparsity.commands.answer import Answer, Say, table
from circuit_sparsity.store import Store
from circuit_sparsity.store.words import size_in_words

HELP = "show the pairs of models that are joined by bridges"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    pairs, troubles = pairs_here(Store.from_environment())
    data = {
        "pairs": [{**vars(pair), "ships": pair.where == "shipped"} for pair in pairs],
        "troubles": list(troubles),
    }
    cells = [_cells(pair) for pair in pairs]
    return Answer(data, (*table(("sparse", "dense", "where", "size"), cells), *troubles))


def _cells(pair: PairName) -> tuple[str, ...]:
    return pair.sparse, pair.dense, pair.where, size_in_words(pair.size)
