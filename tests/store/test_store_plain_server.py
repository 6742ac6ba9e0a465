"""Mirrors that are no blob service: a plain HTTP server, and a folder."""

import contextlib
import gzip
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from circuit_sparsity.store import Damaged, NotFound, Refused, Store, StoreError, Unreachable
from tests.store.plain_server import PlainServer, md5_of

WEIGHTS = "models/m/weights.bin"
CONTENT = bytes(range(256)) * 1000
STRONG = {"ETag": '"v1"'}
DATED = {"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}


@pytest.fixture
def server() -> Iterator[PlainServer]:
    with PlainServer({WEIGHTS: CONTENT}) as running:
        yield running


@pytest.fixture
def store(store: Store, server: PlainServer) -> Store:
    return replace(store, url=server.url)


def starts(server: PlainServer) -> list[str | None]:
    return [asked.get("range") for asked in server.asked]


def test_a_file_arrives_and_its_size_can_be_asked_for(store: Store, server: PlainServer) -> None:
    assert store.remote_size(WEIGHTS) == len(CONTENT)
    assert store.fetch(WEIGHTS).read_bytes() == CONTENT


def test_a_server_that_ignores_range_is_read_from_the_start(
    store: Store, server: PlainServer
) -> None:
    server.headers, server.cuts = dict(STRONG), [100_000]
    assert store.fetch(WEIGHTS).read_bytes() == CONTENT
    assert starts(server) == [None, "bytes=100000-"]


@pytest.mark.parametrize(
    ("marks", "condition"),
    [(STRONG, ("if-match", '"v1"')), (DATED, ("if-unmodified-since", DATED["Last-Modified"]))],
    ids=["etag", "date"],
)
def test_a_download_goes_on_under_the_condition_that_the_server_allows(
    store: Store, server: PlainServer, marks: dict[str, str], condition: tuple[str, str]
) -> None:
    server.headers, server.cuts, server.ranges = dict(marks), [100_000], True
    assert store.fetch(WEIGHTS).read_bytes() == CONTENT
    assert starts(server) == [None, "bytes=100000-"]
    assert server.asked[1][condition[0]] == condition[1]


@pytest.mark.parametrize("marks", [{}, {"ETag": 'W/"v1"'}], ids=["nothing", "weak etag"])
def test_without_a_sure_mark_a_broken_download_starts_over(
    store: Store, server: PlainServer, marks: dict[str, str]
) -> None:
    server.headers, server.cuts, server.ranges = dict(marks), [100_000], True
    assert store.fetch(WEIGHTS).read_bytes() == CONTENT
    assert starts(server) == [None, None]


def test_a_server_that_ignores_the_condition_is_caught_by_its_etag(
    store: Store, server: PlainServer
) -> None:
    server.headers, server.cuts, server.ranges = dict(STRONG), [100_000, 0, 0], True
    with pytest.raises(Unreachable):
        store.fetch(WEIGHTS)
    server.headers["ETag"] = '"v2"'
    server.files[WEIGHTS] = CONTENT[::-1]
    assert store.fetch(WEIGHTS).read_bytes() == CONTENT[::-1]
    assert starts(server)[-2:] == ["bytes=100000-", None]


def test_a_range_that_starts_elsewhere_is_not_believed(store: Store, server: PlainServer) -> None:
    server.headers, server.cuts, server.ranges, server.shift = dict(STRONG), [100_000], True, 5
    assert store.fetch(WEIGHTS).read_bytes() == CONTENT


def test_a_file_that_became_shorter_than_what_is_kept_starts_over(
    store: Store, server: PlainServer
) -> None:
    server.headers, server.cuts, server.ranges = dict(STRONG), [100_000, 0, 0], True
    with pytest.raises(Unreachable):
        store.fetch(WEIGHTS)
    server.files[WEIGHTS] = b"short"
    assert store.fetch(WEIGHTS).read_bytes() == b"short"


def test_a_server_that_says_no_length_is_read_to_its_end(store: Store, server: PlainServer) -> None:
    server.says_length = False
    assert store.fetch(WEIGHTS).read_bytes() == CONTENT


def test_a_compressed_answer_is_refused_in_words(store: Store, server: PlainServer) -> None:
    server.files[WEIGHTS] = gzip.compress(CONTENT)
    server.headers = {"Content-Encoding": "gzip"}
    with pytest.raises(Refused, match=r"compressed \(gzip\) although asked for the plain bytes"):
        store.fetch(WEIGHTS)


def test_a_wrong_md5_is_named_and_nothing_is_kept(store: Store, server: PlainServer) -> None:
    server.headers = {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}
    with pytest.raises(Damaged, match=f"{WEIGHTS} arrived with another MD5"):
        store.fetch(WEIGHTS)
    assert len(server.asked) == 2
    assert store.find(WEIGHTS) is None
    assert store.usage().unfinished == 0


def test_the_md5_of_a_part_is_not_taken_for_the_md5_of_the_file(
    store: Store, server: PlainServer
) -> None:
    server.headers, server.ranges = {**STRONG, "Content-MD5": md5_of(CONTENT)}, True
    server.cuts = [100_000]
    assert store.fetch(WEIGHTS).read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_an_empty_file_is_named(store: Store, server: PlainServer) -> None:
    server.files[WEIGHTS] = b""
    with pytest.raises(Damaged, match=f"{WEIGHTS} is 0 bytes long in {server.url}"):
        store.fetch(WEIGHTS)
    assert not (store.folder / WEIGHTS).exists()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b""),
        (200, b"<html><body>Index of /mirror</body></html>"),
        (200, b"not XML"),
        (200, b""),
        (501, b""),
    ],
)
def test_a_server_without_listing_leaves_what_is_documented(
    store: Store, server: PlainServer, status: int, body: bytes
) -> None:
    server.listing = (status, body)
    outcome = store.refresh()
    assert not outcome.listed
    assert f"{server.url} does not list its files" in outcome.note
    assert "more may be there" in outcome.note
    assert len(store.models()) == 7


