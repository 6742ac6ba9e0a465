"""``bridge-train``: train bridges between a sparse and a dense model, and put both in a folder."""

import argparse
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from circuit_sparsity.cli.answer import Answer, Say
from circuit_sparsity.cli.arguments import check_store
from circuit_sparsity.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sparse", metavar="SPARSE", help="such as main: begins with its weights")
    parser.add_argument("dense", metavar="DENSE", help="such as dense: is never changed")
    parser.add_argument("--settings", type=Path, help="such as settings/bridge_main.json")
    parser.add_argument("--name", help="of the folder of the result (SPARSE_to_DENSE)")
    parser.add_argument("--alone", action="store_true", help="leave the sparse model as it is too")
    parser.add_argument(
        "--pairing",
        nargs="+",
        metavar="SITE=SITE",
        help="which sites belong together, such as 0.attn=0.attn 1.mlp=3.mlp (each to its own)",
    )
    for name, help in (
        ("steps", "optimiser steps"),
        ("batch", "sequences a step"),
        ("context", "tokens a sequence"),
        ("seed", "of everything that is drawn"),
    ):
        parser.add_argument(f"--{name}", type=int, help=help)
    parser.add_argument("--text-tokens", type=int, help="of generated programs to train on")
    parser.add_argument(
        "--run",
        dest="folder",
        type=Path,
        help="folder of checkpoints; a run found there goes on (runs/NAME)",
    )


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    store = Store.from_environment()
    check_store(store)

    from circuit_sparsity.bridges.pair import shared_tokenizer  # torch is slow to import
    from circuit_sparsity.bridges.publication import publish
    from circuit_sparsity.bridges.training import pairing_for, train_bridges
    from circuit_sparsity.experiment.opening import open_model
    from circuit_sparsity.training.corpus import build_corpus

    settings = settings_of(arguments)
    names = settings.sparse, settings.dense
    sparse, dense = (open_model(store, name, engine="dense") for name in names)
    tokenizer = shared_tokenizer(store, *names)
    pairing_for(settings, sparse, dense)  # speaks up before the text is made
    folder = arguments.folder or Path("runs") / settings.name
    say("text ...")
    corpus = build_corpus(settings.corpus, tokenizer, folder / "corpus")
    trained = train_bridges(
        settings, sparse, dense, corpus, folder, lambda line: say(_progress(line, settings.steps))
    )
    say("measuring what was stored ...")
    made = publish(trained, settings, sparse, dense, tokenizer, corpus, folder, store)
    return Answer(
        dict(made.card), (f"{settings.name} is in {made.folder}", *score_lines(made.card))
    )


def settings_of(arguments: argparse.Namespace):
    """The settings file's, with what the command line says in their place."""
    from circuit_sparsity.bridges.settings import BridgeSettings
    from circuit_sparsity.training.corpus import CorpusSettings

    names = arguments.sparse, arguments.dense
    if arguments.settings is None:
        name = arguments.name or f"{names[0]}_to_{names[1]}"
        settings = BridgeSettings(name, *names, CorpusSettings())
    else:
        settings = BridgeSettings.read(arguments.settings)
        if (settings.sparse, settings.dense) != names:
            raise ValueError(
                f"{arguments.settings} trains {settings.sparse} {settings.dense}, and the command "
                f"names {' '.join(names)}; expected the same two models"
            )
    given = ("name", "steps", "batch", "context", "seed")
    told = {key: value for key in given if (value := getattr(arguments, key)) is not None}
    if arguments.pairing:
        told["pairing"] = tuple(arguments.pairing)
    if arguments.alone:
        told["joint"] = False
    if arguments.text_tokens is not None:
        text = dataclasses.replace(settings.corpus, generated_tokens=arguments.text_tokens)
        told["corpus"] = text
    return dataclasses.replace(settings, **told)


def _progress(line: dict[str, int | float], steps: int) -> str:
    into_sparse = [v for k, v in line.items() if k.startswith("loss_dense_to_sparse/")]
    into_dense = [v for k, v in line.items() if k.startswith("loss_sparse_to_dense/")]
    return (
        f"step {line['step']:.0f} of {steps}: sparse {line['loss_sparse']:.3f}, dense "
        f"{line['loss_dense']:.3f}, worst hybrids {max(into_sparse):.3f} into sparse, "
        f"{max(into_dense):.3f} into dense (nats per token), L0 {line['L0']:,.0f}, "
        f"{line['tokens_per_second']:.0f} tokens/s"
    )


def score_lines(card: Mapping[str, Any]) -> Iterator[str]:
    """The trained bridges' scores beside those of ridge regression."""
    found = card["bridges"]
    ours, ridge = found["trained"], found["ridge"]
    yield f"sparse {ours['loss_sparse']:.3f}, dense {ours['loss_dense']:.3f} nats per token"
    for one, other in zip(ours["sites"], ridge["sites"], strict=True):
        yield (
            f"{one['site']}: hybrids {one['loss_dense_to_sparse']:.3f} into sparse (ridge "
            f"{other['loss_dense_to_sparse']:.3f}), {one['loss_sparse_to_dense']:.3f} into dense "
            f"({other['loss_sparse_to_dense']:.3f})"
        )
