"""Where each file lies, by the container's layout, and which names are let in at all.

A name is a relative path with forward slashes, the same in the container, in the user's folder
and in what ships: `viz/csp_yolo2/bracket_counting_beeg/prune_v4/k_optim/viz_data.pt`.
"""

import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from circuit_sparsity.store.errors import StoreError

TOPS = ("models", "viz", "train_curves", "tinypython")
CONFIG = "beeg_config.json"
DENSE_WEIGHTS = "final_model.pt"
COMPACT_WEIGHTS = "model.safetensors"
BRIDGES = "final_bridges.pt"
VIZ = "viz_data.pt"
MEANS = "mean_baseline_pretrain.pt"
CURVE = "progress.json"
TOKENIZER = ("vocab.bpe", "encoder.json")

# What the release's prose calls some models: its folders have an s more.
_IN_PROSE = {"csp_bridge1": "csp_bridges1", "csp_bridge2": "csp_bridges2"}
_WINDOWS_DEVICES = {"con", "prn", "aux", "nul"} | {
    f"{device}{number}" for device in ("com", "lpt") for number in range(1, 10)
}
_LONGEST_NAME = 1024  # characters of a blob's name
_LONGEST_PART = 200  # bytes of a file's name, less what a temporary file adds
_DEEPEST = 8  # the layout needs 6


class CircuitName(NamedTuple):
    """The four folders that lead to a circuit."""

    model: str
    task: str
    sweep: str
    k: str


def checked(name: str) -> str:
    """The same name, if it can only mean a file of the layout inside the cache folder.

    >>> checked("tinypython/vocab.bpe")
    'tinypython/vocab.bpe'
    >>> checked("models/../../etc/passwd")
    Traceback (most recent call last):
    circuit_sparsity.store.errors.StoreError: the name 'models/../../etc/passwd' is not let in: \
'..' would leave its folder; expected a path such as models/csp_yolo1/beeg_config.json
    """
    trouble = _trouble(name)
    if trouble:
        raise StoreError(
            f"the name {name[:200]!a} is not let in: {trouble}; "
            f"expected a path such as models/csp_yolo1/{CONFIG}"
        )
    return name


def is_allowed(name: str) -> bool:
    """Whether `checked` would let the name in."""
    return _trouble(name) is None


def _trouble(name: str) -> str | None:
    parts = name.split("/")
    if len(name) > _LONGEST_NAME or len(parts) > _DEEPEST:
        return f"it is longer than {_LONGEST_NAME} characters or {_DEEPEST} parts"
    if parts[0] not in TOPS:
        return f"it begins with {parts[0][:40]!a}, not with one of {', '.join(TOPS)}"
    return next((trouble for part in parts if (trouble := _trouble_of_part(part))), None)


@lru_cache(maxsize=4096)  # every page lists every file, and folders are few
def _trouble_of_part(part: str) -> str | None:
    if part in ("", ".", ".."):
        return f"{part!a} would leave its folder" if part == ".." else "it has an empty part"
    if any(unicodedata.category(letter).startswith("C") for letter in part):
        return "it holds a control or invisible character"
    if any(letter in '\\:<>"|?*' for letter in part):
        return f"{part!a} holds a character that some system reads as more than a letter"
    if part.startswith((".", "~")) or part.endswith((".", " ")):
        return f"{part!a} begins or ends with a character that hides or changes it"
    if part.split(".")[0].rstrip().lower() in _WINDOWS_DEVICES:
        return f"{part!a} is the name of a device"
    if len(part.encode()) > _LONGEST_PART:
        return f"{part[:40]!a}... is longer than {_LONGEST_PART} bytes"
    return None


def inside(folder: Path, name: str) -> Path:
    """The place in `folder` to write `name` to; refuses a way that leads through a symbolic link.

    Reading through links is fine (a user may keep models on another disk); writing through one
    would put bytes from the network at a place that this folder's owner did not choose.
    """
    place = folder
    for part in checked(name).split("/"):
        place = place / part
        if place.is_symlink():
            raise StoreError(
                f"{place} is a symbolic link, and nothing is written through one. Remove the link; "
                "to keep the files on another disk, set CIRCUIT_SPARSITY_CACHE to a folder there"
            )
    return place


def model_id(name: str) -> str:
    """The id of a model's folder, also by the name that the release's prose gives it.

    >>> model_id("csp_bridge1")
    'csp_bridges1'
    """
    return _IN_PROSE.get(name, name)


def viz_name(model: str, task: str, sweep: str, k: str) -> str:
    """
    >>> viz_name("csp_yolo2", "bracket_counting_beeg", "prune_v4", "k_optim")
    'viz/csp_yolo2/bracket_counting_beeg/prune_v4/k_optim/viz_data.pt'
    """
    return _join("viz", model_id(model), task, sweep, k, VIZ)


def means_name(model: str) -> str:
    """The means lie beside the task folders: `mean_baseline_pretrain.pt` is not a task."""
    return _join("viz", model_id(model), MEANS)


def model_folder(model: str) -> str:
    return _join("models", model_id(model))


def model_file(model: str, file: str) -> str:
    return _join("models", model_id(model), file)


def curve_name(model: str) -> str:
    return _join("train_curves", model_id(model), CURVE)


def tokenizer_file(file: str) -> str:
    return _join("tinypython", file)


def _join(*parts: str) -> str:
    for part in parts:
        if "/" in part:
            raise StoreError(f"{part!a} is not the name of one folder or file: it holds a '/'")
    return checked("/".join(parts))


def circuit_of(name: str) -> CircuitName | None:
    """
    >>> circuit_of("viz/m/t/s/64/viz_data.pt")
    CircuitName(model='m', task='t', sweep='s', k='64')
    >>> circuit_of("viz/m/mean_baseline_pretrain.pt") is None
    True
    """
    parts = name.split("/")
    if len(parts) == 6 and parts[0] == "viz" and parts[5] == VIZ:
        return CircuitName(*parts[1:5])
    return None


def model_of(name: str) -> str | None:
    """The model that a file belongs to, or None for the shared tokenizer.

    >>> model_of("train_curves/csp_yolo1/progress.json")
    'csp_yolo1'
    """
    parts = name.split("/")
    return parts[1] if len(parts) > 2 and parts[0] != "tinypython" else None


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key by which 64 comes before 128, and numbers before words.

    >>> sorted(["k_optim", "128", "64"], key=natural)
    ['64', '128', 'k_optim']
    """
    runs: list[str] = []
    for letter in text:
        if runs and runs[-1][-1].isdecimal() == letter.isdecimal():
            runs[-1] += letter
        else:
            runs.append(letter)
    return tuple((0, int(run), "") if run.isdecimal() else (1, 0, run) for run in runs)
