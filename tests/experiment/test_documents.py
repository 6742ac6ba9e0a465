"""Which documents are chosen for a node, on a model whose activations are known by hand."""

import pytest
import torch

from circuit_sparsity.core.model import GPT, GPTConfig
from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.documents import documents

NODE = Node.parse("final_resid:1")


@pytest.fixture
def counting_model() -> GPT:
    """Channel 1 of the residual stream is the token's own number: nothing else writes to it."""
    model = GPT(
        GPTConfig(
            block_size=8,
            vocab_size=200,
            n_layer=1,
            n_head=1,
            d_head=2,
            d_model=2,
            d_mlp=1024,
            rms_norm=True,
            tied_unembed=False,
        )
    )
    model.requires_grad_(False).eval()
    for parameter in model.parameters():
        parameter.zero_()
    model.get_parameter("transformer.wte.weight")[:, 1] = torch.arange(200.0)
    return model


def test_ranks_count_from_both_ends(counting_model: GPT) -> None:
    # 100 tokens, the token at (window, pos) is 5·window + pos; the highest is 99.
    windows = torch.arange(100).reshape(20, 5)
    found = documents(counting_model, [NODE], windows, quantiles=(0.01, 0.5), docs=2)[NODE]
    ranked = {
        q: [[int(doc.tokens[doc.position]) for doc in side] for side in extremes]
        for q, extremes in found.items()
    }
    assert ranked == {0.01: [[1, 2], [98, 97]], 0.5: [[50, 51], [49, 48]]}


def test_a_document_is_the_window_around_its_token(counting_model: GPT) -> None:
    windows = torch.arange(100).reshape(20, 5)
    (doc,) = documents(counting_model, [NODE], windows, quantiles=(0.0,), docs=1)[NODE][0.0].top
    assert doc.position == 4
    assert doc.tokens.tolist() == [95, 96, 97, 98, 99]
    assert doc.activations.tolist() == [95.0, 96.0, 97.0, 98.0, 99.0]


def test_one_window_may_be_shown_twice(counting_model: GPT) -> None:
    windows = torch.arange(10).reshape(2, 5)
    extremes = documents(counting_model, [NODE], windows, quantiles=(0.0,), docs=2)[NODE][0.0]
    assert [doc.position for doc in extremes.top] == [4, 3]
    assert torch.equal(extremes.top[0].tokens, extremes.top[1].tokens)


def test_too_little_text_is_refused(counting_model: GPT) -> None:
    with pytest.raises(ValueError, match="4 tokens of text are too few: 5 are needed"):
        documents(counting_model, [NODE], torch.arange(4).reshape(1, 4))


def test_each_batch_of_windows_can_stop_the_work(counting_model: GPT) -> None:
    class Stop(Exception):
        pass

    def step() -> None:
        raise Stop

    with pytest.raises(Stop):
        documents(counting_model, [NODE], torch.arange(100).reshape(20, 5), step=step)
