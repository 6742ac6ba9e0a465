"""What is written is known again: by sums beside files, of what ships, in archives and lists."""

import base64
import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from circuit_sparsity.store import (
    Damaged,
    NotListable,
    Store,
    Unreachable,
    manifest,
    write_atomically,
)
from circuit_sparsity.store.atomic import sum_path
from circuit_sparsity.store.catalogue import (
    Blob,
    Catalogue,
    listing_path,
    read_catalogue,
    write_catalogue,
)
from circuit_sparsity.store.health import check_content, origin_of_sum, write_manifest
from circuit_sparsity.store.http_source import read_page
from tests.store.plain_server import PlainServer

WEIGHTS = "models/m/weights.bin"
CONTENT = bytes(range(256)) * 1000


def own_result(store: Store, content: bytes = b"numbers") -> Path:
    folder = store.viz_folder("m", "t", "s", "8")
    return write_atomically(folder / "viz_data.pt", lambda file: file.write(content))


@pytest.fixture
def server() -> Iterator[PlainServer]:
    with PlainServer({WEIGHTS: CONTENT}) as running:
        running.headers = {"ETag": '"v1"'}
        yield running


@pytest.fixture
def online(store: Store, server: PlainServer) -> Store:
    return replace(store, url=server.url)


def list_as(store: Store, blob: Blob) -> None:
    write_catalogue(store.folder, store.url, Catalogue("listed", {WEIGHTS: blob}, 1.0))


def test_an_own_result_has_its_sum_beside_it_in_the_format_of_sha256sum(store: Store) -> None:
    path = own_result(store)
    digest = hashlib.sha256(b"numbers").hexdigest()
    assert sum_path(path).read_text() == f"{digest}  viz_data.pt\n"
    assert store.path_of_viz("m", "t", "s", "8") == path
    assert origin_of_sum(path) == ".viz_data.pt.sha256 beside it"


def test_an_own_result_with_a_flipped_bit_is_refused_wherever_it_was_copied(
    store: Store, tmp_path: Path
) -> None:
    path = own_result(store)
    store.path_of_viz("m", "t", "s", "8")
    path.write_bytes(b"numbert")
    with pytest.raises(Damaged, match=r"was changed: its SHA-256 .* delete .*sha256 if the change"):
        store.path_of_viz("m", "t", "s", "8")
    other = replace(store, folder=tmp_path / "other")
    path.parent.rename(tmp_path / "copy")
    (tmp_path / "other" / "viz" / "m" / "t" / "s").mkdir(parents=True)
    (tmp_path / "copy").rename(tmp_path / "other" / "viz" / "m" / "t" / "s" / "8")
    with pytest.raises(Damaged, match="was changed"):
        other.path_of_viz("m", "t", "s", "8")


def test_an_own_result_that_is_written_again_is_known_by_its_new_sum(store: Store) -> None:
    own_result(store)
    path = own_result(store, b"others")
    assert store.path_of_viz("m", "t", "s", "8") == path
    store.remove("viz/m/t/s/8")
    assert not path.parent.exists()


def test_what_ships_is_compared_with_its_manifest(store: Store) -> None:
    path = store.shipped / "train_curves" / "m" / "progress.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"curve")
    write_manifest(store.shipped)
    assert store.path_of_curve("m") == path
    path.write_bytes(b"curse")
    with pytest.raises(Damaged, match=r"MANIFEST\.json says .* Restore it"):
        store.path_of_curve("m")


def test_an_archive_is_compared_with_the_sums_inside(tmp_path: Path) -> None:
    path = tmp_path / "mean_baseline_pretrain.pt"
    torch.save({"final_resid": torch.ones(1000)}, path)
    assert check_content(path) == path
    data = bytearray(path.read_bytes())
    data[data.index(torch.ones(8).numpy().tobytes()) + 5] ^= 1
    path.write_bytes(data)
    torch.load(path, weights_only=True)  # torch does not see it
    with pytest.raises(Damaged, match="1 of the .* parts inside have other content"):
        check_content(path)


