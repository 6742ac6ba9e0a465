"""The residual stream of a circuit: channels that vary, means of what was written, norms."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from circuit_sparsity.circuits.means import Means
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import FINAL_RESID, Location, Node
from circuit_sparsity.kernels.circuit.tables import CHANNEL, READ, records
from circuit_sparsity.runtime.compiled.numbering import Numbering
from circuit_sparsity.runtime.prefix_cache import block_of


@dataclass(frozen=True, eq=False)
class Stream:
    """What reads of the residual stream have in common."""

    numbering: Numbering
    model: GPT
    means: Means

    @cached_property
    def channels(self) -> list[int]:
        """The channel of each slot."""
        return list(self.numbering.slots)

    @property
    def positions(self) -> int:
        return self.model.config.d_pos_emb or 0

    def norm(self, read: Location) -> nn.Module:
        """The norm of the residual stream at a read."""
        if read.layer is None:
            return self.model.transformer.ln_f
        block = block_of(self.model, read.layer)
        return block.ln_1 if read.block == "attn" else block.ln_2

    def gain(self, read: Location) -> Float[Tensor, " d_model"]:
        gain = self.norm(read).weight
        assert isinstance(gain, Tensor), f"the norm at {read} has no gain"
        return gain

    def bias(self, read: Location) -> Float[Tensor, " d_model"]:
        """The bias of LayerNorm, 0 where there is none."""
        bias = getattr(self.norm(read), "bias", None)
        return torch.zeros(self.model.config.d_model) if bias is None else bias

    @cached_property
    def epsilon(self) -> float:
        epsilon = self.model.transformer.ln_f.eps
        if epsilon is None:
            return torch.finfo(torch.float32).eps
        assert isinstance(epsilon, float)
        return epsilon

    @cached_property
    def relu(self) -> bool:
        """Whether a relu follows each add."""
        return self.model.config.residual_activation_type == "relu"

    @cached_property
    def kept_after(self) -> tuple[int, int]:
        """How many channels survive a top-k after attention and after an MLP; -1 without one."""
        config = self.model.config
        places = ("resid_post_attn", "resid_post_mlp")
        attention, mlp = (config.kept(place, config.d_model) for place in places)
        return -1 if attention is None else attention, -1 if mlp is None else mlp

    @cached_property
    def adds_up(self) -> bool:
        """Whether the stream is a sum, so that what was written before a read folds to offsets.

        Where not, it is run through every block.
        """
        return not self.relu and self.kept_after == (-1, -1)

    @cached_property
    def means_of_blocks(self) -> Float[Tensor, "block d_model"]:
        """What attention and MLP of each layer write where no node of theirs is kept."""
        values = self.means.values
        blocks = [Location(read.layer, read.block, "resid_delta") for read in self.numbering.reads]
        return torch.stack([values[block].float() for block in blocks[:-1]])

    def token_alone(
        self, embedded: Float[Tensor, "kind d_model"]
    ) -> list[Float[Tensor, "kind d_model"]]:
        """The stream before each read where nothing kept writes. Right for a sum or a relu alone:
        a top-k of the stream leaves no channel to the token.
        """
        if self.adds_up:
            return [embedded + written for written in self.written]
        found = [embedded]
        for mean in self.means_of_blocks:
            found.append((found[-1] + mean).relu() if self.relu else found[-1] + mean)
        return found

    @cached_property
    def written(self) -> Float[Tensor, "read d_model"]:
        """The sum of the means that were written before each read."""
        sums = [torch.zeros(self.model.config.d_model)]
        for mean in self.means_of_blocks:
            sums.append(sums[-1] + mean)
        return torch.stack(sums)

    def extra(self, read: Location) -> list[int]:
        """Slots that are read here and that nothing kept has written to yet."""
        if read == FINAL_RESID:
            return []
        slots = [self.numbering.slots.get(channel, -1) for channel in self.numbering.kept(read)]
        return [slot for slot in slots if slot >= self.numbering.varying[read]]

    def size(self, read: Location) -> tuple[int, int]:
        """How many rows a read has, and how many of them vary."""
        varying = self.numbering.varying[read] + self.positions
        return varying + len(self.extra(read)), varying

    def row_of(self, read: Location) -> np.ndarray:
        """The row of every node of a read: written slots, positions, other slots."""
        varying, d_model = self.numbering.varying[read], self.model.config.d_model
        extra = {slot: i for i, slot in enumerate(self.extra(read))}
        rows = []
        for channel in self.numbering.kept(read):
            slot = self.numbering.slots.get(channel, -1)
            if channel >= d_model:
                rows.append(varying + channel - d_model)
            elif slot < varying:
                rows.append(slot)
            else:
                rows.append(varying + self.positions + extra[slot])
        return np.array(rows, dtype=np.int64)

    @cached_property
    def slot_of_node(self) -> np.ndarray:
        slots = self.numbering.slots
        found = [
            slots.get(n.channel, -1) if _is_on_stream(n, self.model.config.d_model) else -1
            for n in self.numbering.circuit.node_list
        ]
        return np.array(found, dtype=np.int64)

    @cached_property
    def node_means(self) -> np.ndarray:
        """The mean of every node."""
        nodes = self.numbering.circuit.node_list
        found = [float(self.means.values[node.location][node.channel]) for node in nodes]
        return np.array(found, dtype=np.float32)

    @cached_property
    def extras(self) -> list[int]:
        """The extra slots of all reads, one after the other."""
        return [slot for read in self.numbering.reads for slot in self.extra(read)]

    @cached_property
    def reads(self) -> np.ndarray:
        reads = self.numbering.reads
        ends = np.cumsum([len(self.extra(read)) for read in reads])
        return records(
            READ,
            len(reads),
            varying=[self.numbering.varying[read] for read in reads],
            extra_from=np.concatenate([[0], ends[:-1]]),
            extra_to=ends,
        )

    @cached_property
    def per_read_and_slot(self) -> np.ndarray:
        gain = torch.stack([self.gain(read)[self.channels] for read in self.numbering.reads])
        bias = torch.stack([self.bias(read)[self.channels] for read in self.numbering.reads])
        offset = self.written[:, self.channels]
        if not self.adds_up:  # it is in the stream already
            offset = torch.zeros_like(offset)
        return records(
            CHANNEL,
            gain.numel(),
            offset=offset.flatten().numpy(),
            gain=gain.detach().flatten().numpy(),
            bias=bias.detach().flatten().numpy(),
        )

    @cached_property
    def steps(self) -> np.ndarray:
        """The means of what each block writes, by slot; empty where they are in the offsets."""
        if self.adds_up:
            return np.zeros(0, dtype=np.float32)
        return self.means_of_blocks[:, self.channels].flatten().numpy()

    @cached_property
    def rest_of_the_end(self) -> Float[Tensor, " d_model"]:
        """Means of the final residual stream, 0 where a node is kept."""
        rest = self.means.values[FINAL_RESID].float().clone()
        rest[list(self.numbering.kept(FINAL_RESID))] = 0.0
        return rest


def _is_on_stream(node: Node, d_model: int) -> bool:
    location = node.location
    return location.writes_residual or (location.reads_residual and node.channel < d_model)
