"""What is known of prompts before anything is run: embeddings, norms' fixed parts, windows."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuit_sparsity.circuits.compiled.fold import Folded
from circuit_sparsity.circuits.compiled.kernels.tables import COLUMN, Phase, Plan, records
from circuit_sparsity.circuits.compiled.rows import window
from circuit_sparsity.circuits.compiled.run import Prompts
from circuit_sparsity.circuits.compiled.tiles import Arrangement, arrange
from circuit_sparsity.circuits.resumed import block_of
from circuit_sparsity.names import FINAL_RESID, Location


@dataclass(frozen=True, eq=False)
class PromptTables:
    """A folded circuit's view of prompts."""

    folded: Folded
    prompts: Prompts

    @cached_property
    def arrangement(self) -> Arrangement:
        return arrange(self.prompts.tokens, self.prompts.last)

    @cached_property
    def adds_positions(self) -> bool:
        model = self.folded.model
        return not model.config.d_pos_emb and bool((model.transformer.wpe.weight != 0).any())

    @cached_property
    def _kinds(self) -> tuple[np.ndarray, np.ndarray]:
        """Distinct tokens (with positions, where those are added), and the kind of each column.

        Columns of the first phase come before those of the second.
        """
        it = self.arrangement
        tokens = np.concatenate([it.tokens, it.last_tokens])
        positions = np.concatenate([it.positions, it.last_positions])
        if not self.adds_positions:
            positions = np.zeros_like(positions)
        pairs = np.stack([tokens, positions], axis=1)
        kinds, which = np.unique(pairs, axis=0, return_inverse=True)
        return kinds, which.reshape(-1)

    @cached_property
    def embedded(self) -> Float[Tensor, "kind d_model"]:
        """What each kind of token puts on the residual stream."""
        tokens, positions = torch.from_numpy(self._kinds[0]).T
        transformer = self.folded.model.transformer
        embedded = transformer.wte.weight[tokens]
        return embedded + transformer.wpe.weight[positions] if self.adds_positions else embedded

    @cached_property
    def _token_alone(self) -> list[Float[Tensor, "kind d_model"]]:
        """The residual stream before each read, where nothing kept has written to it."""
        return self.folded.stream.token_alone(self.embedded)

    def _fixed(self, read: int) -> Float[Tensor, "kind fixed"]:
        """Channels to which nothing kept has written before a read."""
        varying = int(self.folded.stream.reads[read]["varying"])
        rest = torch.ones(self.folded.model.config.d_model, dtype=torch.bool)
        rest[self.folded.stream.channels[:varying]] = False
        return self._token_alone[read][:, rest]

    def _fixed_magnitudes(self, read: int) -> Float[Tensor, "kind fixed"]:
        """The same times the gain of the norm, as they compete in the top-k."""
        varying = int(self.folded.stream.reads[read]["varying"])
        rest = torch.ones(self.folded.model.config.d_model, dtype=torch.bool)
        rest[self.folded.stream.channels[:varying]] = False
        gain = self.folded.stream.gain(self.folded.numbering.reads[read])
        return (self._fixed(read) * gain[rest]).abs()

    def _is_read(self, read: int) -> bool:
        location = self.folded.numbering.reads[read]
        if location == FINAL_RESID or not self.folded.numbering.is_live(location):
            return False
        return bool(self.folded.numbering.kept(location))

    @cached_property
    def _sums(self) -> Float[Tensor, "two read kind"]:
        """Sums and sums of squares of the fixed channels."""
        reads = len(self.folded.numbering.reads)
        sums = torch.zeros(2, reads, len(self.embedded))
        for read in filter(self._is_read, range(reads)):
            fixed = self._fixed(read)
            sums[0, read], sums[1, read] = fixed.sum(1), fixed.square().sum(1)
        return sums

    @property
    def n_positions(self) -> int:
        return self.arrangement.longest

    @cached_property
    def _places(self) -> Float[Tensor, "read channel pos"]:
        """Concatenated positions, normed as each read norms them."""
        model, stream = self.folded.model, self.folded.stream
        if not stream.positions:
            return torch.zeros(len(self.folded.numbering.reads), 0, self.n_positions)
        rows = model.transformer.wpe.weight[: self.n_positions]
        found = []
        for layer in range(model.config.n_layer):
            block = block_of(model, layer)
            found += [block.ln_p1(rows).T, block.ln_p2(rows).T]
        return torch.stack([*found, torch.zeros_like(rows.T)])

    @cached_property
    def _still(self) -> Float[Tensor, "still pos"]:
        """Gates that depend on the position alone."""
        count = torch.arange(1.0, self.n_positions + 1)
        parts = [heads.gates(count)[list(heads.still)] for heads in self.folded.heads]
        return torch.cat(parts)

    @torch.no_grad()
    def phase(self, second: bool) -> Phase:
        """The columns of one phase, nothing run yet."""
        it, early = self.arrangement, len(self.arrangement.tokens)
        positions = it.last_positions if second else it.positions
        kind = self._kinds[1][early:] if second else self._kinds[1][:early]
        slots = self.embedded[:, self.folded.stream.channels]
        parts = [
            torch.from_numpy(positions + 1)[None],
            slots[kind].T,
            self._sums[0][:, kind],
            self._sums[1][:, kind],
            self._places[:, :, positions].flatten(0, 1),
            self._still[:, positions],
        ]
        starts = np.cumsum([0, *map(len, parts)]).tolist()
        nodes, places = len(self.folded.numbering.node), len(self.folded.numbering.places)
        return Phase(
            records(COLUMN, len(kind), kind=kind, position=positions),
            _flat(torch.cat(parts)),
            _room(nodes + 3 * places, len(kind)),
            _room(places, len(kind)).astype(np.int32),
            len(kind),
            *starts[:-1],
            *(nodes + i * places for i in range(3)),
        )

    @torch.no_grad()
    def plan(self) -> Plan:
        """The folded circuit with the fixed competitors about the threshold of every top-k."""
        found, starts, at = [np.zeros(0, dtype=np.float32)], [], 0
        for location in self.folded.numbering.places:
            starts.append(at)
            part = self._window(location)
            if part is not None:
                found.append(part.reshape(-1))
                at += part.size
        plan = self.folded.plan
        places = plan.places.copy()
        places["window_from"] = starts
        return plan._replace(places=places, windows=np.concatenate(found))

    def _window(self, location: Location) -> np.ndarray | None:
        numbering, top = self.folded.numbering, self.folded.top(location)
        if top < 0 or not numbering.is_live(location) or not numbering.kept(location):
            return None
        if location.kind == "act_in":
            fixed = self._fixed_magnitudes(numbering.reads.index(location))
        else:
            fixed = self.folded.fixed(location, self.n_positions)
        counted = int(self.folded.plan.places[numbering.place[location]]["counted"])
        return window(fixed.detach().numpy(), top, counted)

    @torch.no_grad()
    def ends(self) -> np.ndarray:
        """What answers read, by column of the second phase.

        Rows: unembedding of right less wrong, with the gain, over the means that are not kept; over
        all channels; everything that no run changes; then for each kept channel.
        """
        stream, model, it = self.folded.stream, self.folded.model, self.arrangement
        lanes = torch.zeros(len(it.last_tokens), dtype=torch.long)
        lanes[torch.from_numpy(it.lane)] = torch.arange(len(it.lane))
        right, wrong = self.prompts.right[lanes], self.prompts.wrong[lanes]
        unembedding = model.lm_head.weight[right] - model.lm_head.weight[wrong]
        bias = unembedding @ stream.bias(FINAL_RESID)
        bias = bias + model.final_logits_bias[right] - model.final_logits_bias[wrong]
        if model.config.enable_bigram_table:
            bias = bias + self._bigram(right) - self._bigram(wrong)
        direction = unembedding * stream.gain(FINAL_RESID)  # lane d_model
        kept = list(self.folded.numbering.kept(FINAL_RESID))
        constant = direction @ stream.rest_of_the_end
        rows = torch.stack([constant, direction.sum(1), bias])
        return _flat(torch.cat([rows, direction[:, kept].T]))

    def _bigram(self, answers: Int[Tensor, " lane"]) -> Float[Tensor, " lane"]:
        table = self.folded.model.bigram_table
        assert isinstance(table, Tensor), "a bigram table is a tensor"
        return table[torch.from_numpy(self.arrangement.last_tokens), answers]


def _flat(values: Tensor) -> np.ndarray:
    return values.detach().to(torch.float32).contiguous().view(-1).numpy()


def _room(rows: int, width: int) -> np.ndarray:
    """Zeros, and to spare what a panel may read beyond the end."""
    return np.zeros(rows * width + 16, dtype=np.float32)
