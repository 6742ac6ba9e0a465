"""The store against a real blob service, by way of a network with faults."""

import hashlib
import random
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from azurite.emulator import Azurite, Bucket
from azurite.fault_proxy import FaultProxy

from circuit_sparsity.store import (
    Damaged,
    NotFound,
    Refused,
    Store,
    StoreError,
    TransferCancelled,
    Unreachable,
    manifest,
)
from circuit_sparsity.store.download import part_path
from circuit_sparsity.store.http_source import HEADERS, HttpSource, pages, read_page
from circuit_sparsity.store.progress import Progress

pytestmark = pytest.mark.azurite

MIB = 1 << 20
WEIGHTS = "models/m/final_model.pt"
CONFIG = "models/m/beeg_config.json"
VIZ = "viz/m/t/s/64/viz_data.pt"


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
def bucket(azurite: Azurite) -> Bucket:
    return azurite.container()


@pytest.fixture
def store(store: Store, bucket: Bucket, proxy: FaultProxy) -> Store:
    return replace(store, url=bucket.behind(proxy.url))


def assert_nothing_half(store: Store, name: str = WEIGHTS) -> None:
    assert not (store.folder / name).exists()
    assert store.find(name) is None


# Listing


@pytest.fixture(scope="module")
def release(azurite: Azurite, release_fixture: Path) -> Bucket:
    bucket = azurite.container()
    bucket.upload_tree(release_fixture)
    return bucket


def test_the_release_is_listed_and_every_circuit_has_its_row(
    store: Store, release: Bucket, proxy: FaultProxy
) -> None:
    store = replace(store, url=release.behind(proxy.url))
    outcome = store.refresh()
    assert outcome.listed
    assert "lists 24 files" in outcome.note
    assert {(row.model, row.task, row.sweep, row.k) for row in store.rows()} >= {
        ("csp_yolo1", "single_double_quote", "prune_v2", "16"),
        ("csp_yolo2", "bracket_counting_beeg", "prune_v4", "k_optim"),
        ("csp_sweep1_1x_0.9Mnonzero_afrac0.125", "single_double_quote", "prune_v4", "k_optim"),
    }
    assert store.catalogue.files["models/csp_bridges1/final_bridges.pt"].size == 0
    assert "answers.json" not in store.catalogue.files  # no part of the layout
    assert all(headers["x-ms-version"] for _, _, headers in proxy.log)


def test_a_file_of_the_release_arrives_with_hash_etag_and_md5_on_record(
    store: Store, release: Bucket
) -> None:
    store = replace(store, url=release.url)
    store.refresh()
    name = "viz/csp_yolo2/bracket_counting_beeg/prune_v4/k_optim/viz_data.pt"
    assert store.remote_size(name) == 2_000_405
    path = store.fetch(name)
    record = manifest.read_record(store.folder, name)
    assert record is not None
    assert record.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert record.size == 2_000_405
    assert record.etag
    assert record.md5
    assert not store.is_outdated(name)


def test_a_file_published_empty_is_named_with_its_length(store: Store, release: Bucket) -> None:
    store = replace(store, url=release.url)
    name = "models/csp_bridges1/final_bridges.pt"
    with pytest.raises(Damaged, match=f"{name} is 0 bytes long.*published empty"):
        store.fetch(name)
    assert_nothing_half(store, name)


def test_listing_pages_follow_the_marker(
    store: Store, bucket: Bucket, proxy: FaultProxy, azurite: Azurite
) -> None:
    names = [f"viz/m/t/s/{k}/viz_data.pt" for k in range(7)]
    for name in names:
        bucket.upload(name, b"x")
    asked = []

    def small_pages(prefix: str, marker: str) -> bytes:
        asked.append(marker)
        query = {"restype": "container", "comp": "list", "prefix": prefix, "marker": marker}
        url = f"{store.url}?maxresults=3"
        with requests.get(url, params=query, headers=HEADERS, timeout=20) as answer:
            return answer.content

    found = [name for page in pages(small_pages, "viz/") for name, _ in page.blobs]
    assert found == sorted(names)
    assert len(asked) == 3
    assert len(set(asked)) == 3


