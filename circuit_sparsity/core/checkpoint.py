"""Files of a model and back: configuration, weights, and the compact form that skips zeros.

Every oddity of the released files ends here: old keys, unknown keys, a missing
``final_logits_bias``, the causal mask that old attention code stored as a buffer.
"""

import dataclasses
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.overrides import TorchFunctionMode

from circuit_sparsity.core.compact import Weights as Weights
from circuit_sparsity.core.compact import pack as pack
from circuit_sparsity.core.compact import pack_one as pack_one
from circuit_sparsity.core.compact import unpack as unpack
from circuit_sparsity.core.config import GPTConfig, check_fields
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.weight_files import COMPACT_FILE as COMPACT_FILE
from circuit_sparsity.core.weight_files import DENSE_FILE as DENSE_FILE
from circuit_sparsity.core.weight_files import CheckpointError as CheckpointError
from circuit_sparsity.core.weight_files import find_weights as find_weights
from circuit_sparsity.core.weight_files import is_finite
from circuit_sparsity.core.weight_files import read_weights as read_weights

CONFIG_FILE = "beeg_config.json"
HUB_CONFIG_FILE = "config.json"  # of Hugging Face's layout
MODEL_TYPE = "circuitgpt"

_KNOWN = {field.name for field in dataclasses.fields(GPTConfig)}
_WITHOUT_EFFECT = {  # known in released configs; they do not change what inference computes
    *("bigram_table_rank", "n_embd", "pfrac", "expansion_factor", "expansion_factor_mlp"),
    *("debug_exact_topk", "sparse_matmul_impl", "afrac_approx", "ignore_dw_grad", "rtopk"),
    "use_tied_aux_matrix",
}
_OF_TRANSFORMERS = {  # what that library writes into every config.json
    *("architectures", "auto_map", "model_type", "torch_dtype", "dtype", "transformers_version"),
    *("_name_or_path", "bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings"),
    *("use_cache", "return_dict", "output_attentions", "output_hidden_states", "is_decoder"),
    *("is_encoder_decoder", "id2label", "label2id", "num_labels", "chunk_size_feed_forward"),
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings"),
}
_TIED = ("transformer.wte.weight", "lm_head.weight")


def config_file(folder: Path) -> Path:
    """The configuration in a model's folder: the release's, or else Hugging Face's."""
    found = (folder / name for name in (CONFIG_FILE, HUB_CONFIG_FILE))
    return next((path for path in found if path.is_file()), folder / CONFIG_FILE)


def read_config(path: Path) -> GPTConfig:
    """The configuration in a ``beeg_config.json`` or ``config.json``, old keys translated.

    Warns of keys it does not know and goes on. Raises CheckpointError when the file is missing,
    is not a JSON object, or asks for something this code cannot compute.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8-sig"))  # some editors begin with a mark
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(
            f"no configuration at {path}; a model folder holds {CONFIG_FILE} (or "
            f"{HUB_CONFIG_FILE}) and {DENSE_FILE} or {COMPACT_FILE}: fetch the model, or name "
            "another folder"
        ) from None
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        start = path.read_bytes()[:24]
        if start.startswith(b"version https://git-lfs"):
            raise CheckpointError(
                f"{path} is a pointer of Git LFS in place of the configuration: run `git lfs pull` "
                "in its folder"
            ) from error
        raise CheckpointError(
            f"{path} ({path.stat().st_size} bytes) is not JSON: {error}; "
            "delete it and fetch the model again"
        ) from error
    if not isinstance(raw, dict):
        raise CheckpointError(f"{path} holds a JSON {type(raw).__name__}; expected an object")
    return parse_config(raw, str(path))


def parse_config(raw: Mapping[str, object], source: str) -> GPTConfig:
    """The configuration that the keys of ``raw`` describe; ``source`` names it in messages."""
    values = dict(raw)
    old_width = values.pop("n_mlp", None)
    if values.get("d_mlp") is None:
        values["d_mlp"] = old_width
    of_hub = values.get("model_type")
    if of_hub not in (None, MODEL_TYPE):
        raise CheckpointError(f"{source}: model_type is {of_hub!r}; expected {MODEL_TYPE}")
    if values.get("use_tied_aux_matrix"):
        raise CheckpointError(
            f"{source}: use_tied_aux_matrix is {values['use_tied_aux_matrix']!r}; "
            "only models without it can be computed here"
        )
    aside = _WITHOUT_EFFECT | (_OF_TRANSFORMERS if of_hub else set())
    unknown = sorted(str(key)[:80] for key in set(values) - _KNOWN - aside)
    if unknown:
        warnings.warn(f"{source}: unknown keys are left aside: {', '.join(unknown)}", stacklevel=3)
    try:
        known: dict[str, Any] = {key: x for key, x in values.items() if key in _KNOWN}
        check_fields(known)
        derived = ("d_head", "d_mlp")  # from other fields, where they are null
        given: dict[str, Any] = {
            key: x for key, x in known.items() if x is not None or key not in derived
        }
        return GPTConfig(**given)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{source}: {error}") from error


class Unfilled(TorchFunctionMode):
    """Leaves tensors as they were allocated: on the meta device, nowhere.

    Filling meta tensors would load torch's symbolic library, 70 MB.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def expected_shapes(config: GPTConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a model, by name; nothing is allocated."""
    with torch.device("meta"), Unfilled():
        return {name: tuple(x.shape) for name, x in GPT(config).state_dict().items()}


def fitting(config: GPTConfig, weights: Weights, source: str) -> Weights:
    """``weights``, exactly those of a model, but for what old files leave out or have too much."""
    weights = {name: x for name, x in weights.items() if not name.endswith(".attn.bias")}
    expected = expected_shapes(config)
    weights.setdefault("final_logits_bias", torch.zeros(config.vocab_size))
    if config.tied_unembed:  # some writers store a tied matrix once
        for name, other in (_TIED, _TIED[::-1]):
            if name in weights:
                weights.setdefault(other, weights[name])
    problems = [f"missing {name}" for name in expected if name not in weights]
    problems += [f"unexpected {name}" for name in weights if name not in expected]
    problems += [
        f"{name} has shape {tuple(x.shape)}, expected {expected[name]}"
        for name, x in weights.items()
        if name in expected and tuple(x.shape) != expected[name]
    ]
    if problems:
        shown = "; ".join(problems[:8]) + (f"; and {len(problems) - 8} more" * (len(problems) > 8))
        raise CheckpointError(
            f"{source} does not fit its configuration: {shown}; "
            "check that the configuration belongs to these weights"
        )
    for name, x in weights.items():
        values = x if isinstance(x, Tensor) else x.values
        if not values.is_floating_point() or not is_finite(x):
            raise CheckpointError(
                f"{source}: {name} holds "
                + ("NaN or infinity" if values.is_floating_point() else f"{values.dtype} numbers")
                + "; expected finite floating-point weights: a run that diverged is stored in it, "
                "or the file is damaged"
            )
    return weights


def load_state(model: GPT, state: Mapping[str, Tensor], source: str) -> None:
    """Copy ``state`` into a dense ``model``; exactly its tensors, as ``fitting`` says."""
    model.load_state_dict(fitting(model.config, state, source))


def save_model(model: GPT, folder: Path) -> None:
    """Write ``model`` as configuration and compact weights; what is zero is not stored."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(model.config.to_dict(), indent=1)
    (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
    save_file(pack(model.state_dict()), folder / COMPACT_FILE)
