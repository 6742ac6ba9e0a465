"""Processes that die at the worst moment, and disks that are full."""

import errno
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from azurite.emulator import Azurite
from azurite.fault_proxy import FaultProxy

from circuit_sparsity.store import NoSpace, Store, StoreError, atomic, download, write_atomically
from circuit_sparsity.store.download import Partial

MIB = 1 << 20
WEIGHTS = "models/m/weights.bin"
CONTENT = random.Random(1).randbytes(300_000)


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    path = tmp_path / "mirror" / WEIGHTS
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    return tmp_path / "mirror"


@pytest.fixture
def store(store: Store, mirror: Path) -> Store:
    return replace(store, url=mirror.as_uri())


@pytest.fixture
def in_memory(store: Store) -> Iterator[Store]:
    """The same store with its folder in memory, for series of a thousand changes of the disk."""
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=place) as folder:
        yield replace(store, folder=Path(folder) / "mine")


def dies_at_step(step: int, act) -> bool:
    """Run `act` in a forked process that dies before its `step`-th change of the disk.

    The steps are every fsync, rename, deletion and shortening. Nothing runs after the death: no
    `finally`, no buffer. Returns whether it died, rather than finished.
    """
    child = os.fork()
    if child == 0:
        left = [step]

        def dying(real):
            def call(*args, **kwargs):
                left[0] -= 1
                if left[0] < 0:
                    os._exit(9)
                return real(*args, **kwargs)

            return call

        for name in ("fsync", "replace", "unlink", "mkdir"):
            setattr(os, name, dying(getattr(os, name)))
        try:
            act()
            os._exit(0)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 9), "the download failed without being killed"
    return code == 9


def test_a_death_before_any_step_leaves_no_half_file_and_the_next_try_succeeds(
    in_memory: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = in_memory
    monkeypatch.setattr(download, "_STEP_BYTES", 200_000)
    steps = 0
    while dies_at_step(steps, lambda: store.fetch(WEIGHTS)):
        path = store.folder / WEIGHTS
        assert not path.exists() or path.read_bytes() == CONTENT
        assert store.find(WEIGHTS) in (None, path)  # and raises no Damaged
        assert store.fetch(WEIGHTS).read_bytes() == CONTENT
        assert "is what was downloaded" in store.verify(WEIGHTS)
        shutil.rmtree(store.folder)
        steps += 1
    assert steps > 15
    assert (store.folder / WEIGHTS).read_bytes() == CONTENT


def test_a_death_while_a_file_is_renewed_loses_neither_version(
    in_memory: Store, mirror: Path
) -> None:
    store = in_memory
    newer = CONTENT[::-1]
    kept, steps, died = store.folder.with_name("kept"), 0, True
    (mirror / WEIGHTS).write_bytes(CONTENT)
    store.fetch(WEIGHTS)
    shutil.copytree(store.folder, kept)
    (mirror / WEIGHTS).write_bytes(newer)
    while died:
        shutil.rmtree(store.folder)
        shutil.copytree(kept, store.folder)
        died = dies_at_step(steps, lambda: store.fetch(WEIGHTS, renew=True))
        found = store.find(WEIGHTS)
        assert found is not None
        assert found.read_bytes() in (CONTENT, newer)
        steps += 1
    assert found.read_bytes() == newer
    assert steps > 10


def test_a_death_while_writing_an_own_result_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "viz" / "x"
    write_atomically(path, lambda file: file.write(b"old"))
    steps = 0
    while dies_at_step(
        steps, lambda: write_atomically(path, lambda file: file.write(b"new and longer"))
    ):
        assert path.read_bytes() in (b"old", b"new and longer")
        steps += 1
    assert steps == 5  # folder, bytes to the disk, folder, rename, names to the disk


# Full disks


def test_a_file_that_does_not_fit_is_refused_before_it_starts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.disk_usage(store.shipped)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: real._replace(free=200_000))
    with pytest.raises(NoSpace, match=r"needs 300,000 more bytes.*has 200,000 free") as caught:
        store.fetch(WEIGHTS)
    assert "python -m circuit_sparsity clear" in str(caught.value)
    assert "CIRCUIT_SPARSITY_CACHE" in str(caught.value)
    assert store.usage().unfinished == 0


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_becomes_full_midway_is_said_in_words(
    store: Store, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def full(self: Partial, block: bytes) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Partial, "append", full)
    with pytest.raises(NoSpace, match=f"became full while {WEIGHTS} was written"):
        store.fetch(WEIGHTS)
    monkeypatch.undo()
    assert store.find(WEIGHTS) is None
    assert store.fetch(WEIGHTS).read_bytes() == CONTENT