def test_a_delimiter_gives_folders(store: Store, bucket: Bucket) -> None:
    for name in ("viz/a/t/s/1/viz_data.pt", "viz/b/t/s/1/viz_data.pt", "viz/top"):
        bucket.upload(name, b"x")
    source = HttpSource(store.url, store.retry)
    page = read_page(source.listing_page("viz/", "", delimiter="/"))
    assert page.folders == ("viz/a/", "viz/b/")
    assert [name for name, _ in page.blobs] == ["viz/top"]


def test_names_that_could_leave_the_folder_are_left_out_of_the_listing(
    store: Store, bucket: Bucket
) -> None:
    for name in (WEIGHTS, "models/m/\u202egpj.exe", "models/m/a:b", "models/CON/x"):
        bucket.upload(name, b"x")
    outcome = store.refresh()
    assert list(outcome.catalogue.files) == [WEIGHTS]
    assert outcome.catalogue.left_out == 3
    assert "3 names were left out" in outcome.note


@pytest.mark.parametrize("status", [403, 404, 409])
def test_a_service_that_refuses_to_list_still_hands_out_files(
    store: Store, bucket: Bucket, proxy: FaultProxy, status: int
) -> None:
    bucket.upload(WEIGHTS, b"weights")
    proxy.refuse_listing = status
    outcome = store.refresh()
    assert not outcome.listed
    assert f"does not list its files ({status}" in outcome.note
    assert "publicly documented" in outcome.note
    assert outcome.catalogue.origin == "documented"
    assert store.fetch(WEIGHTS).read_bytes() == b"weights"


def test_the_last_listing_stays_when_a_later_one_is_refused(
    store: Store, bucket: Bucket, proxy: FaultProxy
) -> None:
    bucket.upload(WEIGHTS, b"weights")
    assert store.refresh().listed
    proxy.refuse_listing = 403
    outcome = store.refresh()
    assert "was listed on" in outcome.note
    assert list(outcome.catalogue.files) == [WEIGHTS]


def test_a_private_container_refuses_in_words(store: Store, azurite: Azurite) -> None:
    private = azurite.container({WEIGHTS: b"weights"}, public=False)
    store = replace(store, url=private.url)
    assert "does not list its files" in store.refresh().note
    with pytest.raises(StoreError, match=WEIGHTS):
        store.fetch(WEIGHTS)
    assert_nothing_half(store)


def test_a_wrong_container_is_told_from_a_missing_file(store: Store, proxy: FaultProxy) -> None:
    with pytest.raises(NotFound, match="models/m/final_model.pt is not in http"):
        store.fetch(WEIGHTS)
    proxy.answers.append((404, {"x-ms-error-code": "ContainerNotFound"}))
    with pytest.raises(Refused, match="is no container.*check the address"):
        store.fetch(VIZ)
    assert store.usage().unfinished == 0


# Fetching


def test_what_is_here_is_not_asked_for_again(
    store: Store, bucket: Bucket, proxy: FaultProxy
) -> None:
    bucket.upload(WEIGHTS, b"weights")
    first = store.fetch(WEIGHTS)
    asked = len(proxy.log)
    assert store.fetch(WEIGHTS) == first == store.find(WEIGHTS)
    assert len(proxy.log) == asked == 1


def test_a_missing_file_is_asked_for_once_until_the_list_is_refreshed(
    store: Store, bucket: Bucket, proxy: FaultProxy
) -> None:
    for message in ("404", r"seconds ago; it is asked for again \d+ seconds from now"):
        with pytest.raises(NotFound, match=message):
            store.fetch(WEIGHTS)
    assert len(proxy.requests()) == 1
    bucket.upload(WEIGHTS, b"now")
    store.refresh()
    assert store.fetch(WEIGHTS).read_bytes() == b"now"


def test_a_download_cut_at_every_mebibyte_goes_on_where_it_was(
    store: Store, bucket: Bucket, proxy: FaultProxy
) -> None:
    content = noise(20 * MIB)
    bucket.upload(WEIGHTS, content)
    proxy.cuts.extend([MIB] * 19)
    proxy.reset = False  # after a reset the last bytes may be lost on the way
    assert store.fetch(WEIGHTS).read_bytes() == content
    assert proxy.starts() == [i * MIB for i in range(20)]
    conditions = {headers.get("if-match") for headers in proxy.requests()[1:]}
    assert len(conditions) == 1
    assert None not in conditions
    assert {headers["accept-encoding"] for headers in proxy.requests()} == {"identity"}


