"""A repository of the Hugging Face Hub, by the library ``huggingface_hub``, an optional extra.

What is downloaded lies in that library's own cache: what other programs brought there is used, and
the other way round. Configuration, weights and vocabulary are asked for, and no code.
"""

import contextlib
import os
import re
import sys
from collections.abc import Generator
from pathlib import Path

from circuit_sparsity.store.errors import NotFound, Refused, StoreError, Unreachable

SCHEME = "hf:"
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_WANTED = ["config.json", "*.safetensors", "*.safetensors.index.json", "vocab.bpe", "encoder.json"]


def snapshot(repository: str, revision: str | None = None, quiet: bool = False) -> Path:
    """The folder of a repository's files on this machine, downloaded where they are not here.

    ``HF_ENDPOINT`` names another hub, ``HF_HUB_CACHE`` another cache, and all other settings of
    ``huggingface_hub`` hold. ``quiet`` shows no bars. Raises StoreError: where that library is not
    installed, `NotFound`, `Refused`, or `Unreachable`.
    """
    if not _REPOSITORY.fullmatch(repository):
        raise StoreError(
            f"{repository!r} is no repository of the Hugging Face Hub; expected OWNER/NAME, such "
            "as openai/circuit-sparsity"
        )
    try:
        import huggingface_hub as hub
        from huggingface_hub import errors
    except ImportError as error:
        raise StoreError(
            f"{SCHEME}{repository} needs the library huggingface_hub, which is not installed: "
            "pip install 'circuit-sparsity[hub]'"
        ) from error
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    where = f"{repository}{f' at {revision}' if revision else ''} on {endpoint}"
    try:
        with _bars(quiet):
            folder = hub.snapshot_download(  # pyright: ignore[reportUnknownMemberType]
                repository,
                revision=revision,
                endpoint=endpoint,
                cache_dir=os.environ.get("HF_HUB_CACHE"),
                allow_patterns=_WANTED,
            )
    except errors.GatedRepoError as error:
        raise Refused(
            f"{where} is handed out to those who accepted its terms: accept them there, and give "
            "your token in HF_TOKEN"
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise NotFound(
            f"there is no {where}: check the name, or give a token in HF_TOKEN"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise Unreachable(
            f"{where} could not be reached, and it is not in the cache of huggingface_hub: check "
            "the network, the proxy settings, or HF_HUB_OFFLINE"
        ) from error
    except errors.HfHubHTTPError as error:
        raise Refused(f"{where} was not handed out: {str(error).splitlines()[0]}") from error
    except _of_the_wire() as error:
        raise Unreachable(
            f"{where} could not be fetched: {error}; check the proxy settings"
        ) from error
    return Path(folder)


def _of_the_wire() -> tuple[type[Exception], ...]:
    """What the library lets through of its transport, which is another one in each generation."""
    known = (("requests", "RequestException"), ("httpx", "HTTPError"), ("httpx2", "HTTPError"))
    found = (getattr(sys.modules.get(module), name, None) for module, name in known)
    return tuple(error for error in found if error is not None)


@contextlib.contextmanager
def _bars(quiet: bool) -> Generator[None]:
    """Progress bars of the library, or none."""
    from huggingface_hub import utils

    if not quiet or utils.are_progress_bars_disabled():
        yield
        return
    utils.disable_progress_bars()
    try:
        yield
    finally:
        utils.enable_progress_bars()