def test_a_folder_of_somebody_else_is_said_in_words(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(atomic.os, "fsync", refused)
    with pytest.raises(StoreError, match="cannot be written to.*a folder of your own"):
        store.fetch(WEIGHTS)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"NO SMALL DISK TO FILL: {' '.join(command)} said: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_of_6_mib_keeps_what_is_finished_and_takes_a_file_once_there_is_room(
    store: Store, small_disk: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, other = random.Random(2).randbytes(4 * MIB), "models/n/weights.bin"
    (mirror / "models" / "n").mkdir()
    (mirror / other).write_bytes(large)
    store = replace(store, folder=small_disk / "cache")
    store.fetch(WEIGHTS)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(4 * MIB))
    with pytest.raises(NoSpace, match="needs 4,194,304 more bytes"):
        store.fetch(other)
    monkeypatch.setattr(download, "_need_space", lambda *_: None)  # as if it filled up meanwhile
    with pytest.raises(NoSpace, match="became full"):
        store.fetch(other)
    assert not (store.folder / other).exists()
    assert (store.folder / WEIGHTS).read_bytes() == CONTENT
    assert "is what was downloaded" in store.verify(WEIGHTS)
    ballast.unlink()
    assert store.fetch(other).read_bytes() == large


# Processes

FETCH = """
import sys
from pathlib import Path
from circuit_sparsity.store import Store
from circuit_sparsity.store.retry import RetryPolicy
folder, url, name = sys.argv[1:]
retry = RetryPolicy(first_wait=0.01)
print(Store(Path(folder) / "none", Path(folder), url, retry).fetch(name))
"""


def fetching_process(store: Store) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, str(store.folder), store.url, WEIGHTS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent.parent,
    )


@pytest.mark.azurite
def test_two_processes_that_want_one_file_download_it_once(
    store: Store, azurite: Azurite, proxy: FaultProxy
) -> None:
    content = random.Random(3).randbytes(4 * MIB)
    store = replace(store, url=azurite.container({WEIGHTS: content}).behind(proxy.url))
    proxy.pause = 0.02
    with fetching_process(store) as first, fetching_process(store) as second:
        said = [process.communicate(timeout=60) for process in (first, second)]
    assert [out.strip() for out, _ in said] == [str(store.folder / WEIGHTS)] * 2, said
    assert (store.folder / WEIGHTS).read_bytes() == content
    assert len(proxy.requests()) == 1


def kill_series(store: Store, content: bytes, proxy: FaultProxy, kills: int) -> tuple[int, int]:
    """Kill a fetching process at random moments; (times that it was killed, files finished)."""
    digest, chance = hashlib.sha256(content).hexdigest(), random.Random(4)
    path, killed, finished = store.folder / WEIGHTS, 0, 0
    while killed < kills:
        before = len(proxy.log)
        with fetching_process(store) as process:
            deadline = time.monotonic() + 30
            while process.poll() is None and len(proxy.log) == before:
                assert time.monotonic() < deadline
                time.sleep(0.005)
            time.sleep(chance.uniform(0.0, 0.6))
            died = process.poll() is None
            process.send_signal(signal.SIGKILL)
            _, said = process.communicate(timeout=60)
        assert died or process.returncode == 0, said
        killed += died
        if path.exists():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
            assert store.find(WEIGHTS) == path
            assert store.fetch(WEIGHTS) == path
            finished += 1
            store.remove(WEIGHTS)
        else:
            assert store.find(WEIGHTS) is None
    assert store.fetch(WEIGHTS).read_bytes() == content
    return killed, finished


@pytest.mark.azurite
@pytest.mark.parametrize(
    "kills", [3, pytest.param(50, marks=pytest.mark.soak)], ids=["short", "long"]
)
def test_kill_9_at_random_moments_never_leaves_a_half_file(
    store: Store, azurite: Azurite, proxy: FaultProxy, kills: int
) -> None:
    content = random.Random(5).randbytes(20 * MIB)
    store = replace(store, url=azurite.container({WEIGHTS: content}).behind(proxy.url))
    proxy.pause = 0.0015  # about 0.5 s for the whole file
    killed, _ = kill_series(store, content, proxy, kills)
    assert killed == kills
