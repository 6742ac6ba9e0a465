"""What joins two models: at each site a linear map to the sparse residual stream and one back.

A *site* is the residual stream before a block reads it, so there are two a layer; ``0.attn`` is
the embeddings. The encoder (dense to sparse) is linear and then keeps the largest entries; the
decoder (sparse to dense) is linear. Which site of the one model belongs to which of the other is
a `Pairing`; where both have the same depth, each to its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.kernels import abs_top_k

KEPT = 0.5  # share of the sparse residual stream that an encoder writes, unless said otherwise


@dataclass(frozen=True, order=True)
class Site:
    """The residual stream before the attention or the MLP of a layer.

    >>> [str(site) for site in sites(2)]
    ['0.attn', '0.mlp', '1.attn', '1.mlp']
    >>> Site.parse("1.mlp").hook_name
    '1.resid_mid'
    """

    layer: int
    block: str  # attn or mlp: in this order also alphabetically, so sites sort as computed

    @classmethod
    def parse(cls, text: str) -> "Site":
        """The site that ``LAYER.attn`` or ``LAYER.mlp`` names; ValueError otherwise."""
        layer, dot, block = text.partition(".")
        if not dot or not layer.isdecimal() or block not in ("attn", "mlp"):
            raise ValueError(f"not a site: {text!r}; expected LAYER.attn or LAYER.mlp")
        return cls(int(layer), block)

    def __str__(self) -> str:
        return f"{self.layer}.{self.block}"

    @property
    def hook_name(self) -> str:
        """Under which a model hands this tensor to its hook."""
        return f"{self.layer}.resid_{'in' if self.block == 'attn' else 'mid'}"


def sites(n_layer: int) -> tuple[Site, ...]:
    """All sites of a model in the order of computation."""
    return tuple(Site(layer, block) for layer in range(n_layer) for block in ("attn", "mlp"))


@dataclass(frozen=True)
class Pairing:
    """Which sites are joined: (sparse, dense) pairs, both in the order of computation."""

    pairs: tuple[tuple[Site, Site], ...]

    def __post_init__(self) -> None:
        if not self.pairs:
            raise ValueError("a pairing joins no sites; expected at least one SPARSE=DENSE")
        for side in (0, 1):
            order = [pair[side] for pair in self.pairs]
            if any(b <= a for a, b in zip(order, order[1:], strict=False)):
                raise ValueError(
                    f"the pairing {self} goes back or names a site twice; expected sites of "
                    "both models in the order of computation, each once"
                )

    @classmethod
    def parse(cls, texts: Sequence[str]) -> "Pairing":
        """The pairing written as ``SPARSE=DENSE`` each, such as ``1.mlp=3.mlp``."""
        pairs = []
        for text in texts:
            one, equals, other = text.partition("=")
            if not equals:
                raise ValueError(f"not a pair of sites: {text!r}; expected such as 1.mlp=3.mlp")
            pairs.append((Site.parse(one), Site.parse(other)))
        return cls(tuple(pairs))

    @classmethod
    def of(cls, sparse: GPTConfig, dense: GPTConfig) -> "Pairing":
        """Each site with the one of the same name; ValueError where the depths differ."""
        if sparse.n_layer != dense.n_layer:
            raise ValueError(
                f"the sparse model has {sparse.n_layer} layers and the dense one {dense.n_layer}: "
                "say which sites belong together, such as 0.attn=0.attn 1.mlp=3.mlp"
            )
        return cls(tuple((site, site) for site in sites(sparse.n_layer)))

    def check(self, sparse: GPTConfig, dense: GPTConfig) -> None:
        """Raise ValueError where a site lies beyond a model's last layer."""
        for name, side, config in (("sparse", 0, sparse), ("dense", 1, dense)):
            last = self.pairs[-1][side]
            if last.layer >= config.n_layer:
                raise ValueError(
                    f"the pairing names {last} of the {name} model, which has {config.n_layer} "
                    f"layers; expected sites up to {config.n_layer - 1}.mlp"
                )

    def __str__(self) -> str:
        return " ".join(f"{one}={other}" for one, other in self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def sparse(self) -> tuple[Site, ...]:
        return tuple(one for one, _ in self.pairs)

    @property
    def dense(self) -> tuple[Site, ...]:
        return tuple(other for _, other in self.pairs)


class Bridge(nn.Module):
    """The two maps at one site."""

    def __init__(self, d_sparse: int, d_dense: int, kept: int) -> None:
        super().__init__()
        self.kept = kept  # entries that survive in an encoded vector
        self.encoder = nn.Linear(d_dense, d_sparse)
        self.decoder = nn.Linear(d_sparse, d_dense)

    def encode(self, x: Float[Tensor, "*batch d_dense"]) -> Float[Tensor, "*batch d_sparse"]:
        """What the sparse model's residual stream would be."""
        x = self.encoder(x)
        return x if self.kept >= x.shape[-1] else abs_top_k(x, self.kept)

    def decode(self, x: Float[Tensor, "*batch d_sparse"]) -> Float[Tensor, "*batch d_dense"]:
        """What the dense model's residual stream would be."""
        return self.decoder(x)


class Bridges(nn.Module):
    """One `Bridge` for each pair of sites, in the order of computation."""

    def __init__(self, pairing: Pairing, d_sparse: int, d_dense: int, kept: int) -> None:
        super().__init__()
        if not 1 <= kept <= d_sparse:
            raise ValueError(
                f"an encoder is to keep {kept} of {d_sparse} entries; expected 1 to {d_sparse}"
            )
        self.pairing, self.d_sparse, self.d_dense, self.kept = pairing, d_sparse, d_dense, kept
        self.each = nn.ModuleList([Bridge(d_sparse, d_dense, kept) for _ in pairing.pairs])

    def __getitem__(self, index: int) -> Bridge:
        return cast(Bridge, self.each[index])

    def __len__(self) -> int:
        return len(self.each)

    def __iter__(self) -> Iterator[Bridge]:
        return iter(cast(list[Bridge], list(self.each)))

    def at_sparse(self, site: Site) -> Bridge:
        """The bridge at a site of the sparse model; ValueError where it has none."""
        if site not in self.pairing.sparse:
            raise ValueError(
                f"no bridge joins the sparse model's {site}; expected one of "
                f"{', '.join(map(str, self.pairing.sparse))}"
            )
        return self[self.pairing.sparse.index(site)]

    def check(self, sparse: GPTConfig, dense: GPTConfig) -> None:
        """Raise ValueError when these bridges cannot join two models of these shapes."""
        if (self.d_sparse, self.d_dense) != (sparse.d_model, dense.d_model):
            raise ValueError(
                f"the bridges join residual streams of {self.d_sparse} (sparse) and "
                f"{self.d_dense} (dense) channels; the models have {sparse.d_model} and "
                f"{dense.d_model}: name the pair that the bridges were trained for"
            )
        self.pairing.check(sparse, dense)


@torch.no_grad()
def set_bridge(
    bridge: Bridge,
    encoder: tuple[Float[Tensor, "d_sparse d_dense"], Float[Tensor, " d_sparse"]],
    decoder: tuple[Float[Tensor, "d_dense d_sparse"], Float[Tensor, " d_dense"]],
) -> None:
    """Give one bridge these weights and biases."""
    for linear, (weight, bias) in ((bridge.encoder, encoder), (bridge.decoder, decoder)):
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)
