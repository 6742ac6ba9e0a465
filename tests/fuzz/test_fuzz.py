"""Every kind of file that is read, damaged at random: the same result, a named error, or set aside.

Each file is first read whole. What is then changed must give the same result or an error that
names the file; where a sum is known of it (own results, archives) nothing else will do. A file
without one, which people write themselves, may come to mean something else.
"""

import dataclasses
import random
import signal
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from circuit_sparsity.core.checkpoint import CONFIG_FILE, read_config, read_weights, save_model
from circuit_sparsity.evidence.evidence import Evidence, read_evidence, write_evidence
from circuit_sparsity.experiment.labels import Labels, read_labels, write_labels
from circuit_sparsity.pruning.ranking import Moment, Nested, Ranking, read_nested, write_nested
from circuit_sparsity.pruning.request import PruneRequest
from circuit_sparsity.pruning.settings import PruneSettings
from circuit_sparsity.release import read_means, read_viz, write_means
from circuit_sparsity.store import Store, manifest
from circuit_sparsity.store.atomic import sum_path, write_sum
from circuit_sparsity.store.catalogue import Blob, Catalogue, listing_path, write_catalogue
from circuit_sparsity.store.http_source import read_page
from circuit_sparsity.tasks.own import read_pairs
from circuit_sparsity.training.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from circuit_sparsity.training.settings import TrainSettings
from circuit_sparsity.ui.prune import jobs as prune_jobs
from tests.fuzz.mutations import mutated
from tests.handmade import sign_model

LONGEST = 10.0  # seconds of the processor that one reading may take
BLOCKED = 120  # seconds by the clock, on a machine that others keep busy
CURVE = "train_curves/m/progress.json"
PAIRS = "prompt,right,wrong,counterpart\n" + "".join(
    f'for {i}, in,":\n",while {i}\n' for i in range(10)
)


@dataclass(frozen=True)
class Case:
    """A file, how it is read, and whether a sum is known of it."""

    path: Path
    read: Callable[[], object]
    is_summed: bool = False
    is_json: bool = False


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "shipped", tmp_path / "own", "http://127.0.0.1:9/nobody")


