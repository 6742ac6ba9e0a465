"""Nodes on text that no model was fitted to, measured once and kept on disk.

The text is made here: half from the standard library's files that training leaves out, half
generated programs of a series that nothing is trained on, in the model's own tokens.
"""

import hashlib
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import Node
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.experiment.experiment import Cancelled, Progress
from circuit_sparsity.nodes.firing import Firing
from circuit_sparsity.programs import generate_documents
from circuit_sparsity.runtime.activations import node_activations
from circuit_sparsity.store import Store
from circuit_sparsity.store.atomic import write_atomically
from circuit_sparsity.training.corpus import CorpusSettings, real_documents

WINDOWS = 256
LONGEST = 256  # tokens of a window; what the released models were trained at
_SERIES = "documents"  # generated programs that no model was trained on
_AT_ONCE = 8  # windows
_TOKENS = "tokens"


@dataclass(frozen=True, eq=False)
class Text:
    """Windows of held-out text in one tokenizer's tokens."""

    windows: Int[Tensor, "window pos"]
    title: str  # what it is, in words

    @cached_property
    def key(self) -> str:
        """Two texts with one key hold the same tokens."""
        digest = hashlib.sha256(repr(tuple(self.windows.shape)).encode())
        digest.update(self.windows.int().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


def held_out_text(model: GPT, tokenizer: Tokenizer, windows: int = WINDOWS) -> Text:
    """Text for ``model``: windows of its context, of 256 tokens at most; the same each time."""
    length = min(model.config.block_size, LONGEST)
    half = windows // 2
    real = _spread(
        _tokens(real_documents(CorpusSettings(), held_out=True), tokenizer), half, length
    )
    needed = (windows - len(real)) * length
    made = _spread(_generated(tokenizer, needed), windows - len(real), length)
    version = ".".join(map(str, sys.version_info[:2]))
    title = (
        f"{real.numel():,} tokens of Python {version}'s standard library, from files that training "
        f"leaves out, and {made.numel():,} of generated programs that nothing is trained on"
    )
    return Text(torch.cat([real, made]), title)


def measure_on(
    model: GPT,
    nodes: Iterable[Node],
    text: Text,
    progress: Progress = lambda done, of: None,
    cancel: threading.Event | None = None,
) -> dict[Node, Float[Tensor, "window pos"]]:
    """The activation of each node on every token in the whole model, as float16.

    Raises Cancelled when ``cancel`` is set meanwhile.
    """
    nodes = tuple(nodes)
    found = {node: torch.empty(text.windows.shape, dtype=torch.float16) for node in nodes}
    for start in range(0, len(text.windows), _AT_ONCE):
        if cancel is not None and cancel.is_set():
            raise Cancelled(f"stopped after {start} of {len(text.windows)} windows of text")
        some = text.windows[start : start + _AT_ONCE].to(model.device)
        for node, values in node_activations(model, nodes, some).items():
            found[node][start : start + _AT_ONCE] = values.half()
        progress(min(start + _AT_ONCE, len(text.windows)), len(text.windows))
    return found


@dataclass(frozen=True)
class HeldOut:
    """What is kept of one model on held-out text, in the user's folder."""

    store: Store
    model: str

    def read(self, node: Node) -> tuple[Firing, str] | None:
        """The node on the text and the text in words; None when it was not measured.

        Raises ValueError for a damaged file.
        """
        for path in sorted(self._folder.glob("*.safetensors")):
            try:
                with safe_open(path, "pt") as file:
                    if str(node) in list(file.keys()):
                        firing = Firing(file.get_tensor(_TOKENS), file.get_tensor(str(node)))
                        return firing, file.metadata()["text"]
            except SafetensorError as error:
                raise ValueError(
                    f"{path} is damaged ({error}); delete it, and measure again"
                ) from error
        return None

    def write(self, text: Text, found: Mapping[Node, Float[Tensor, "window pos"]]) -> Path:
        """Keep what was measured; the file it is in."""
        names = {str(node): values for node, values in found.items()}
        which = hashlib.sha256(" ".join(sorted(names)).encode()).hexdigest()[:12]
        folder = self.store.local_folder(
            f"viz/{self.model}/held_out/{self._version}", {"what": "activations on held-out text"}
        )
        data = save({_TOKENS: text.windows.int(), **names}, {"text": text.title})
        path = folder / f"{which}-{text.key}.safetensors"
        return write_atomically(path, lambda file: file.write(data))

    @property
    def _folder(self) -> Path:
        return self.store.folder / "viz" / self.model / "held_out" / self._version

    @property
    def _version(self) -> str:
        """Changes with the model's files."""
        place = self.store.path_of_model(self.model)
        stats = [] if place is None else [(f.name, f.stat()) for f in sorted(place.iterdir())]
        seen = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
        return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


def _tokens(documents: Iterator[str], tokenizer: Tokenizer) -> list[int]:
    return [t for document in documents for t in (*tokenizer.encode(document), tokenizer.eot)]


def _generated(tokenizer: Tokenizer, needed: int) -> list[int]:
    tokens: list[int] = []
    for document in generate_documents(_SERIES, needed):
        if len(tokens) >= needed:
            break
        tokens += [*tokenizer.encode(document), tokenizer.eot]
    return tokens


def _spread(tokens: list[int], windows: int, length: int) -> Int[Tensor, "window pos"]:
    """As many windows as fit, at most ``windows``, spread evenly over the text."""
    windows = min(windows, len(tokens) // length)
    starts = torch.linspace(0, len(tokens) - length, windows).long()
    return torch.tensor(tokens, dtype=torch.long)[starts[:, None] + torch.arange(length)]