def test_nobody_at_the_address_is_said_and_costs_no_file(store: Store, server: PlainServer) -> None:
    store = replace(store, url="http://127.0.0.1:9/nobody")
    outcome = store.refresh()
    assert not outcome.listed
    assert "no connection (2 tries)" in outcome.note
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9/nobody: no connection \(3 tries\)"):
        store.fetch(WEIGHTS)


def test_a_signature_in_the_address_is_used_and_never_shown(
    store: Store, server: PlainServer
) -> None:
    store = replace(store, url=f"{server.url}?sig=secret")
    with pytest.raises(NotFound) as caught:
        store.fetch("models/other/x")
    assert "secret" not in str(caught.value)
    assert "secret" not in store.refresh().note
    kept = [path for path in store.folder.rglob("*") if path.is_file()]
    assert kept
    assert all(b"secret" not in path.read_bytes() for path in kept)


@pytest.mark.parametrize("url", ["ftp://host/x", "host/x", "", "https://", "c:/folder"])
def test_an_address_of_another_kind_is_refused(
    url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoreError, match="CIRCUIT_SPARSITY_URL is .*expected an address"):
        replace(store, url=url).fetch(WEIGHTS)


@pytest.mark.parametrize(
    "rounds", [20, pytest.param(500, marks=pytest.mark.soak)], ids=["short", "long"]
)
def test_whatever_a_server_does_a_finished_file_is_one_version_and_never_a_mix(
    store: Store, server: PlainServer, rounds: int
) -> None:
    chance = random.Random(rounds)
    for _ in range(rounds):
        versions: list[bytes] = []

        def publish(versions: list[bytes] = versions) -> None:
            versions.append(chance.randbytes(chance.randrange(1, 400_000)))
            number, server.files[WEIGHTS] = len(versions), versions[-1]
            marks = {"ETag": f'"v{number}"', "Last-Modified": f"Wed, 21 Oct 2015 07:28:{number:02}"}
            md5 = md5_of(versions[-1])
            every = {**marks, "Content-MD5": md5, "x-ms-blob-content-md5": md5}
            kept = chance.sample(list(every), chance.randrange(len(every) + 1))
            server.headers = {name: every[name] for name in kept}

        publish()
        server.ranges, server.shift = chance.random() < 0.8, chance.choice([0, 0, 0, 3])
        server.says_length = True  # without it nobody could see where a file was cut
        for _ in range(6):
            server.cuts = [chance.randrange(400_000) for _ in range(chance.randrange(5))]
            with contextlib.suppress(Unreachable, Damaged):
                assert store.fetch(WEIGHTS).read_bytes() in versions
            if chance.random() < 0.5:
                publish()
        server.cuts, server.shift = [], 0
        assert store.fetch(WEIGHTS).read_bytes() in versions
        assert "SHA-256" in store.verify(WEIGHTS)
        store.remove(WEIGHTS)


# file://


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "a mirror" / WEIGHTS
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    return tmp_path / "a mirror"


@pytest.fixture
def from_folder(store: Store, folder: Path) -> Store:
    return replace(store, url=folder.as_uri())


def test_a_folder_is_listed_and_copied_from(from_folder: Store) -> None:
    assert "lists 1 files" in from_folder.refresh().note
    assert from_folder.remote_size(WEIGHTS) == len(CONTENT)
    path = from_folder.fetch(WEIGHTS)
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(from_folder.folder)


def test_a_folder_tells_when_its_file_was_replaced(from_folder: Store, folder: Path) -> None:
    from_folder.fetch(WEIGHTS)
    (folder / WEIGHTS).write_bytes(CONTENT[::-1])
    os.utime(folder / WEIGHTS, (1, 1))
    from_folder.refresh()
    assert from_folder.is_outdated(WEIGHTS)


def test_a_folder_that_is_not_there_lists_and_holds_nothing(store: Store, tmp_path: Path) -> None:
    store = replace(store, url=(tmp_path / "nowhere").as_uri())
    assert "is no folder" in store.refresh().note
    with pytest.raises(NotFound, match="is not in"):
        store.fetch(WEIGHTS)