def plain(value: object) -> object:
    """A value as text that differs where the value does."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if dataclasses.is_dataclass(value):
        return {name: plain(one) for name, one in vars(value).items()}
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if hasattr(value, "to_dense"):
        return value.to_dense().tolist()
    return str(value)


def config(store: Store, tmp_path: Path) -> Case:
    save_model(sign_model().model, tmp_path)
    path = tmp_path / CONFIG_FILE
    return Case(path, lambda: read_config(path), is_json=True)


def compact_weights(store: Store, tmp_path: Path) -> Case:
    save_model(sign_model().model, tmp_path)
    path = write_sum(tmp_path / "model.safetensors")
    return Case(path, lambda: read_weights(path), is_summed=True)


def compact_weights_by_hand(store: Store, tmp_path: Path) -> Case:
    case = compact_weights(store, tmp_path)
    sum_path(case.path).unlink()
    return dataclasses.replace(case, is_summed=False)


def dense_weights(store: Store, tmp_path: Path) -> Case:
    path = tmp_path / "final_model.pt"
    torch.save(sign_model().model.state_dict(), path)
    return Case(path, lambda: read_weights(path), is_summed=True)


def means(store: Store, tmp_path: Path) -> Case:
    path = write_means(sign_model().means, tmp_path / "mean_baseline_pretrain.pt")
    return Case(path, lambda: read_means(path), is_summed=True)


def circuit(store: Store, tmp_path: Path) -> Case:
    name = "viz/starter/single_double_quote/full/k24_seed0/viz_data.pt"
    shipped = Store.from_environment().shipped
    found = min((shipped / "viz" / "starter").rglob("viz_data.pt"), key=lambda p: p.stat().st_size)
    path = tmp_path / Path(name).name
    path.write_bytes(found.read_bytes())
    names = {"model": "starter", "task": "t", "sweep": "s", "k": "k"}
    return Case(path, lambda: read_viz(path, **names).circuit, is_summed=True)


def ranking(store: Store, tmp_path: Path) -> Case:
    found = Ranking(
        torch.tensor([3.0, 1.0, 2.0]), 2, PruneSettings(), (Moment(1, 0.5, 3),), seconds=1.0
    )
    write_nested(Nested(found, ((1, 0.7), (2, 0.1))), tmp_path)
    path = write_sum(tmp_path / "ranking.safetensors")
    return Case(path, lambda: read_nested(tmp_path), is_summed=True)


def evidence(store: Store, tmp_path: Path) -> Case:
    numbers = {
        one.name: 0.5
        for one in dataclasses.fields(Evidence)
        if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
    }
    counts = dict.fromkeys(("nodes", "edges", "learnable_nodes", "model_nodes"), 4)
    texts = {"circuit": "c", "prompts": "p", "minimality": {"0.attn.q:0": 0.1}}
    path = write_evidence(Evidence(**numbers | counts | texts), store, sign_model().circuit)
    return Case(
        path, lambda: read_evidence(store, sign_model().circuit), is_summed=True, is_json=True
    )


def evidence_by_hand(store: Store, tmp_path: Path) -> Case:
    case = evidence(store, tmp_path)
    sum_path(case.path).unlink()
    return dataclasses.replace(case, is_summed=False)


def listing(store: Store, tmp_path: Path) -> Case:
    files = {f"models/m{i}/final_model.pt": Blob(i, f'"{i}"') for i in range(20)}
    write_catalogue(store.folder, store.url, Catalogue("listed", files, 1.0, 3))
    return Case(
        listing_path(store.folder),
        lambda: (store.catalogue.files, [item.name for item in store.items()], store.rows()),
        is_json=True,
    )


def record(store: Store, tmp_path: Path) -> Case:
    path = store.folder / CURVE
    path.parent.mkdir(parents=True)
    path.write_bytes(b"curve")
    manifest.record_by_hand(store.folder, CURVE)
    return Case(
        manifest.record_path(store.folder, CURVE),
        lambda: (store.find(CURVE), store.verify(CURVE)),
        is_json=True,
    )


def labels(store: Store, tmp_path: Path) -> Case:
    made = sign_model().circuit
    path = write_labels(Labels({node: f"n {node}" for node in made.node_list}), store, made)
    return Case(path, lambda: read_labels(store, made), is_json=True)


def request(store: Store, tmp_path: Path) -> Case:
    own = prune_jobs.own_task("mine", read_pairs(PAIRS))
    _ = prune_jobs.on_disk(store, "a title", PruneRequest("starter", own.name, k=8), own)
    del _  # as at the end of a process: the lock goes, the record stays
    (path,) = (store.folder / "unfinished").glob("*.json")

    def read() -> object:
        (one,) = prune_jobs.unfinished(store)
        if one.trouble:
            raise ValueError(one.trouble)
        return one.title, one.request, one.task

    return Case(path, read, is_summed=True, is_json=True)


def pairs_csv(store: Store, tmp_path: Path) -> Case:
    path = tmp_path / "own.csv"
    path.write_text(PAIRS)
    return Case(path, lambda: read_pairs(path))


def pairs_json(store: Store, tmp_path: Path) -> Case:
    path = tmp_path / "own.json"
    row = '{"prompt": "a%d", "right": "b", "wrong": "c", "counterpart": "d%d"}'
    path.write_text("[" + ", ".join(row % (i, i) for i in range(8)) + "]")
    return Case(path, lambda: read_pairs(path), is_json=True)


def checkpoint(store: Store, tmp_path: Path) -> Case:
    state = sign_model().model.state_dict()
    path = write_checkpoint(Checkpoint("{}", state, {"state": {}}, 7), tmp_path)
    return Case(path, lambda: read_checkpoint(tmp_path), is_summed=True)


def settings(store: Store, tmp_path: Path) -> Case:
    path = tmp_path / "settings.json"
    path.write_bytes((Path(__file__).parents[2] / "settings" / "starter.json").read_bytes())
    return Case(path, lambda: TrainSettings.read(path), is_json=True)


def answer_of_the_service(store: Store, tmp_path: Path) -> Case:
    path = tmp_path / "listing.xml"
    blob = "<Blob><Name>models/m/x{}</Name><Properties><Content-Length>5</Content-Length>"
    blobs = "".join(f"{blob.format(i)}</Properties></Blob>" for i in range(5))
    path.write_text(f"<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker/></EnumerationResults>")
    return Case(path, lambda: read_page(path.read_bytes()))


CASES = (
    config,
    compact_weights,
    compact_weights_by_hand,
    dense_weights,
    means,
    circuit,
    ranking,
    evidence,
    evidence_by_hand,
    listing,
    record,
    labels,
    request,
    pairs_csv,
    pairs_json,
    checkpoint,
    settings,
    answer_of_the_service,
)
FEWER = {circuit: 50, settings: 100, evidence_by_hand: 100}  # what costs the most, outside soak
NAMELESS = (record, answer_of_the_service)  # whose errors name the download, or no file


class TookTooLong(BaseException):
    """Reading a file took longer than it may."""


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise TookTooLong

    before = {number: signal.signal(number, ring) for number in (signal.SIGALRM, signal.SIGPROF)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def outcome(case: Case) -> tuple[object, str | None]:
    """What a reading gives, or what it is refused with; every other error goes through."""
    signal.alarm(BLOCKED)
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = case.read()
    except ValueError as error:
        return None, str(error)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
    return plain(found), None


def series() -> Iterator[object]:
    for make in CASES:
        yield pytest.param(make, FEWER.get(make, 200), id=make.__name__)
        yield pytest.param(make, 5000, id=f"{make.__name__}-long", marks=pytest.mark.soak)


@pytest.mark.parametrize(("make", "rounds"), [*series()])
def test_a_damaged_file_gives_the_same_result_or_a_sentence(
    store: Store, tmp_path: Path, make: Callable[[Store, Path], Case], rounds: int
) -> None:
    case = make(store, tmp_path)
    whole, first = case.path.read_bytes(), plain(case.read())
    chance = random.Random(f"{make.__name__}/{rounds}")
    for number in range(rounds):
        damaged = mutated(whole, chance, case.is_json)
        case.path.write_bytes(damaged)
        result, trouble = outcome(case)
        if trouble is None:
            assert not case.is_summed or result == first, f"round {number}: another result"
        else:
            assert make in NAMELESS or case.path.name in trouble, f"round {number}: {trouble}"
    case.path.write_bytes(whole)
    assert plain(case.read()) == first
