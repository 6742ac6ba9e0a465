"""How a circuit was found: nothing that a file tells is lost, what is not ours stays as it is."""

import pytest

from circuit_sparsity.circuits.found import Found, Moment
from circuit_sparsity.experiment.opening import open_stored
from circuit_sparsity.store import Store

SHIPPED = [
    ("starter", "single_double_quote", "full", "k24_seed0_full"),
    ("starter", "single_double_quote", "prune", "k44_seed0"),
    ("main", "indent_for", "full", "k42_seed0_full"),
    ("dense", "indent_for", "masks", "k173_seed0_masks"),
]


@pytest.mark.parametrize("names", SHIPPED, ids="·".join)
def test_what_a_shipped_file_tells_comes_back_key_by_key(names) -> None:
    stored = open_stored(Store.from_environment(), *names)
    told, found = dict(stored.prune_config), stored.circuit.found
    assert found.is_ours
    assert found.to_dict() == told
    assert list(found.to_dict()) == list(told)
    assert Found.from_dict(found.to_dict()) == found


def test_others_settings_are_kept_as_they_are() -> None:
    raw = {"lr": 0.0048, "seed": 3, "target": "low", "history": "long", "curve": [1, 2]}
    found = Found.from_dict(raw)
    assert not found.is_ours
    assert (found.seed, found.target, found.history) == (3, None, ())
    assert found.to_dict() == raw


def test_the_loss_that_decides_is_the_larger_of_two() -> None:
    assert Found(loss=0.1, validation_loss=0.2).worst_loss == 0.2
    assert Found(loss=0.1).worst_loss == 0.1
    assert Found().worst_loss is None


def test_a_damaged_part_of_ours_is_named() -> None:
    with pytest.raises(ValueError, match="cannot be read.*make the circuit again"):
        Found.from_dict({"circuit_sparsity": "prune", "history": [{"step": 1}]})
    one = Found.from_dict(
        {"circuit_sparsity": "prune", "history": [{"step": 1, "loss": 0.5, "nodes": 9}]}
    )
    assert one.history == (Moment(1, 0.5, 9),)
