"""Reference means over a text of one's own, in place of those in a model's file."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from circuit_sparsity.circuits.means import Means, mean_activations
from circuit_sparsity.model import GPT
from circuit_sparsity.tokenizer import Tokenizer

LONGEST = 128  # tokens of a window, at most
WINDOWS = 2048  # at most: a quarter of a million tokens
AT_ONCE = 16  # windows
ENDINGS = (".py", ".txt", ".md")  # what is read of a folder


@dataclass(frozen=True, eq=False)
class MeansOverText:
    """Means, and the text that they were taken over, in words."""

    means: Means
    title: str


def means_over_text(model: GPT, tokenizer: Tokenizer, path: str | Path) -> MeansOverText:
    """Means over a text file, or over all .py, .txt and .md files of a folder, in order.

    Taken over whole windows of 128 tokens, or of the model's context if that is shorter, of which
    the first 2,048 count. Raises ValueError for a path that cannot be read, for what is not UTF-8
    and for less text than one window.
    """
    place = Path(path).expanduser()
    length = min(model.config.block_size, LONGEST)
    windows = cut_windows(_documents(place), tokenizer, length, WINDOWS)
    if not len(windows):
        raise ValueError(
            f"{place} holds less than one window of {length} tokens; give more text to take means "
            "over"
        )
    title = f"{place.name}, {windows.numel():,} tokens"
    return MeansOverText(mean_activations(model, windows.split(AT_ONCE)), title)


def cut_windows(
    documents: Iterable[str], tokenizer: Tokenizer, length: int, most: int
) -> Int[Tensor, "window pos"]:
    """The first ``most`` windows of ``documents``, each of which ends with an end of text."""
    tokens: list[int] = []
    for document in documents:
        tokens += [*tokenizer.encode(document), tokenizer.eot]
        if len(tokens) >= most * length:
            break
    windows = min(len(tokens) // length, most)
    return torch.tensor(tokens[: windows * length], dtype=torch.long).view(windows, length)


def _documents(place: Path) -> Iterable[str]:
    if not place.exists():
        raise ValueError(f"there is no {place} to take means over; give a text file or a folder")
    files = [place]
    if place.is_dir():
        files = sorted(file for file in place.rglob("*") if file.suffix in ENDINGS)
    for file in files:
        try:
            yield file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(
                f"{file} cannot be read as text ({error}); save it as UTF-8, or leave it out"
            ) from error
