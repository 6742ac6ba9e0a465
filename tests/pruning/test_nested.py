"""A run's ranking on disk."""

import pytest
import torch

from circuit_sparsity.pruning.find import Cut, rank
from circuit_sparsity.pruning.ranking import NESTED, Nested, read_nested, write_nested
from circuit_sparsity.pruning.settings import Goal, PruneSettings
from circuit_sparsity.pruning.subject import Subject
from tests.handmade import LN2, MARGIN_OF_4, sign_model

SHORT = PruneSettings(steps=40, learning_rate=1e-2)


def subject() -> Subject:
    made = sign_model()
    return Subject(made.model, made.means, made.batch, made.batch, "handmade", "hand")


def test_a_stored_run_gives_the_same_circuit_at_every_size(tmp_path) -> None:
    opened = subject()
    cut = Cut(opened, rank(opened, SHORT))
    write_nested(Nested(cut.ranking, cut.curve()), tmp_path)
    found = read_nested(tmp_path)
    assert found is not None
    again = Cut(opened, found.ranking)
    for k in range(1, 17):
        assert again.circuit(Goal(k=k)).nodes == cut.circuit(Goal(k=k)).nodes
    assert found.ranking.settings == SHORT
    assert found.ranking.history == cut.ranking.history


def test_the_curve_has_the_loss_of_each_size_on_a_log_grid() -> None:
    opened = subject()
    cut = Cut(opened, rank(opened, SHORT))
    curve = dict(cut.curve())
    assert list(curve) == [1, 2, 4, 8, 16]
    assert curve[1] == pytest.approx(LN2, abs=1e-6)
    assert curve[4] == pytest.approx(MARGIN_OF_4, abs=1e-6)


def test_a_folder_without_a_ranking_has_none(tmp_path) -> None:
    assert read_nested(tmp_path) is None


@pytest.mark.parametrize("damage", [b"", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_a_damaged_ranking_is_named(tmp_path, damage: bytes) -> None:
    (tmp_path / NESTED).write_bytes(damage)
    with pytest.raises(ValueError, match=r"ranking\.safetensors .*holds no ranking"):
        read_nested(tmp_path)


def test_equal_scores_keep_their_order(tmp_path) -> None:
    opened = subject()
    ranking = rank(opened, PruneSettings(steps=0, init_scale=0.0))
    assert ranking.order.equal(torch.arange(16))
    write_nested(Nested(ranking, ()), tmp_path)
    found = read_nested(tmp_path)
    assert found is not None
    assert found.ranking.order.equal(torch.arange(16))
