"""What is left of a masked model is the masked model: against the hooks of the dense one."""

import pytest
import torch
import torch.nn.functional as F

from circuit_sparsity.circuits.means import Means, mean_activations
from circuit_sparsity.circuits.node_vector import Layout
from circuit_sparsity.core.hooks import Recorder
from circuit_sparsity.core.model import GPT, GPTConfig
from circuit_sparsity.kernels.gates import score
from circuit_sparsity.pruning.answers import filled, gated, margins
from circuit_sparsity.runtime.assemble import with_engine
from circuit_sparsity.runtime.gated_model import GatedModel, fits
from circuit_sparsity.tasks.task import TaskBatch
from tests.pruning.test_answers import EVERYWHERE, SHAPE

OPTIONS = pytest.mark.parametrize(
    "options",
    [
        {},
        {"d_pos_emb": 4, "sink": True, "bias": False},
        {"enable_bigram_table": True, "learnable_bigram_table": True, "tied_unembed": True},
        {"afrac": 0.5, "afrac_loctypes": EVERYWHERE, "sink": True, "d_pos_emb": 4},
        {"afrac": 0.5, "afrac_loctypes": "attn_q,mlp_out", "sink": True},
        {"rms_norm": False, "residual_activation_type": "relu", "activation_type": "relu"},
    ],
    ids=["plain", "positions", "tied", "top-k", "some top-k", "relu"],
)


class Drawn:
    """A dense model with random weights, its panel form, prompts, and means that are not zero."""

    def __init__(self, options: dict[str, object]) -> None:
        generator = torch.Generator().manual_seed(1)
        self.model = GPT(GPTConfig(**{**SHAPE, **options})).requires_grad_(False)
        for tensor in self.model.state_dict().values():
            tensor.normal_(std=0.7, generator=generator)
            if tensor.dim() == 2:
                tensor.mul_(torch.rand(tensor.shape, generator=generator) < 0.5)
        answers = torch.randint(20, (2, 6), generator=generator)
        tokens = torch.randint(20, (6, 16), generator=generator)
        self.batch = TaskBatch(tokens, torch.tensor([3, 11, 7, 0, 12, 3]), answers[0], answers[1])
        means: Means = mean_activations(self.model, [tokens])
        self.layout = Layout(self.model.config)
        self.means = self.layout.join(means.values)
        sparse = with_engine(self.model, "sparse")
        assert fits(sparse)
        assert not fits(self.model)
        self.panels = GatedModel(sparse, self.means)

    def drawn(self, share: float, seed: int) -> torch.Tensor:
        return torch.rand(self.layout.size, generator=torch.Generator().manual_seed(seed)) < share

    def by_hooks(self, gate: torch.Tensor) -> torch.Tensor:
        hook = gated(self.layout.views(gate), self.layout.views(self.means))
        return margins(self.model, self.batch, hook)


@OPTIONS
@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 1.0])
def test_margins_of_a_circuit_are_those_of_the_masked_model(
    options: dict[str, object], share: float
) -> None:
    opened = Drawn(options)
    kept = opened.drawn(share, 2)
    views = opened.layout.views(opened.means)
    expected = margins(opened.model, opened.batch, filled(opened.layout.views(kept), views))
    with torch.no_grad():
        got = opened.panels.run(kept).margins(kept.float(), opened.batch)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@OPTIONS
@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_gradients_of_the_gates_that_are_left_are_those_of_the_masked_model(
    options: dict[str, object], share: float
) -> None:
    """Of the nodes that are left some are off, and get a gradient all the same."""
    opened = Drawn(options)
    alive = opened.drawn(share, 3)
    gate = (alive & opened.drawn(0.7, 4)).float()
    by_hooks, ours = gate.clone().requires_grad_(), gate.clone().requires_grad_()
    expected = torch.autograd.grad(F.softplus(-opened.by_hooks(by_hooks)).mean(), by_hooks)[0]
    margin = opened.panels.run(alive).margins(ours, opened.batch)
    got = torch.autograd.grad(F.softplus(-margin).mean(), ours)[0]
    torch.testing.assert_close(got[alive], expected[alive], rtol=1e-3, atol=1e-5)


@OPTIONS
def test_scores_are_sums_of_what_the_hooks_of_the_dense_model_give(
    options: dict[str, object],
) -> None:
    opened = Drawn(options)

    class Leafy(Recorder):
        def __call__(self, name: str, x: torch.Tensor) -> torch.Tensor:
            return super().__call__(name, x if x.requires_grad else x.requires_grad_())

    recorder = Leafy()
    total = margins(opened.model, opened.batch, recorder).sum()
    found = [recorder.tensors[name] for name in opened.layout.views(opened.means)]
    slopes = torch.autograd.grad(total, found)
    means = opened.layout.views(opened.means).values()
    expected = [
        ((x - mean) * slope).abs().flatten(0, 1).sum(dim=0)
        for x, slope, mean in zip(found, slopes, means, strict=True)
    ]
    gate = torch.ones(opened.layout.size, requires_grad=True)
    margin = opened.panels.run().margins(gate, opened.batch, score)
    got = torch.autograd.grad(margin.sum(), gate)[0]
    torch.testing.assert_close(got, torch.cat(expected).detach(), rtol=1e-3, atol=1e-4)