def test_a_later_process_goes_on_where_an_earlier_one_gave_up(
    store: Store, bucket: Bucket, proxy: FaultProxy
) -> None:
    content = noise(3 * MIB)
    bucket.upload(WEIGHTS, content)
    proxy.cuts.extend([MIB, 0, 0])
    proxy.reset = False
    with pytest.raises(Unreachable, match="broke off.*1,048,576 bytes are kept") as caught:
        store.fetch(WEIGHTS)
    assert "set CIRCUIT_SPARSITY_URL to a mirror" in str(caught.value)
    assert_nothing_half(store)
    assert store.usage().unfinished == MIB
    assert store.fetch(WEIGHTS).read_bytes() == content
    assert proxy.starts() == [0, MIB, MIB, MIB]
    assert store.usage().unfinished == 0


def test_a_file_replaced_midway_arrives_as_one_version(
    store: Store, bucket: Bucket, proxy: FaultProxy
) -> None:
    old, new = noise(2 * MIB, 1), noise(2 * MIB, 2)
    bucket.upload(WEIGHTS, old)
    proxy.cuts.extend([MIB, 0, 0])
    with pytest.raises(Unreachable):
        store.fetch(WEIGHTS)
    bucket.upload(WEIGHTS, new)
    assert store.fetch(WEIGHTS).read_bytes() == new
    assert proxy.requests()[-2]["if-match"]
    assert "range" not in proxy.requests()[-1]


