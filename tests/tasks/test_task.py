"""Prompts as tokens, and the two-way loss."""

import math

import pytest
import tiktoken
import torch

from circuit_sparsity.core.tokenizer import SPLIT_PATTERN, Tokenizer
from circuit_sparsity.tasks import TASKS
from circuit_sparsity.tasks.task import (
    CHANCE_LOSS,
    Pair,
    Prompt,
    PromptsCut,
    Task,
    encode,
    task_context,
    two_way_accuracy,
    two_way_loss,
)


def bytes_only() -> Tokenizer:
    """A tokenizer with no merges: a token is a byte."""
    encoding = tiktoken.Encoding(
        name="bytes",
        pat_str=SPLIT_PATTERN,
        mergeable_ranks={bytes([i]): i for i in range(256)},
        special_tokens={"<|endoftext|>": 256},
        explicit_n_vocab=257,
    )
    return Tokenizer(encoding=encoding, n_vocab=257, eot=256, fingerprint="bytes")


def pair(a: str, b: str, right: str, wrong: str) -> Pair:
    return Pair(Prompt(a, right, wrong), Prompt(b, wrong, right))


def test_answers_are_single_tokens_where_the_tokenizer_has_them(release):
    batch = encode([pair('print("a', "print('a", '")\n', "')\n")], release, 127)
    decoded = [release.decode([t]) for t in (*batch.right.tolist(), *batch.wrong.tolist())]
    assert decoded == ['")\n', "')\n", "')\n", '")\n']


def test_answers_are_the_first_bytes_that_differ_and_shared_ones_join_the_prompt():
    batch = encode([pair("x", "y", ".add(", ".append(")], bytes_only(), 127)
    # Both continuations begin with ".a"; then "d" against "p".
    assert batch.tokens.tolist() == [list(b"x.a"), list(b"y.a")]
    assert batch.last.tolist() == [2, 2]
    assert batch.right.tolist() == [ord("d"), ord("p")]
    assert batch.wrong.tolist() == [ord("p"), ord("d")]


def test_prompts_are_padded_on_the_right_and_positive_ones_come_first():
    pairs = [pair("abc", "b", "x", "y"), pair("cd", "d", "x", "y")]
    batch = encode(pairs, bytes_only(), 127)
    assert batch.tokens.tolist() == [[97, 98, 99], [99, 100, 0], [98, 0, 0], [100, 0, 0]]
    assert batch.last.tolist() == [2, 1, 0, 0]
    assert (len(batch), batch.n_pairs) == (4, 2)


def test_values_at_last_are_read_at_each_prompts_end():
    batch = encode([pair("abc", "b", "x", "y")], bytes_only(), 127)
    values = torch.arange(6.0).reshape(2, 3, 1)
    assert batch.at_last(values).tolist() == [[2.0], [3.0]]


def test_a_selection_keeps_pairs_together():
    pairs = [pair(a, a.upper(), "x", "y") for a in "abc"]
    batch = encode(pairs, bytes_only(), 127).select([2, 0])
    assert bytes(batch.tokens[:, 0].tolist()) == b"caCA"
    assert batch.right.tolist() == [120, 120, 121, 121]


def test_a_long_prompt_loses_its_beginning():
    with pytest.warns(
        PromptsCut, match=r"2 of 2 .* up to 3 tokens, as in 'abcdef', of which 'abc'"
    ):
        batch = encode([pair("abcdef", "abcdeg", "x", "y")], bytes_only(), 3)
    assert batch.tokens.tolist() == [list(b"def"), list(b"deg")]
    assert batch.last.tolist() == [2, 2]


def test_a_long_prompt_is_an_error_with_the_offer_to_cut():
    with pytest.raises(ValueError, match=r"has 6 tokens; expected at most 3.*cut=True") as error:
        encode([pair("abcdef", "abcdeg", "x", "y")], bytes_only(), 3, cut=False)
    assert "'abcdef'" in str(error.value)


def test_a_cut_that_removes_the_difference_is_an_error():
    with pytest.raises(ValueError, match="is the same in its last 3 tokens"):
        encode([pair("abcdef", "zbcdef", "x", "y")], bytes_only(), 3)


def test_a_continuation_that_changes_the_prompts_tokens_is_an_error_that_names_it(release):
    # A bracket and the newline after it are one token, so the prompt may not end between them.
    with pytest.raises(ValueError, match="its tokens change") as error:
        encode([pair("open(a)", "f = open(a)", " as", "\n")], release, 127)
    for part in ("'open(a)'", r"'\n'", r"received [')\n']", "gives [')']"):
        assert part in str(error.value)


def test_a_continuation_that_begins_the_other_is_an_error():
    with pytest.raises(ValueError, match="one is the beginning of the other"):
        encode([pair("x", "y", "ab", "abc")], bytes_only(), 127)


def test_an_empty_prompt_is_an_error():
    with pytest.raises(ValueError, match="empty prompt"):
        encode([pair("", "y", "a", "b")], bytes_only(), 127)


def test_no_pairs_are_an_error():
    with pytest.raises(ValueError, match="no pairs"):
        encode([], bytes_only(), 127)


def test_the_context_is_one_less_than_the_models_and_255_at_most():
    assert [task_context(size) for size in (128, 256, 1024)] == [127, 255, 255]


def test_two_way_loss_by_hand():
    logits = torch.tensor([[0.0, math.log(3.0), 50.0], [1.0, 1.0, -9.0]])
    right, wrong = torch.tensor([1, 0]), torch.tensor([0, 1])
    # p(right) = 3/4 and 1/2; the third logit has no part.
    loss = two_way_loss(logits, right, wrong)
    assert loss.tolist() == pytest.approx([math.log(4 / 3), math.log(2)], abs=1e-6)
    assert math.log(2) == CHANCE_LOSS
    assert two_way_accuracy(logits, right, wrong) == 0.75


def test_two_way_loss_is_the_cross_entropy_over_the_two_logits():
    logits = torch.randn(20, 7, generator=torch.Generator().manual_seed(0)) * 5
    right, wrong = torch.arange(20) % 7, (torch.arange(20) + 3) % 7
    two = torch.stack([logits[torch.arange(20), right], logits[torch.arange(20), wrong]], 1)
    expected = torch.nn.functional.cross_entropy(two, torch.zeros(20).long(), reduction="none")
    torch.testing.assert_close(two_way_loss(logits, right, wrong), expected)


def test_every_task_is_a_task():
    assert all(isinstance(task, Task) for task in TASKS.values())
