"""Two texts set against each other, token by token."""

from hypothesis import given
from hypothesis import strategies as st

from circuit_sparsity.tasks.alignment import align

tokens = st.lists(st.integers(0, 3), max_size=8)


def test_texts_of_one_length_stand_position_by_position():
    found = align([5, 6, 7], [5, 0, 0])
    assert found.by == "position"
    assert found.both == ((0, 0), (1, 1), (2, 2))


def test_an_inserted_token_has_no_counterpart():
    found = align([1, 2, 3, 4], [1, 2, 9, 3, 4])
    assert found.by == "common ends"
    assert found.pairs == ((0, 0), (1, 1), (None, 2), (2, 3), (3, 4))


def test_beginning_and_end_do_not_overlap():
    assert align([1, 1], [1, 1, 1]).pairs == ((0, 0), (1, 1), (None, 2))


@given(tokens, tokens)
def test_every_token_stands_once_in_its_order(one, other):
    pairs = align(one, other).pairs
    assert [a for a, _ in pairs if a is not None] == list(range(len(one)))
    assert [b for _, b in pairs if b is not None] == list(range(len(other)))


@given(tokens, tokens)
def test_at_different_lengths_only_equal_tokens_are_paired(one, other):
    if len(one) != len(other):
        assert all(one[a] == other[b] for a, b in align(one, other).both)


@given(tokens, tokens)
def test_turning_the_texts_round_turns_the_pairs_round(one, other):
    turned = {(b, a) for a, b in align(other, one).pairs}
    assert turned == set(align(one, other).pairs)
