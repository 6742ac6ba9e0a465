"""``claims``: the paper's claims measured on models that are here, beside the paper's numbers.

Circuits at every target come from the rankings stored with circuits; nothing is pruned again."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from circuit_sparsity.cli.answer import Answer, Say, table
from circuit_sparsity.cli.arguments import check_folder, target_loss
from circuit_sparsity.store import Store

if TYPE_CHECKING:
    from circuit_sparsity.evidence.claims.values import Claims


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", help="a sparse model; without, what was measured last is shown")
    parser.add_argument("--dense", help="a dense model of about the same held-out loss")
    parser.add_argument("--task", nargs="+", metavar="TASK", help="only these")
    parser.add_argument(
        "--target", nargs="+", type=target_loss, metavar="LOSS", help="nats per sequence"
    )
    parser.add_argument("--out", metavar="FOLDER", help="where claims.json goes; the user's folder")


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    store = Store.from_environment()
    folder = Path(arguments.out) if arguments.out else store.folder
    if arguments.model is None:
        if arguments.dense or arguments.task or arguments.target or arguments.out:
            raise ValueError("nothing is measured without --model; name the sparse model too")
        return _stored(store)
    check_folder(folder.absolute(), "claims.json", "give another --out")

    from circuit_sparsity.evidence.claims.measure import measure
    from circuit_sparsity.evidence.claims.values import TARGETS, write_claims
    from circuit_sparsity.experiment.opening import open_task
    from circuit_sparsity.tasks import TASKS

    claims = measure(
        store,
        arguments.model,
        arguments.dense,
        tuple(open_task(name).name for name in arguments.task or TASKS),
        tuple(arguments.target or TARGETS),
        lambda done, of, what: say(f"{done} of {of} circuits: {what}"),
    )
    path = write_claims(claims, folder)
    return Answer(claims.to_dict(), (*lines_of(claims), f"stored in {path}"))


def _stored(store: Store) -> Answer:
    from circuit_sparsity.evidence.claims.values import read_claims

    claims = read_claims(store)
    if claims is None:
        raise ValueError(
            "no claims are stored; measure them with "
            "`python -m circuit_sparsity claims --model starter`"
        )
    return Answer(claims.to_dict(), lines_of(claims))


def lines_of(claims: "Claims") -> tuple[str, ...]:
    """The rows as a table, what is missing, and what measures it again."""
    from circuit_sparsity.evidence.claims.words import HEAD, caution, command, rows

    lines = [*table(HEAD, [said.cells for said in rows(claims)]), ""]
    lines += caution(claims)
    if claims.missing:
        lines += ["", f"missing ({len(claims.missing)}):"]
        lines += [f"  {one.what}: {one.why}" for one in claims.missing]
    return (*lines, "", f"measured by `{command(claims)}`")
