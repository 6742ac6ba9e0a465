"""``GPTConfig``: what a model is, by the fields of the released ``beeg_config.json``."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from circuit_sparsity.core.names import Location

TOP_K_PLACES = (
    "attn_in",
    "attn_q",
    "attn_k",
    "attn_v",
    "attn_out",
    "mlp_in",
    "mlp_neuron",
    "mlp_out",
    "resid_post_attn",
    "resid_post_mlp",
)


_MOST = {  # above these no model was ever made; far below what would fill a memory
    **dict.fromkeys(("n_layer",), 4096),
    **dict.fromkeys(("n_head", "d_head", "d_model", "d_mlp", "d_pos_emb"), 1 << 20),
    **dict.fromkeys(("vocab_size", "block_size"), 1 << 22),
}
_TEXTS = ("residual_activation_type", "activation_type", "afrac_loctypes", "tokenizer_name")
_UNSET = cast(int, None)  # given as None, these two become a number when the configuration is made


@dataclass(frozen=True)
class GPTConfig:
    """Shape and options of a model: fields, order and defaults are the reference's.

    Wrong types, unknown choices and sizes out of bounds are a ValueError that names the field.

    >>> config = GPTConfig(block_size=8, vocab_size=16, n_layer=1, n_head=1, d_model=8)
    >>> config.d_head, config.d_mlp, config.rms_norm, config.tied_unembed
    (8, 32, False, True)
    """

    block_size: int = 1024  # longest sequence, in tokens
    vocab_size: int = 50304
    n_layer: int = 12
    n_head: int = 12
    d_head: int = _UNSET  # None: d_model // n_head
    d_model: int = 768
    dropout: float = 0.0  # of training in the reference; nothing is dropped here
    bias: bool = True  # in every linear map but the unembedding
    ln_bias: bool = True  # in LayerNorm; RMSNorm has none
    rms_norm: bool = False
    residual_activation_type: str = "identity"  # or relu, after each residual add
    activation_type: str = "gelu"  # exact; or relu
    afrac: float | None = None  # fraction of entries that survive each activation top-k
    afrac_loctypes: str = "attn_in,attn_out,mlp_in,mlp_out"  # where it applies
    debug_nans: bool = False  # kept for the file format: changes no number
    tied_unembed: bool = True
    tokenizer_name: str = "tinypython_2k"
    grad_checkpointing: bool = True  # kept for the file format: changes no number
    d_mlp: int = _UNSET  # None: 4 * d_model
    enable_bigram_table: bool = False
    learnable_bigram_table: bool = False  # a parameter, or a fixed buffer
    d_pos_emb: int | None = None  # concatenated position channels; None: positions are added
    dropout_cat_pos_emb: bool = False  # kept for the file format
    sinusoidal_cat_pos_emb: bool = False
    enable_sparse_kernels: bool = False  # kept for the file format: changes no number
    flash: bool = True  # kept for the file format: both settings mean the same numbers
    sink: bool = False  # a learned attention logit per head that leads to nothing

    def __post_init__(self) -> None:
        check_fields(vars(self))
        if self.d_head is None:
            if self.d_model % self.n_head:
                raise ValueError(
                    f"d_model is {self.d_model} and n_head {self.n_head}: without a d_head the "
                    "first must be a multiple of the second; give d_head"
                )
            object.__setattr__(self, "d_head", self.d_model // self.n_head)
        if self.d_mlp is None:
            object.__setattr__(self, "d_mlp", 4 * self.d_model)
        unknown = set(self.top_k_places) - set(TOP_K_PLACES)
        if unknown:
            raise ValueError(
                f"afrac_loctypes names {sorted(unknown)}; known places: {', '.join(TOP_K_PLACES)}"
            )
        if self.activation_type not in ("gelu", "relu"):
            raise ValueError(f"activation_type is {self.activation_type!r}; expected gelu or relu")
        if self.residual_activation_type not in ("identity", "relu"):
            raise ValueError(
                f"residual_activation_type is {self.residual_activation_type!r}; "
                "expected identity or relu"
            )

    @property
    def top_k_places(self) -> tuple[str, ...]:
        """The places whose activations are cut to ``afrac`` of their entries."""
        return tuple(place.strip() for place in self.afrac_loctypes.split(",") if place.strip())

    @property
    def d_attn(self) -> int:
        return self.n_head * self.d_head

    @property
    def d_read(self) -> int:
        """Channels that attention and MLP read: the residual's and the concatenated positions'."""
        return self.d_model + (self.d_pos_emb or 0)

    def width(self, location: Location) -> int:
        """Number of channels at ``location``."""
        if location.kind == "act_in":
            return self.d_read
        if location.kind == "post_act":
            return self.d_mlp
        return self.d_attn if location.kind in ("q", "k", "v") else self.d_model

    def kept(self, place: str, dim: int) -> int | None:
        """How many of ``dim`` entries survive at a top-k place; None when all do."""
        if self.afrac is None or place not in self.top_k_places:
            return None
        return int(self.afrac * dim)

    def to_dict(self) -> dict[str, object]:
        return dataclasses.asdict(self)


def check_fields(values: Mapping[str, Any]) -> None:
    """Raise ValueError where a field is of another type, or of a size that no model has."""
    for name, value in values.items():
        shown = repr(value)[:60]
        if value is None and name in ("d_head", "d_mlp", "d_pos_emb", "afrac"):
            continue
        if name in _MOST:
            least = 0 if name == "d_pos_emb" else 1
            if type(value) is not int or not least <= value <= _MOST[name]:
                raise ValueError(
                    f"{name} is {shown}; expected a whole number from {least} to {_MOST[name]:,}"
                )
        elif name in ("afrac", "dropout"):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ValueError(f"{name} is {shown}; expected a share from 0 to 1")
        elif not isinstance(value, str if name in _TEXTS else bool):
            expected = "text" if name in _TEXTS else "true or false"
            raise ValueError(f"{name} is {shown}; expected {expected}")
