"""What a reader calls the nodes of a circuit: short texts of their own, kept on disk.

They lie in the user's folder under ``labels/``, apart from downloads and results: nothing that is
fetched, cleared or made again touches them.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import cast

from filelock import FileLock

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.core.names import Node
from circuit_sparsity.store import Store, paths
from circuit_sparsity.store.json_files import read_json_object, write_json

LONGEST = 200  # letters of a label
_FILE = "labels.json"


@dataclass(frozen=True)
class Labels:
    """The labels of one circuit's nodes; a node without one is not in ``texts``.

    Texts are one line, free of control and invisible characters, and anything else: escape them
    wherever they are shown.

    >>> labels = Labels().with_label(Node.parse("3.mlp.post_act:180"), " a quote  opens ")
    >>> labels.of(Node.parse("3.mlp.post_act:180")), labels.of(Node.parse("final_resid:3"))
    ('a quote opens', '')
    """

    texts: Mapping[Node, str] = field(default_factory=dict[Node, str])

    def __post_init__(self) -> None:
        found = {node: one_line(text) for node, text in sorted(self.texts.items())}
        kept = {node: text for node, text in found.items() if text}
        object.__setattr__(self, "texts", MappingProxyType(kept))

    def of(self, node: Node) -> str:
        """The label of ``node``; empty when it has none."""
        return self.texts.get(node, "")

    def with_label(self, node: Node, text: str) -> "Labels":
        """These labels and ``text`` for ``node``; an empty text takes the label away."""
        return Labels({**self.texts, node: text})

    def to_dict(self) -> dict[str, str]:
        """As JSON holds them: node names and texts, in order of computation."""
        return {str(node): text for node, text in self.texts.items()}

    @classmethod
    def from_dict(cls, found: object) -> "Labels":
        """The labels of a `to_dict`; ValueError says what is no label."""
        if not isinstance(found, Mapping):
            raise ValueError(f"expected an object of node names and texts, got {found!r:.80}")
        texts: dict[Node, str] = {}
        for name, text in cast(Mapping[str, object], found).items():
            if not isinstance(text, str):
                raise ValueError(f"the label of {name} is no text: {text!r:.80}")
            texts[Node.parse(name)] = text
        return cls(texts)


def one_line(text: str) -> str:
    r"""``text`` as a label holds it; ValueError when it is too long.

    >>> one_line("a\n<b>\u202e")
    'a <b>'
    """
    seen = " ".join(text.split())
    seen = "".join(letter for letter in seen if unicodedata.category(letter)[0] != "C")
    if len(seen) > LONGEST:
        raise ValueError(
            f"this label has {len(seen)} letters; at most {LONGEST} are kept: shorten it"
        )
    return seen


def read_labels(store: Store, circuit: Circuit) -> Labels:
    """The labels of a circuit, none when nobody gave one; ValueError for a damaged file."""
    path = _path(store, circuit)
    try:
        found = read_json_object(path, "labels of nodes")
        return Labels() if found is None else Labels.from_dict(found)
    except ValueError as error:
        raise ValueError(
            f"the labels in {path} cannot be read: {error}; mend the file or delete it"
        ) from error


def write_labels(labels: Labels, store: Store, circuit: Circuit) -> Path:
    """Keep these labels in place of the former ones, whole or not at all; where they lie."""
    path = _path(store, circuit)
    write_json(path, labels.to_dict())
    return path


def set_label(
    store: Store, circuit: Circuit, node: Node, text: str, config: GPTConfig | None = None
) -> Labels:
    """Give ``node`` a label, or with an empty text none; the circuit's labels afterwards.

    Others who label another node of the circuit at the same time lose nothing. Raises ValueError
    for a node that a model of ``config``, where that is given, does not have.
    """
    if config is not None and not _has(config, node):
        raise ValueError(
            f"there is no node {node} in a model of {config.n_layer} layers whose {node.location} "
            f"has {config.width(node.location)} channels; check the name"
        )
    path = _path(store, circuit)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock"), timeout=10):
        labels = read_labels(store, circuit).with_label(node, text)
        write_labels(labels, store, circuit)
    return labels


def _has(config: GPTConfig, node: Node) -> bool:
    layer = node.location.layer
    return (layer is None or layer < config.n_layer) and node.channel < config.width(node.location)


def _path(store: Store, circuit: Circuit) -> Path:
    """Raises StoreError for names that would lead out of the folder."""
    viz = paths.viz_name(circuit.model, circuit.task, circuit.sweep, circuit.k)
    return store.folder.joinpath("labels", *viz.split("/")[1:-1], _FILE)