def test_a_byte_flipped_in_the_partial_file_is_fetched_again(
    store: Store, bucket: Bucket, proxy: FaultProxy
) -> None:
    content = noise(2 * MIB)
    bucket.upload(WEIGHTS, content)
    proxy.drop = {"content-md5", "x-ms-blob-content-md5"}
    proxy.cuts.extend([MIB, 0, 0])
    with pytest.raises(Unreachable):
        store.fetch(WEIGHTS)
    part = part_path(store.folder, WEIGHTS)
    kept = bytearray(part.read_bytes())
    assert len(kept) > 0
    kept[len(kept) // 2] ^= 1
    part.write_bytes(kept)
    assert store.fetch(WEIGHTS).read_bytes() == content


def test_a_byte_flipped_on_the_way_is_found_by_the_md5(
    store: Store, bucket: Bucket, proxy: FaultProxy
) -> None:
    bucket.upload(WEIGHTS, noise(MIB))
    proxy.flips = {1000}
    with pytest.raises(Damaged, match="arrived with another MD5 than"):
        store.fetch(WEIGHTS)
    assert len(proxy.requests()) == 2
    assert_nothing_half(store)
    proxy.flips = set()
    assert store.fetch(WEIGHTS).read_bytes() == noise(MIB)


def test_a_flip_in_the_first_half_is_found_after_a_resume_too(
    store: Store, bucket: Bucket, proxy: FaultProxy
) -> None:
    content = noise(2 * MIB)
    bucket.upload(WEIGHTS, content)
    proxy.flips = {10}
    proxy.cuts.extend([MIB, 0, 0])
    with pytest.raises(Unreachable):
        store.fetch(WEIGHTS)
    proxy.flips = set()
    assert store.fetch(WEIGHTS).read_bytes() == content


def test_a_burst_of_503_is_waited_out(store: Store, bucket: Bucket, proxy: FaultProxy) -> None:
    bucket.upload(WEIGHTS, b"weights")
    proxy.answers.extend([(503, {"Retry-After": "0"}), (503, {})])
    assert store.fetch(WEIGHTS).read_bytes() == b"weights"
    assert len(proxy.requests()) == 3


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_server_is_tried_again_and_then_named(
    store: Store, bucket: Bucket, proxy: FaultProxy, status: int
) -> None:
    bucket.upload(WEIGHTS, b"weights")
    proxy.answers.extend([(status, {})] * 3)
    with pytest.raises(Unreachable, match=rf"answered {status} .*\(3 tries\)"):
        store.fetch(WEIGHTS)
    assert store.fetch(WEIGHTS).read_bytes() == b"weights"


def test_a_server_that_asks_for_a_long_wait_is_not_waited_for(
    store: Store, bucket: Bucket, proxy: FaultProxy
) -> None:
    proxy.answers.append((429, {"Retry-After": "3600"}))
    with pytest.raises(Unreachable, match="asks to come back in 3,600 seconds"):
        store.fetch(WEIGHTS)
    assert len(proxy.requests()) == 1


@pytest.mark.parametrize("status", [401, 403, 451])
def test_a_refusal_is_not_tried_again(
    store: Store, bucket: Bucket, proxy: FaultProxy, status: int
) -> None:
    proxy.answers.append((status, {"x-ms-error-code": "NoWay"}))
    with pytest.raises(Refused, match=f"does not hand out {WEIGHTS} \\({status} .*NoWay\\)"):
        store.fetch(WEIGHTS)
    assert len(proxy.requests()) == 1


def test_cancel_keeps_what_has_arrived(store: Store, bucket: Bucket, proxy: FaultProxy) -> None:
    content = noise(8 * MIB)
    bucket.upload(WEIGHTS, content)
    proxy.pause = 0.005
    cancel = threading.Event()

    def stop_at_a_quarter(progress: Progress) -> None:
        if progress.done > 2 * MIB:
            cancel.set()

    with pytest.raises(TransferCancelled, match="stopped; what has arrived is kept"):
        store.fetch(WEIGHTS, stop_at_a_quarter, cancel)
    assert_nothing_half(store)
    kept = store.usage().unfinished
    assert 2 * MIB < kept < 8 * MIB
    assert store.fetch(WEIGHTS).read_bytes() == content
    assert proxy.starts() == [0, kept]


def test_progress_ends_at_the_total_and_never_goes_back(
    store: Store, bucket: Bucket, proxy: FaultProxy
) -> None:
    bucket.upload(WEIGHTS, noise(4 * MIB))
    proxy.pause = 0.005
    seen: list[Progress] = []
    store.fetch(WEIGHTS, seen.append)
    done = [progress.done for progress in seen]
    assert done == sorted(done)
    assert done[-1] == 4 * MIB
    assert {progress.total for progress in seen} == {4 * MIB}
    assert any(progress.speed and progress.remaining for progress in seen)


def test_a_damaged_download_is_fetched_again(store: Store, bucket: Bucket) -> None:
    bucket.upload(WEIGHTS, b"weights")
    store.fetch(WEIGHTS).write_bytes(b"weig")
    with pytest.raises(Damaged, match="is 4 bytes long and should be 7"):
        store.find(WEIGHTS)
    assert store.fetch(WEIGHTS).read_bytes() == b"weights"
    assert store.find(WEIGHTS) is not None


def test_a_newer_version_is_seen_in_the_listing_and_fetched_on_demand(
    store: Store, bucket: Bucket
) -> None:
    bucket.upload(CONFIG, b'["first"]')
    store.fetch(CONFIG)
    bucket.upload(CONFIG, b'["other"]')
    store.refresh()
    assert store.is_outdated(CONFIG)
    assert store.fetch(CONFIG).read_bytes() == b'["first"]'
    assert store.fetch(CONFIG, renew=True).read_bytes() == b'["other"]'
    assert not store.is_outdated(CONFIG)
    assert "is what was downloaded: 9 bytes" in store.verify(CONFIG)


def test_a_name_with_odd_letters_arrives(store: Store, bucket: Bucket) -> None:
    name = "viz/my model (2) +%41/täsk/s/k=1&2/viz_data.pt"
    bucket.upload(name, b"odd")
    store.refresh()
    assert store.fetch(name).read_bytes() == b"odd"


def test_several_files_go_on_past_one_that_is_missing(store: Store, bucket: Bucket) -> None:
    bucket.upload(VIZ, b"12345")
    bucket.upload(CONFIG, b"{}")
    seen: list[Progress] = []
    outcome = store.fetch_all([VIZ, WEIGHTS, CONFIG], seen.append)
    assert [path.name for path in outcome.paths] == ["viz_data.pt", "beeg_config.json"]
    assert list(outcome.troubles) == [WEIGHTS]
    assert seen[-1].done == 7


def test_two_threads_that_want_one_file_ask_for_it_once(
    store: Store, bucket: Bucket, proxy: FaultProxy
) -> None:
    content = noise(2 * MIB)
    bucket.upload(WEIGHTS, content)
    proxy.pause = 0.01
    found: list[bytes] = []
    workers = [
        threading.Thread(target=lambda: found.append(store.fetch(WEIGHTS).read_bytes()))
        for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == [content] * 3
    assert len(proxy.requests()) == 1
