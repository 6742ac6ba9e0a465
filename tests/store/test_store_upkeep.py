"""Verifying, deleting and counting what the user's folder holds."""

import base64
import hashlib
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from circuit_sparsity.store import (
    Busy,
    Damaged,
    NotHere,
    Store,
    StoreError,
    TransferCancelled,
    manifest,
    write_atomically,
)
from circuit_sparsity.store.catalogue import Blob, Catalogue, write_catalogue
from circuit_sparsity.store.download import Partial, locked
from circuit_sparsity.store.progress import Meter
from circuit_sparsity.store.remote import Version

CURVE = "train_curves/m/progress.json"
CONFIG = "models/m/beeg_config.json"


@pytest.fixture
def store(store: Store, tmp_path: Path) -> Store:
    for name in (CURVE, CONFIG):
        path = tmp_path / "mirror" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'{"a": 1}')
    return replace(store, url=(tmp_path / "mirror").as_uri())


def make_own_result(store: Store, k: str = "mine", content: bytes = b"123") -> Path:
    folder = store.viz_folder("m", "t", "s", k)
    return write_atomically(folder / "viz_data.pt", lambda file: file.write(content))


def half_download(store: Store, name: str = "models/m/final_model.pt") -> None:
    with Partial(store.folder, name, store.url) as partial:
        partial.begin(Version(etag='"1"', total=100))
        partial.append(b"x" * 40)
        partial.save()


def files_of(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    )


# Verifying


def test_a_download_is_verified_by_its_own_hash(store: Store) -> None:
    path = store.fetch(CURVE)
    digest = hashlib.sha256(b'{"a": 1}').hexdigest()[:16]
    expected = f"{CURVE} is what was downloaded: 8 bytes, SHA-256 {digest}..."
    assert store.verify(CURVE) == expected
    state = path.stat()
    path.write_bytes(b'{"a": 2}')
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))  # no trace but the content
    assert store.find(CURVE) == path
    with pytest.raises(Damaged, match="other content than what was downloaded"):
        store.verify(CURVE)


def test_a_file_put_here_by_hand_is_compared_with_the_list(store: Store) -> None:
    path = store.folder / CURVE
    path.parent.mkdir(parents=True)
    path.write_bytes(b"curve")
    assert "says nothing about it" in store.verify(CURVE)
    manifest.forget(store.folder, CURVE)
    md5 = base64.b64encode(hashlib.md5(b"curve").digest()).decode()
    cases = [
        (Blob(4), "is 5 bytes long and should be 4"),
        (Blob(5, md5="AAAA"), "has another MD5"),
    ]
    for blob, trouble in cases:
        listed = Catalogue("listed", {CURVE: blob}, 1.0)
        write_catalogue(store.folder, store.url, listed)
        with pytest.raises(Damaged, match=trouble):
            store.verify(CURVE)
    write_catalogue(store.folder, store.url, Catalogue("listed", {CURVE: Blob(5, md5=md5)}, 1.0))
    assert "the length and the MD5" in store.verify(CURVE)
    assert "is what was downloaded" in store.verify(CURVE)  # written down the first time


def test_what_ships_what_is_own_and_what_is_nowhere_are_told_apart(store: Store) -> None:
    shipped = store.shipped / CURVE
    shipped.parent.mkdir(parents=True)
    shipped.write_bytes(b"{}")
    assert "came with the project" in store.verify(CURVE)
    folder = store.local_folder("models/own")
    write_atomically(folder / "beeg_config.json", lambda file: file.write(b"{}"))
    assert "was made here" in store.verify("models/own/beeg_config.json")
    with pytest.raises(NotHere, match="nothing to verify"):
        store.verify(CONFIG)


def test_a_verification_can_be_stopped(store: Store) -> None:
    store.fetch(CURVE)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(TransferCancelled):
        store.verify(CURVE, cancel=cancel)


# Counting


def test_usage_tells_downloads_own_results_and_unfinished_ones_apart(store: Store) -> None:
    nothing = store.usage()
    assert (nothing.downloaded, nothing.made_here, nothing.unfinished) == (0, 0, 0)
    assert nothing.free > 0
    store.fetch(CURVE)
    make_own_result(store)
    half_download(store)
    usage = store.usage()
    assert (usage.downloaded, usage.made_here, usage.unfinished) == (8, 3, 40)


