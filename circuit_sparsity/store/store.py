"""The one object through which the rest of the project sees files."""

import json
import os
import threading
import time
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path

from platformdirs import user_cache_dir

from circuit_sparsity.store import container, local, manifest, paths, upkeep
from circuit_sparsity.store import local as rows
from circuit_sparsity.store.atomic import MADE_HERE, is_draft, write_atomically
from circuit_sparsity.store.catalogue import Catalogue, read_catalogue
from circuit_sparsity.store.container import Fetched, Refreshed
from circuit_sparsity.store.errors import Damaged, NotHere, StoreError
from circuit_sparsity.store.health import check_content
from circuit_sparsity.store.local import Item, ModelRow, Row
from circuit_sparsity.store.progress import ProgressReport
from circuit_sparsity.store.remote import checked_url, public_url
from circuit_sparsity.store.retry import RetryPolicy
from circuit_sparsity.store.upkeep import Usage

DEFAULT_URL = "https://openaipublic.blob.core.windows.net/circuit-sparsity"


@dataclass(frozen=True)
class Store:
    """Three places in one layout: what ships, the user's folder, and the container.

    All state is on disk, so a `Store` may be made anew at any time, and threads may share one. No
    method speaks to the network except those that say so. A file of the user's folder comes
    before one that ships under the same name: results and downloads are newer than the project.
    """

    shipped: Path  # read only
    folder: Path  # the user's: downloads and own results
    url: str  # of the container: Azure, a plain HTTP server, or file:///folder
    retry: RetryPolicy = RetryPolicy()

    @classmethod
    def from_environment(cls) -> "Store":
        """`CIRCUIT_SPARSITY_CACHE` names the folder, `CIRCUIT_SPARSITY_URL` the container."""
        folder = os.environ.get("CIRCUIT_SPARSITY_CACHE") or user_cache_dir("circuit-sparsity")
        url = os.environ.get("CIRCUIT_SPARSITY_URL") or DEFAULT_URL
        folder = Path(folder).expanduser().absolute()
        return cls(_shipped_folder(), folder, checked_url(url).rstrip("/"))

    # What there is

    @property
    def catalogue(self) -> Catalogue:
        """What is known of the container: its last listing, or else what is documented."""
        return read_catalogue(self.folder, public_url(self.url))

    def items(self) -> list[Item]:
        """Every file that is here or known to be in the container, each once."""
        return rows.merged(self._items())

    def rows(self) -> list[Row]:
        """Every circuit that is here or known to be in the container."""
        return rows.circuit_rows(self._items())

    def models(self) -> list[ModelRow]:
        """Every model that is here or known to be in the container."""
        return rows.model_rows(self._items())

    def _items(self) -> list[Item]:
        remote = [Item(name, "remote", blob.size) for name, blob in self.catalogue.files.items()]
        own = local.own_items(self.folder)
        return [*own, *local.shipped_items(self.shipped), *remote]

    # Where a file is

    def find(self, name: str) -> Path | None:
        """The file of that relative path on this machine, or None.

        Raises `Damaged` for a file whose content is no longer what was downloaded, written or
        shipped, as far as a sum is known of it (see `health`).
        """
        paths.checked(name)
        own = self.folder / name
        if own.is_file():
            if not local.is_made_here(self.folder, name):
                manifest.check_unchanged(self.folder, name)
            manifest.record_use(self.folder, name)
            return check_content(own)
        shipped = self.shipped / name
        return check_content(shipped) if shipped.is_file() else None

    def require(self, name: str) -> Path:
        """Like `find`, but a file that is not here is an error that says how to get it."""
        path = self.find(name)
        if path is None:
            raise NotHere(
                f"{name} is not on this machine: looked in {self.folder} and {self.shipped}. "
                f"Download it with `python -m circuit_sparsity fetch {name}`"
            )
        return path

    def path_of_viz(self, model: str, task: str, sweep: str, k: str) -> Path | None:
        """The file of a circuit, or None when it is not here."""
        return self.find(paths.viz_name(model, task, sweep, k))

    def path_of_means(self, model: str) -> Path | None:
        """The file of a model's mean activations, or None when it is not here."""
        return self.find(paths.means_name(model))

    def path_of_curve(self, model: str) -> Path | None:
        """The file of a model's training curve, or None when it is not here."""
        return self.find(paths.curve_name(model))

    def path_of_model(self, name: str) -> Path | None:
        """The folder that holds both config and weights of a model, or None when none does."""
        inner = paths.model_folder(name)
        for root in (self.folder, self.shipped):
            folder = root / inner
            files = {file for file in _MODEL_FILES if (folder / file).is_file()}
            if not rows.is_whole(files):
                continue
            if root == self.folder:
                for file in files:
                    self.find(f"{inner}/{file}")  # checks it and notes its use
            return folder
        return None

    def path_of_tokenizer(self, model: str) -> Path | None:
        """The folder with `vocab.bpe` and `encoder.json`: the model's own, or the shared one."""
        for inner in (paths.model_folder(model), "tinypython"):
            for root in (self.folder, self.shipped):
                if all((root / inner / file).is_file() for file in paths.TOKENIZER):
                    for file in paths.TOKENIZER:
                        self.find(f"{inner}/{file}")
                    return root / inner
        return None

    # From the container: these, and no others, speak to the network

    def fetch(
        self,
        name: str,
        progress: ProgressReport | None = None,
        cancel: threading.Event | None = None,
        *,
        renew: bool = False,
    ) -> Path:
        """The file on this machine, downloaded if it is not here or no longer whole.

        What has arrived before a break, a crash or `cancel` is kept, and the next call goes on
        from there. `renew` downloads again what is here, e.g. after it was replaced in the
        container. Raises `TransferCancelled`, `NotFound`, `Refused`, `Unreachable`, `NoSpace` or
        `Damaged`.
        """
        if not renew and (path := self._whole(name)):
            return path
        if local.is_made_here(self.folder, paths.checked(name)):
            raise StoreError(
                f"{(self.folder / name).parent} holds results made here, and downloads never mix "
                "with them; delete or rename that folder first"
            )
        work = self._work(progress, cancel, self.retry)
        return container.fetch(work, name, lambda: None if renew else self._whole(name))

    def fetch_all(
        self,
        names: Iterable[str],
        progress: ProgressReport | None = None,
        cancel: threading.Event | None = None,
    ) -> Fetched:
        """Fetch several files one after the other; progress counts all of them.

        A file that the container lacks or holds damaged does not stop the others: it is among the
        `troubles` of the result.
        """
        sizes = {item.name: item.size for item in self.items()}
        return container.fetch_all(
            {name: sizes.get(name) for name in names},
            lambda name, report: self.fetch(name, report, cancel),
            progress,
        )

    def refresh(self, cancel: threading.Event | None = None) -> Refreshed:
        """Ask the container what it holds. If it does not say, what was known stays known."""
        return container.refresh(self._work(None, cancel, self._short_retry))

    def remote_size(self, name: str) -> int | None:
        """Bytes of a file in the container: from its last listing, or by asking for this one."""
        blob = self.catalogue.files.get(paths.checked(name))
        if blob is not None and blob.size is not None:
            return blob.size
        return container.look(self._work(None, None, self._short_retry), name).size

    def _work(
        self, progress: ProgressReport | None, cancel: threading.Event | None, retry: RetryPolicy
    ) -> container.ContainerCall:
        return container.ContainerCall(
            self.folder, self.url, progress, cancel or threading.Event(), retry
        )

    @property
    def _short_retry(self) -> RetryPolicy:
        return replace(self.retry, tries=min(2, self.retry.tries))

    def _whole(self, name: str) -> Path | None:
        """The file if it is here and nothing speaks against it; what `verify` refuses is not."""
        try:
            path = self.find(name)
            if path == self.folder / name and not local.is_made_here(self.folder, name):
                upkeep.check_by_hand(self.folder, name, self.catalogue.files.get(name))
            return path
        except Damaged:
            return None

    def is_whole(self, name: str) -> bool:
        """Whether the file is here, and `fetch` would leave it as it is."""
        return self._whole(name) is not None

    def model_files(self, model: str, known: Set[str] | None = None) -> tuple[str, ...]:
        """Names of the files that running a model needs, whether they are here or not.

        ``known`` are the names of ``items()``, where the caller has them already.
        """
        inner = paths.model_folder(model)
        if known is None:
            known = {item.name for item in self._items()}
        compact, dense = (
            f"{inner}/{file}" for file in (paths.COMPACT_WEIGHTS, paths.DENSE_WEIGHTS)
        )
        own = tuple(name for file in paths.TOKENIZER if (name := f"{inner}/{file}") in known)
        shared = tuple(paths.tokenizer_file(file) for file in paths.TOKENIZER)
        weights = compact if compact in known else dense
        return (f"{inner}/{paths.CONFIG}", weights, *(own or shared))

    def is_outdated(self, name: str) -> bool:
        """Whether the last listing shows another version than the one downloaded."""
        try:
            record = manifest.read_record(self.folder, name)
        except Damaged:
            return False  # nobody can say; `find` and `verify` tell
        blob = self.catalogue.files.get(name)
        return container.differ(record, blob, self.url)

    # Keeping house

    def verify(
        self,
        name: str,
        progress: ProgressReport | None = None,
        cancel: threading.Event | None = None,
    ) -> str:
        """Read a whole file again; a sentence that says what it was compared with.

        Raises `Damaged` if it is not what was downloaded, and `NotHere` if it is not here.
        """
        blob = self.catalogue.files.get(paths.checked(name))
        return upkeep.verify(self.folder, self.shipped, name, blob, progress, cancel)

    def remove(self, name: str) -> int:
        """Delete a file, or a folder with all it holds, from the user's folder; the bytes freed.

        What ships is never touched.
        """
        return upkeep.remove(self.folder, self.shipped, name)

    def clear(self, own_results: bool = False) -> int:
        """Delete every download, and only if asked also what was made here; the bytes freed."""
        return upkeep.clear(self.folder, own_results)

    def usage(self) -> Usage:
        """How much of the disk is used by what."""
        return upkeep.usage(self.folder)

    # Own results

    def local_folder(self, folder: str, how: Mapping[str, object] | None = None) -> Path:
        """Make a folder for own results and mark it so, e.g. `models/my_model`.

        `how` is kept in the mark, as JSON. Write files in it with `write_atomically`. A folder
        that holds downloads is refused: own results never mix with them.
        """
        place = paths.inside(self.folder, f"{folder}/{MADE_HERE}")
        others = place.parent.iterdir() if place.parent.is_dir() else ()
        if not place.is_file() and any(
            other.is_file() and not is_draft(other.name) for other in others
        ):
            raise StoreError(
                f"{place.parent} already holds files that were not made here; "
                "give the new result another name"
            )
        mark = {"made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "how": dict(how or {})}
        write_atomically(place, lambda file: file.write(json.dumps(mark, indent=1).encode()))
        return place.parent

    def viz_folder(
        self, model: str, task: str, sweep: str, k: str, how: Mapping[str, object] | None = None
    ) -> Path:
        """`local_folder` for a circuit of one's own."""
        return self.local_folder(paths.viz_name(model, task, sweep, k).rsplit("/", 1)[0], how)


_MODEL_FILES = (paths.CONFIG, paths.COMPACT_WEIGHTS, paths.DENSE_WEIGHTS)


def _shipped_folder() -> Path:
    """`cache/` beside the package (a checkout) or inside it (an installed package)."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "cache"
    return inside if inside.is_dir() else package.parent / "cache"
