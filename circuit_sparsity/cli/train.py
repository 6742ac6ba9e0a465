"""``train``: train a weight-sparse model and put it among the models."""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from circuit_sparsity.cli.answer import Answer, Say
from circuit_sparsity.cli.app import PACKAGE
from circuit_sparsity.cli.arguments import add_device, check_folder, check_store
from circuit_sparsity.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "settings", metavar="SETTINGS", type=Path, help="such as settings/starter.json, which ships"
    )
    parser.add_argument(
        "--run",
        dest="folder",
        type=Path,
        help="folder of checkpoints; a run found there goes on (runs/NAME)",
    )
    add_device(parser, "auto")


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    store = Store.from_environment()
    check_store(store)
    check_folder((arguments.folder or Path("runs")).absolute(), "checkpoints", "give another --run")

    from circuit_sparsity.training.corpus import prepare
    from circuit_sparsity.training.loop import train
    from circuit_sparsity.training.publication import publish
    from circuit_sparsity.training.settings import TrainSettings

    settings = TrainSettings.read(_shipped(arguments.settings))
    folder = arguments.folder or Path("runs") / settings.name
    say("tokenizer and corpus ...")
    tokenizer, corpus = prepare(settings, folder)
    model = train(
        settings,
        corpus,
        folder,
        lambda line: say(_progress(line, settings.steps)),
        device=arguments.device,
        say=say,
    )
    say("measuring what was stored ...")
    made = publish(model, settings, tokenizer, corpus, folder, store)
    return Answer(dict(made.card), (f"{settings.name} is in {made.folder}", *_scores(made.card)))


def _shipped(path: Path) -> Path:
    """``path``, or the settings of that name inside an installed package."""
    inside = PACKAGE / "settings" / path.name
    return inside if not path.exists() and inside.is_file() else path


def _progress(line: dict[str, int | float], steps: int) -> str:
    return (
        f"step {line['step']:.0f} of {steps}: train {line['train_xent']:.3f}, held out "
        f"{line['test_xent/generated']:.3f} generated, {line['test_xent/real']:.3f} real "
        f"(nats per token), L0 {line['L0']:,.0f}, {line['tokens_per_second']:.0f} tokens/s"
    )


def _scores(card: Mapping[str, Any]) -> Iterator[str]:
    for part, loss in card["held_out"].items():
        yield f"held-out {part}: {loss['model']:.3f} nats per token, bigrams {loss['bigram']:.3f}"
    for task, scores in card["tasks"].items():
        for templates, score in scores.items():
            yield f"{task}, {templates} templates: {score['accuracy']:.1%} of {score['prompts']}"
