"""``final_bridges.pt`` of the release, whose layout nobody has published (two of its files are
empty): encoders and decoders are told apart by their shapes, and by names where shapes are equal.
"""

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from circuit_sparsity.bridges.bridge import Bridges, Pairing, set_bridge
from circuit_sparsity.bridges.files import BridgeFileError, check_finite, check_there
from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.store.paths import natural


@dataclass(frozen=True, eq=False)
class Understood:
    """Bridges out of a file of the release, and in words what each of its tensors was taken for."""

    bridges: Bridges
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Part:
    """One tensor of the file and what it is taken for."""

    name: str
    tensor: Tensor
    encodes: bool
    turned: bool  # kept as input × output, and so to be transposed

    @property
    def weight(self) -> Tensor:
        """Output × input, as ``nn.Linear`` has it."""
        return (self.tensor.T if self.turned else self.tensor).float()


def read_released(path: Path, sparse: GPTConfig, dense: GPTConfig) -> Understood:
    """The bridges in a ``final_bridges.pt`` between models of these shapes.

    Encoders and decoders come in the order of their names, one for each site of both models. How
    many entries an encoder keeps is not in such a file: as many as the sparse model's activations
    do. Raises BridgeFileError for an empty or damaged file, and for one whose tensors cannot be
    told apart; it names what was found.
    """
    tensors = _tensors_in(path)
    check_finite(tensors, str(path))
    pairing = Pairing.of(sparse, dense)
    widths = sparse.d_model, dense.d_model
    single = _by_site(tensors, len(pairing), widths)
    biases = {name: x for name, x in single.items() if x.dim() == 1}
    parts = [_matrix(name, x, *widths, path) for name, x in single.items() if x.dim() > 1]
    encoders = [part for part in parts if part.encodes]
    decoders = [part for part in parts if not part.encodes]
    if len(encoders) != len(pairing) or len(decoders) != len(pairing):
        raise BridgeFileError(
            f"{path} holds {len(encoders)} encoders ({widths[0]} × {widths[1]}) and "
            f"{len(decoders)} decoders; expected {len(pairing)} of each, two a layer: "
            f"{_listed(tensors)}"
        )
    kept = max(1, int((sparse.afrac or 1.0) * widths[0]))
    bridges = Bridges(pairing, *widths, kept)
    for bridge, encoder, decoder in zip(bridges, encoders, decoders, strict=True):
        set_bridge(bridge, _map(encoder, biases, widths[0]), _map(decoder, biases, widths[1]))
    used = {_bias_of(part.name, biases, len(part.weight)) for part in parts}
    notes = [f"{part.name}: {_taken_for(part)}" for part in parts]
    notes += [f"{name}: {'a bias' if name in used else 'left aside'}" for name in biases]
    notes.append(f"an encoder keeps {kept} entries, as the sparse model's activations do")
    bridges.eval().requires_grad_(False)
    return Understood(bridges, tuple(notes))


def _map(part: _Part, biases: dict[str, Tensor], width: int) -> tuple[Tensor, Tensor]:
    name = _bias_of(part.name, biases, width)
    return part.weight, torch.zeros(width) if name is None else biases[name].float()


def _tensors_in(path: Path) -> dict[str, Tensor]:
    check_there(path)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, KeyError, OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    except (pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from error
    tensors = dict(sorted(_flat(loaded, ""), key=lambda pair: natural(pair[0])))
    if not tensors:
        raise BridgeFileError(f"{path} holds a {type(loaded).__name__} without tensors")
    return tensors


def _unreadable(path: Path, error: Exception) -> BridgeFileError:
    said = (str(error) or type(error).__name__).splitlines()[0]
    return BridgeFileError(f"{path} cannot be read as bridges: {said}; fetch it again")


def _flat(value: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """Every tensor in nested dictionaries and lists, under a dotted name."""
    if isinstance(value, Tensor):
        yield prefix, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from _flat(inner, f"{prefix}.{index}" if prefix else str(index))


def _by_site(
    tensors: dict[str, Tensor], n_sites: int, widths: tuple[int, int]
) -> dict[str, Tensor]:
    """The tensors; one that holds all sites along its first axis is taken apart."""
    found = {}
    for name, x in tensors.items():
        matrix = tuple(x.shape) in (widths, widths[::-1])
        if not matrix and x.dim() in (2, 3) and len(x) == n_sites and x.shape[-1] in widths:
            found |= {f"{name}[{site}]": x[site] for site in range(n_sites)}
        else:
            found[name] = x
    return found


def _matrix(name: str, x: Tensor, d_sparse: int, d_dense: int, path: Path) -> _Part:
    """What a matrix is taken for: by its name if that says so, else as ``nn.Linear`` stores it."""
    shape = tuple(x.shape)
    if shape not in ((d_sparse, d_dense), (d_dense, d_sparse)):
        raise BridgeFileError(
            f"{path}: {name} is {' × '.join(map(str, shape))}; expected bridges between residual "
            f"streams of {d_sparse} (sparse) and {d_dense} (dense) channels"
        )
    lower = name.lower()
    says_encoder, says_decoder = "enc" in lower, "dec" in lower
    if says_encoder == says_decoder:
        if d_sparse == d_dense:
            raise BridgeFileError(
                f"{path}: {name} is {d_sparse} × {d_dense}, and nothing says whether it encodes or "
                "decodes; expected 'enc' or 'dec' in the name where both models are equally wide"
            )
        says_encoder = shape == (d_sparse, d_dense)
    as_linear = (d_sparse, d_dense) if says_encoder else (d_dense, d_sparse)
    return _Part(name, x, says_encoder, turned=shape != as_linear)


def _bias_of(name: str, biases: dict[str, Tensor], width: int) -> str | None:
    """The vector that goes with a matrix: the same name with bias (or b) for weight (or W)."""
    for weight, bias in (
        ("weight", "bias"),
        ("weight", "b"),
        ("W", "b"),
        ("w", "b"),
        ("", ".bias"),
    ):
        other = name.replace(weight, bias) if weight else name + bias
        if other != name and other in biases and biases[other].shape == (width,):
            return other
    return None


def _taken_for(part: _Part) -> str:
    how = ", transposed" if part.turned else ""
    return f"{'an encoder' if part.encodes else 'a decoder'}{how}"


def _listed(tensors: dict[str, Tensor]) -> str:
    some = [f"{name} {tuple(x.shape)}" for name, x in list(tensors.items())[:6]]
    return ", ".join(some) + (f" and {len(tensors) - 6} more" if len(tensors) > 6 else "")
