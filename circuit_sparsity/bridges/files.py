"""Bridges as files: our own safetensors, and what the release calls ``final_bridges.pt``.

Layout of ``bridges.safetensors``: for the pair of sites number i, counted as computed,
``i.encoder.weight`` (d_sparse × d_dense), ``i.encoder.bias`` (d_sparse), ``i.decoder.weight``
(d_dense × d_sparse), ``i.decoder.bias`` (d_dense), all float32; and metadata, each a string:
``format`` (`FORMAT`), ``sparse`` and ``dense`` (names of models), ``pairing`` (SPARSE=DENSE sites,
separated by blanks), ``kept`` (entries that an encoder writes), ``tokenizer`` (fingerprint).
"""

import json
import struct
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from circuit_sparsity.bridges.bridge import Bridges, Pairing
from circuit_sparsity.store import Damaged
from circuit_sparsity.store.atomic import write_atomically
from circuit_sparsity.store.health import check_whole

FILE = "bridges.safetensors"
FORMAT = "circuit-sparsity bridges 1"
_METADATA = ("sparse", "dense", "pairing", "kept", "tokenizer")


class BridgeFileError(ValueError):
    """A file of bridges is missing, damaged, or not what was expected."""


@dataclass(frozen=True, eq=False)
class StoredBridges:
    """Bridges and what their file says of them."""

    bridges: Bridges
    sparse: str  # names of the two models
    dense: str
    tokenizer: str  # fingerprint of the one both read


def write_bridges(stored: StoredBridges, path: Path) -> Path:
    """Write ``path`` as a whole or not at all; returns it. Not-a-number is a BridgeFileError."""
    bridges = stored.bridges
    tensors = {
        name.removeprefix("each."): x.detach().float().cpu().contiguous()
        for name, x in bridges.state_dict().items()
    }
    check_finite(tensors, "the bridges to be written")
    metadata = {
        "format": FORMAT,
        "sparse": stored.sparse,
        "dense": stored.dense,
        "pairing": str(bridges.pairing),
        "kept": str(bridges.kept),
        "tokenizer": stored.tokenizer,
    }
    return write_atomically(path, lambda file: file.write(save(tensors, metadata)))


def read_description(path: Path) -> dict[str, str]:
    """What a file of bridges says of itself, without its tensors; BridgeFileError otherwise."""
    check_there(path)
    try:
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            metadata = json.loads(file.read(length)).get("__metadata__", {})
    except (ValueError, struct.error, AttributeError) as error:
        raise BridgeFileError(f"{path} has no readable header: {error}; make it anew") from error
    missing = [key for key in _METADATA if key not in metadata]
    if metadata.get("format") != FORMAT or missing:
        raise BridgeFileError(
            f"{path} is not a file of bridges: its format is {metadata.get('format')!r} and it "
            f"lacks {', '.join(missing) or 'nothing'}; expected {FORMAT!r}"
        )
    return metadata


def read_bridges(path: Path) -> StoredBridges:
    """The bridges in a file of ours, in evaluation mode and frozen.

    Raises BridgeFileError when it is missing, empty, cut, of another format, holds other tensors
    than its description asks for, or a number that is not finite.
    """
    told = read_description(path)
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise BridgeFileError(f"{path} cannot be read: {error}; make it anew") from error
    first = tensors.get("0.encoder.weight")
    if first is None or first.dim() != 2 or not told["kept"].isdecimal():
        raise BridgeFileError(
            f"{path} holds {_names(tensors)} and kept {told['kept']!r}; expected 0.encoder.weight, "
            "of two axes, and a number"
        )
    d_sparse, d_dense = first.shape
    try:
        pairing = Pairing.parse(told["pairing"].split())
        bridges = Bridges(pairing, d_sparse, d_dense, int(told["kept"]))
    except ValueError as error:
        raise BridgeFileError(f"{path}: {error}") from error
    _fill(bridges, tensors, str(path))
    return StoredBridges(bridges, told["sparse"], told["dense"], told["tokenizer"])


def _fill(bridges: Bridges, tensors: dict[str, Tensor], source: str) -> None:
    """Copy exactly these tensors into the bridges and freeze them."""
    expected = {name.removeprefix("each."): x for name, x in bridges.state_dict().items()}
    problems = [f"lacks {name}" for name in expected if name not in tensors]
    problems += [f"has {name} besides" for name in tensors if name not in expected]
    problems += [
        f"{name} is {tuple(x.shape)}, expected {tuple(expected[name].shape)}"
        for name, x in tensors.items()
        if name in expected and x.shape != expected[name].shape
    ]
    if problems:
        raise BridgeFileError(f"{source} does not fit its description: {'; '.join(problems[:4])}")
    check_finite(tensors, source)
    bridges.load_state_dict({f"each.{name}": x.float() for name, x in tensors.items()})
    bridges.eval().requires_grad_(False)


def check_finite(tensors: dict[str, Tensor], source: str) -> None:
    """Raise BridgeFileError for a number that is not finite."""
    for name, x in tensors.items():
        bad = int((~torch.isfinite(x)).sum())
        if bad:
            raise BridgeFileError(
                f"{source}: {name} holds {bad} numbers that are not finite, of {x.numel()}; "
                "expected finite ones: train the bridges again with smaller learning rates"
            )


def check_there(path: Path) -> None:
    """Raise BridgeFileError for a file that is not there, is empty or was cut."""
    if not path.is_file():
        raise BridgeFileError(
            f"no bridges at {path}; train some with `python -m circuit_sparsity bridge-train`"
        )
    try:
        check_whole(path)
    except Damaged as error:
        raise BridgeFileError(str(error)) from error


def _names(tensors: dict[str, Tensor]) -> str:
    return ", ".join(sorted(tensors)[:4]) or "no tensors"
