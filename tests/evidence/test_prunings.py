"""Controls and stability that take further pruning."""

import dataclasses

import pytest

from circuit_sparsity.circuits.found import Found
from circuit_sparsity.evidence.evidence import Evidence, read_evidence, write_evidence
from circuit_sparsity.evidence.measures import measure
from circuit_sparsity.evidence.prunings import (
    jaccard,
    nonsense_control,
    shuffled_answers,
    stability,
    stability_of,
)
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.pruning.settings import QUICK
from circuit_sparsity.pruning.subject import Subject
from circuit_sparsity.store import Store
from tests.handmade import LN2, MARGIN_OF_4, circuit_of, sign_model


def test_shuffling_exchanges_the_answers_of_half_of_the_pairs() -> None:
    batch = sign_model().batch
    shuffled = shuffled_answers(batch)
    changed = (shuffled.right != batch.right).tolist()
    assert sum(changed) == 2
    assert changed[:2] == changed[2:]  # both prompts of a pair
    assert (shuffled.right + shuffled.wrong).equal(batch.right + batch.wrong)


def test_nothing_knows_shuffled_answers() -> None:
    made = sign_model()
    subject = Subject(made.model, made.means, made.batch, made.batch, "handmade", "hand")
    control = nonsense_control(subject, made.circuit, QUICK)
    # Every prompt comes twice, once with each answer: no better than a coin.
    assert control.circuit_loss == pytest.approx(MARGIN_OF_4, abs=1e-6)
    assert control.losses[0] == pytest.approx(LN2, abs=1e-5)


def test_overlap_is_what_is_in_both_over_what_is_in_either() -> None:
    config = sign_model().model.config
    one = circuit_of(config, ("0.mlp.act_in:0", "0.mlp.post_act:0", "final_resid:1"))
    two = circuit_of(config, ("0.mlp.act_in:0", "0.mlp.post_act:1", "final_resid:1"))
    assert jaccard(one, two) == 2 / 4
    assert jaccard(one, one) == 1.0
    found = [
        dataclasses.replace(c, found=Found(seed=i, loss=0.1)) for i, c in enumerate((one, two))
    ]
    assert stability_of(found).overlap == 0.5
    assert stability_of(found).nodes == (3, 3)


def test_one_seed_has_no_overlap() -> None:
    with pytest.raises(ValueError, match="takes at least two"):
        stability("starter", "single_double_quote", QUICK, seeds=(0,))


def test_seeds_are_pruned_on_the_device_that_is_asked_for() -> None:
    with pytest.raises(ValueError, match="cuda:9 was asked for"):
        stability("starter", "single_double_quote", QUICK, device="cuda:9")


def test_stored_evidence_is_read_back_and_damage_is_named(tmp_path) -> None:
    made = sign_model()
    opened = Experiment(made.circuit, made.model, made.means, made.batch)
    store = dataclasses.replace(Store.from_environment(), folder=tmp_path)
    assert read_evidence(store, opened.circuit) is None
    found: Evidence = measure(opened, draws=1)
    path = write_evidence(found, store, opened.circuit)
    assert path == tmp_path / "viz/handmade/hand/sweep/4/evidence.json"
    assert read_evidence(store, opened.circuit) == found
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"evidence\.json cannot be read.*delete it"):
        read_evidence(store, opened.circuit)
