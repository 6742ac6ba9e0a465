"""Azurite, a real emulator of Azure's blob service, for as long as the tests run."""

import contextlib
import re
import shutil
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from azure.storage.blob import BlobServiceClient, ContainerClient
from filelock import FileLock

HERE = Path(__file__).parent
NO_NODE = "NODE.JS IS ABSENT: nothing was tested against the Azurite emulator. Install Node 20."
# The emulator's account is public and the same everywhere.
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_OPTIONS = (
    *("--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence"),
    *("--skipApiVersionCheck", "--disableTelemetry", "--silent"),
)
_READY = 30.0  # seconds


def node() -> str | None:
    return shutil.which("node")


def installed() -> Path:
    """The emulator's program; the first call on a machine installs it with npm."""
    program = HERE / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    with FileLock(Path(tempfile.gettempdir()) / "circuit-sparsity-azurite.lock"):
        if not program.is_file():
            command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=600)
            assert done.returncode == 0, f"{' '.join(command)} failed in {HERE}:\n{done.stderr}"
    return program


class Azurite:
    """A running emulator; `container` makes a fresh public container in it."""

    def __init__(self, port: int) -> None:
        self.account_url = f"http://127.0.0.1:{port}/devstoreaccount1"
        self._service = BlobServiceClient(self.account_url, credential=_KEY)

    def close(self) -> None:
        self._service.close()

    def container(self, files: Mapping[str, bytes] | None = None, public: bool = True) -> "Bucket":
        """A container with these files, listable and readable by anybody unless not `public`."""
        name = f"circuit-sparsity-{uuid.uuid4().hex[:8]}"
        access = "container" if public else None
        client = self._service.create_container(name, public_access=access)
        bucket = Bucket(client, f"{self.account_url}/{name}")
        for path, content in (files or {}).items():
            bucket.upload(path, content)
        return bucket


class Bucket:
    """One container and its anonymous address."""

    def __init__(self, client: ContainerClient, url: str) -> None:
        self._client, self.url = client, url

    def behind(self, account_url: str) -> str:
        """The address of this container at another way to the same account."""
        return f"{account_url}/{self._client.container_name}"

    def upload(self, name: str, content: bytes) -> None:
        self._client.upload_blob(name, content, overwrite=True)

    def upload_tree(self, folder: Path) -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.upload(path.relative_to(folder).as_posix(), path.read_bytes())

    def delete(self, name: str) -> None:
        self._client.delete_blob(name)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Azurite]:
    """Start the emulator, in `folder`, and stop it."""
    program, found = node(), installed()
    assert program is not None
    with subprocess.Popen(
        [program, str(found), *_OPTIONS],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
    ) as process:
        try:
            azurite = Azurite(_port(process))
            with contextlib.closing(azurite):
                yield azurite
        finally:
            process.kill()


def _port(process: subprocess.Popen) -> int:
    """The port that the emulator says it listens at."""
    assert process.stdout is not None
    alarm = threading.Timer(_READY, process.kill)
    alarm.start()
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if found := re.search(r"listen\w* (?:at|on) http://127\.0\.0\.1:(\d+)", line):
                return int(found[1])
    finally:
        alarm.cancel()
        alarm.join()
    raise AssertionError(f"Azurite did not start in {_READY} s; it said: {''.join(said)}")
