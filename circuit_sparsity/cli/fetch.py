"""``fetch``: download a model, its circuits of a task or sweep, one circuit, or everything.

``hf:OWNER/NAME`` (and ``@REVISION``) is a model of the Hugging Face Hub."""

import argparse

from circuit_sparsity.cli.answer import Answer, Say
from circuit_sparsity.cli.arguments import check_store
from circuit_sparsity.store import Store, StoreError, paths
from circuit_sparsity.store.entries import files_for, missing
from circuit_sparsity.store.hub import SCHEME
from circuit_sparsity.store.progress import Progress, size_in_words, time_in_words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for name in ("model", "task", "sweep", "k"):
        parser.add_argument(name, metavar=name.upper(), nargs="?")
    parser.add_argument("--all", action="store_true", help="everything that is known")
    parser.add_argument(
        "--stored-only", action="store_true", help="circuits' own files, without what runs them"
    )
    parser.add_argument(
        "--as",
        dest="own_name",
        metavar="NAME",
        help="of a model from hf: (OWNER--NAME); as csp_yolo2, its circuits run with it",
    )


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    if arguments.all == (arguments.model is not None):
        raise ValueError("name a model (and a task, a sweep, a k), or give --all for everything")
    store = Store.from_environment()
    check_store(store, "downloads")
    if arguments.model and arguments.model.startswith(SCHEME):
        return _from_hub(store, arguments, say)
    if arguments.own_name:
        raise ValueError("--as names a model from the Hugging Face Hub: begin MODEL with hf:")
    if arguments.all:
        say(store.refresh().note)  # what is documented is not everything
    names = _names(store, arguments)
    wanted = missing(store, names)
    say(f"{len(wanted)} of {len(names)} files to fetch, {_total(wanted)}")
    fetched = store.fetch_all(wanted, lambda progress: say(_line(progress)))
    if len(fetched.troubles) == len(wanted) > 0:
        raise StoreError("; ".join(map(str, fetched.troubles.values())))
    troubles = {name: str(trouble) for name, trouble in fetched.troubles.items()}
    for name in names:
        if name.endswith(paths.DENSE_WEIGHTS) and name not in troubles:
            troubles |= _make_compact(store, name, say)
    data = {
        "fetched": [name for name in wanted if name not in troubles],
        "already_here": [name for name in names if name not in wanted],
        "troubles": troubles,
        "folder": str(store.folder),
    }
    return Answer(
        data,
        (
            f"fetched {len(data['fetched'])} files into {store.folder}; "
            f"{len(data['already_here'])} were here",
            *(f"not fetched: {message}" for message in troubles.values()),
        ),
    )


def _from_hub(store: Store, arguments: argparse.Namespace, say: Say) -> Answer:
    """A model of the Hugging Face Hub, put among the user's models."""
    repository, _, revision = arguments.model.removeprefix(SCHEME).partition("@")
    name = arguments.own_name or repository.replace("/", "--")
    inner = paths.model_folder(name)
    is_here = store.path_of_model(name) is not None
    if not is_here:
        say(f"{repository} from the Hugging Face Hub ...")

        from circuit_sparsity.runtime.pretrained import adopt

        adopt(store, repository, revision or None, name, quiet=arguments.json)
    names = [item.name for item in store.items() if item.name.startswith(f"{inner}/")]
    here = [one for one in names if store.find(one) is not None]
    nothing: list[str] = []
    data = {
        "fetched": nothing if is_here else here,
        "already_here": here if is_here else nothing,
        "troubles": dict[str, str](),
        "folder": str(store.folder),
    }
    if is_here:
        again = f"`python -m circuit_sparsity clear {inner}` makes room for another"
        return Answer(data, (f"a model {name} was here; {again}",))
    return Answer(data, (f"{repository} is the model {name} in {store.folder}",))


def _make_compact(store: Store, name: str, say: Say) -> dict[str, str]:
    """Prepare a large checkpoint, so that it opens quickly; what went wrong, by name."""
    model = paths.model_of(name)
    folder = model and store.path_of_model(model)
    if not folder:
        return {}

    from circuit_sparsity.core.checkpoint import CheckpointError
    from circuit_sparsity.runtime.conversion import convert

    try:
        convert(folder, lambda now: say(f"making {name} compact: {_share(now)}"))
    except CheckpointError as trouble:
        return {name: str(trouble)}
    return {}


def _share(now: Progress) -> str:
    return f"{now.done / now.total:.0%}" if now.total else size_in_words(now.done)


def _names(store: Store, arguments: argparse.Namespace) -> tuple[str, ...]:
    if arguments.model and "/" in arguments.model:  # a path of the container, as messages print
        return (arguments.model,)
    return files_for(
        store,
        arguments.model,
        arguments.task,
        arguments.sweep,
        arguments.k,
        stored_only=arguments.stored_only,
    )


def _total(wanted: dict[str, int | None]) -> str:
    known = [size for size in wanted.values() if size is not None]
    some = "" if len(known) == len(wanted) else " and files of unknown size"
    return size_in_words(sum(known)) + some


def _line(progress: Progress) -> str:
    of = f" of {size_in_words(progress.total)}" if progress.total is not None else ""
    speed = f", {size_in_words(round(progress.speed))}/s" if progress.speed else ""
    left = f", {time_in_words(progress.remaining)} left" if progress.remaining is not None else ""
    return f"{progress.name}: {size_in_words(progress.done)}{of}{speed}{left}"
