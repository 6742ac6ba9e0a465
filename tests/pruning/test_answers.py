"""The shortened run gives what the whole model gives."""

import pytest
import torch

from circuit_sparsity.circuits.means import Means, mean_activations
from circuit_sparsity.core.model import GPT, GPTConfig
from circuit_sparsity.core.names import circuit_locations
from circuit_sparsity.pruning.answers import Evaluation, by_length, margins
from circuit_sparsity.pruning.subject import Subject
from circuit_sparsity.runtime.ablation import answer_logits, mean_fill
from circuit_sparsity.tasks.task import TaskBatch, answer_margin

SHAPE = {
    "block_size": 16,
    "vocab_size": 20,
    "n_layer": 2,
    "n_head": 2,
    "d_head": 3,
    "d_model": 8,
    "d_mlp": 12,
    "rms_norm": True,
    "tied_unembed": False,
}
EVERYWHERE = (
    "attn_in,attn_q,attn_k,attn_v,attn_out,mlp_in,mlp_neuron,mlp_out,resid_post_attn,resid_post_mlp"
)
OPTIONS = pytest.mark.parametrize(
    "options",
    [
        {},
        {"d_pos_emb": 4, "sink": True, "bias": False},
        {"enable_bigram_table": True, "learnable_bigram_table": True, "tied_unembed": True},
        {"afrac": 0.5, "afrac_loctypes": EVERYWHERE, "enable_bigram_table": True, "d_pos_emb": 4},
        {"rms_norm": False, "residual_activation_type": "relu", "activation_type": "relu"},
    ],
    ids=["plain", "positions", "tied", "top-k", "relu"],
)


def drawn(options: dict[str, object]) -> tuple[GPT, TaskBatch, Means]:
    generator = torch.Generator().manual_seed(1)
    model = GPT(GPTConfig(**{**SHAPE, **options})).requires_grad_(False)
    for tensor in model.state_dict().values():
        tensor.normal_(std=0.7, generator=generator)
    last = torch.tensor([3, 11, 7, 0, 15, 3])
    answers = torch.randint(20, (2, 6), generator=generator)
    tokens = torch.randint(20, (6, 16), generator=generator)
    batch = TaskBatch(tokens, last, answers[0], answers[1])
    return model, batch, mean_activations(model, [tokens])


@OPTIONS
def test_margins_are_those_of_the_whole_model(options: dict[str, object]) -> None:
    model, batch, _ = drawn(options)
    expected = answer_margin(
        answer_logits(model, batch.tokens, batch.last), batch.right, batch.wrong
    )
    torch.testing.assert_close(margins(model, batch), expected, rtol=1e-4, atol=1e-4)


@OPTIONS
def test_margins_under_a_mask_are_those_of_a_mean_fill(options: dict[str, object]) -> None:
    model, batch, means = drawn(options)
    subject = Subject(model, means, batch, batch, "drawn", "none")
    kept = torch.rand(subject.layout.size, generator=torch.Generator().manual_seed(2)) < 0.7
    masks = subject.layout.split(kept)
    assert tuple(masks) == circuit_locations(2)
    logits = answer_logits(model, batch.tokens, batch.last, mean_fill(masks, means))
    expected = answer_margin(logits, batch.right, batch.wrong)
    got = Evaluation(subject, batch).margins(kept)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_parts_by_length_hold_every_prompt_once_and_short_ones_first() -> None:
    _, batch, _ = drawn({})
    parts = list(by_length(batch, 4))
    assert [part.last.tolist() for part in parts] == [[0, 3, 3, 7], [11, 15]]
    assert sorted(torch.cat([part.right for part in parts]).tolist()) == sorted(
        batch.right.tolist()
    )