def test_the_last_use_of_a_download_is_remembered(store: Store) -> None:
    store.fetch(CURVE)
    os.utime(manifest.record_path(store.folder, CURVE), (1000, 1000))

    def used() -> float | None:
        (item,) = [item for item in store.items() if item.name == CURVE]
        return item.last_used

    assert used() == 1000
    store.find(CURVE)
    assert used() != 1000


# Deleting


def test_deleting_one_file_frees_its_bytes_and_leaves_no_trace(store: Store) -> None:
    store.fetch(CURVE)
    store.fetch(CONFIG)
    assert store.remove(CURVE) == 8
    assert files_of(store.folder) == [f".store/files/{CONFIG}.json", CONFIG]
    assert not (store.folder / "train_curves").exists()


def test_deleting_a_folder_deletes_all_under_it_finished_or_not(store: Store) -> None:
    store.fetch(CONFIG)
    half_download(store)
    store.fetch(CURVE)
    assert store.remove("models/m") == 8 + 40
    assert files_of(store.folder) == [f".store/files/{CURVE}.json", CURVE]


def test_an_own_result_is_deleted_with_its_mark(store: Store) -> None:
    make_own_result(store)
    assert store.remove("viz/m/t/s/mine/viz_data.pt") == 3
    assert files_of(store.folder) == []


def test_an_unfinished_download_can_be_deleted_by_its_name(store: Store) -> None:
    half_download(store)
    assert store.remove("models/m/final_model.pt") == 40
    assert store.usage().unfinished == 0


def test_clearing_keeps_own_results_unless_asked(store: Store) -> None:
    store.fetch(CURVE)
    half_download(store)
    own = make_own_result(store)
    assert store.clear() == 8 + 40
    assert own.read_bytes() == b"123"
    assert store.path_of_viz("m", "t", "s", "mine") == own
    assert store.clear(own_results=True) >= 3
    assert files_of(store.folder) == []


def test_clearing_touches_nothing_beside_the_layout(store: Store, tmp_path: Path) -> None:
    store.fetch(CURVE)
    precious = store.folder / "thesis.txt"
    precious.write_text("precious")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("precious")
    (store.folder / "models").mkdir()
    (store.folder / "models" / "link").symlink_to(outside)
    store.clear(own_results=True)
    assert precious.read_text() == "precious"
    assert (outside / "file").read_text() == "precious"
    assert not (store.folder / "models" / "link").exists()


def test_what_ships_is_never_deleted(store: Store) -> None:
    shipped = store.shipped / CURVE
    shipped.parent.mkdir(parents=True)
    shipped.write_bytes(b"{}")
    with pytest.raises(NotHere, match="nothing was deleted; what ships with the project stays"):
        store.remove(CURVE)
    store.clear(own_results=True)
    assert shipped.exists()


@pytest.mark.parametrize("name", ["../x", "/", "", ".store", "models/../../x"])
def test_nothing_outside_the_folder_can_be_deleted(store: Store, name: str) -> None:
    with pytest.raises(StoreError, match="is not let in"):
        store.remove(name)


def test_a_file_that_is_being_downloaded_is_not_deleted(store: Store) -> None:
    store.fetch(CURVE)
    with (
        locked(store.folder, CURVE, Meter(CURVE, None), threading.Event()),
        pytest.raises(Busy, match="is being downloaded right now"),
    ):
        store.remove(CURVE)
    assert store.find(CURVE) is not None


def test_waiting_for_another_process_can_be_stopped(store: Store) -> None:
    cancel = threading.Event()
    with locked(store.folder, CURVE, Meter(CURVE, None), threading.Event()):
        threading.Timer(0.1, cancel.set).start()
        with pytest.raises(TransferCancelled, match="stopped"):
            store.fetch(CURVE, cancel=cancel)


def test_a_download_never_lands_among_own_results(store: Store) -> None:
    store.local_folder("models/m")
    with pytest.raises(StoreError, match="holds results made here"):
        store.fetch(CONFIG)


def test_the_files_of_a_model_are_its_config_weights_and_tokenizer(store: Store) -> None:
    shared = ("tinypython/vocab.bpe", "tinypython/encoder.json")
    assert store.model_files("x") == (
        "models/x/beeg_config.json",
        "models/x/final_model.pt",
        *shared,
    )
    folder = store.local_folder("models/own")
    for file in ("model.safetensors", "vocab.bpe", "encoder.json"):
        write_atomically(folder / file, lambda file: file.write(b"x"))
    assert store.model_files("own")[1:] == (
        "models/own/model.safetensors",
        "models/own/vocab.bpe",
        "models/own/encoder.json",
    )