def test_a_damaged_record_is_trouble_and_fetching_replaces_it(online: Store) -> None:
    path = online.fetch(WEIGHTS)
    record = manifest.record_path(online.folder, WEIGHTS)
    for content in (b"", b"{}", b"[]", b'{"size": -1}', record.read_bytes()[:-9]):
        record.write_bytes(content)
        for ask in (online.find, online.verify):
            with pytest.raises(Damaged, match=r"weights\.bin\.json .*cannot be compared with what"):
                ask(WEIGHTS)
        assert not online.is_whole(WEIGHTS)
        assert online.fetch(WEIGHTS) == path
        assert "SHA-256" in online.verify(WEIGHTS)


def test_fetching_replaces_what_verifying_refuses(online: Store, server: PlainServer) -> None:
    path = online.fetch(WEIGHTS)
    state = path.stat()
    path.write_bytes(CONTENT[::-1])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(Damaged, match="other content"):
        online.verify(WEIGHTS)
    assert online.fetch(WEIGHTS).read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_a_file_put_here_by_hand_that_is_other_than_listed_is_fetched(online: Store) -> None:
    path = online.folder / WEIGHTS
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT[:-1])
    list_as(online, Blob(len(CONTENT), '"v1"'))
    assert not online.is_whole(WEIGHTS)
    assert online.fetch(WEIGHTS).read_bytes() == CONTENT


def test_a_download_other_than_the_list_says_is_not_kept(
    online: Store, server: PlainServer
) -> None:
    md5 = base64.b64encode(hashlib.md5(CONTENT).digest()).decode()
    list_as(online, Blob(len(CONTENT), '"v1"', md5))
    for content, trouble in (
        (CONTENT[:-5], r"255,995 bytes long and should be 256,000"),
        (CONTENT[::-1], r"of another MD5 \(.*\) than"),
    ):
        server.files[WEIGHTS] = content
        with pytest.raises(Damaged, match=trouble):
            online.fetch(WEIGHTS)
        assert online.find(WEIGHTS) is None
    server.headers = {"ETag": '"v2"'}  # a newer version than the list knows
    assert online.fetch(WEIGHTS).read_bytes() == CONTENT[::-1]


def test_a_damaged_list_is_set_aside_and_said_until_there_is_a_new_one(store: Store) -> None:
    list_as(store, Blob(5))
    path = listing_path(store.folder)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"files": {"a": None}}))
    for _ in range(2):
        known = read_catalogue(store.folder, store.url)
        assert known.origin == "documented"
        assert "damaged and is set aside as" in (known.trouble or "")
    list_as(store, Blob(5))
    assert read_catalogue(store.folder, store.url).trouble is None


def test_a_server_that_trickles_is_given_up_and_what_came_is_kept(
    online: Store, server: PlainServer
) -> None:
    hasty = replace(online.retry, slowest=1e12, grace=0.0)  # no loopback is as fast
    with pytest.raises(Unreachable, match=r"bytes arrived in .* What has arrived is kept"):
        replace(online, retry=hasty).fetch(WEIGHTS)
    assert online.usage().unfinished > 0
    assert online.fetch(WEIGHTS).read_bytes() == CONTENT


def test_a_list_that_is_nested_without_end_or_counts_without_end_is_refused() -> None:
    began = time.monotonic()
    with pytest.raises(NotListable, match="nested too deep"):
        read_page(b"<EnumerationResults>" + b"<a>" * 2_000_000)
    sizes = "<Properties><Content-Length>{}</Content-Length></Properties>".format("9" * 5000)
    blobs = f"<Blobs><Blob><Name>x</Name>{sizes}</Blob></Blobs>"
    page = f"<EnumerationResults>{blobs}</EnumerationResults>"
    assert read_page(page.encode()).blobs == (("x", Blob(None)),)
    assert time.monotonic() - began < 5


def test_a_file_without_end_is_no_small_file(store: Store) -> None:
    path = listing_path(store.folder)
    path.parent.mkdir(parents=True)
    path.symlink_to("/dev/zero")
    assert read_catalogue(store.folder, store.url).origin == "documented"
