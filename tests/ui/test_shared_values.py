"""What all sessions share: made once, at most so many bytes, arrays counted once."""

import gc
import threading
import weakref
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from circuit_sparsity.experiment.opening import open_circuit
from circuit_sparsity.ui.shell.shared import SharedValues, weigh
from tests.handmade import sign_model

MB = 1_000_000


@dataclass(frozen=True, eq=False)
class View:
    model: np.ndarray
    own: np.ndarray


def array(size):
    return np.zeros(size, np.uint8)


def test_a_value_is_made_once_for_all_who_ask_at_the_same_time():
    kept, made, barrier, found = SharedValues(MB), [], threading.Barrier(8), []

    def make():
        made.append(1)
        return array(1000)

    def ask():
        barrier.wait()
        found.append(kept.get("key", make))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert made == [1]
    assert {id(value) for value in found} == {id(found[0])}


def test_what_nobody_asked_for_longest_goes_first_and_is_freed():
    kept = SharedValues(10 * MB)
    gone = weakref.ref(kept.get("a", lambda: View(array(10), array(4 * MB))))
    kept.get("b", lambda: array(4 * MB))
    stays = weakref.ref(kept.get("c", lambda: View(array(10), array(MB))))
    kept.get("b", lambda: pytest.fail("it is there"))
    kept.get("d", lambda: array(3 * MB))
    gc.collect()
    assert gone() is None
    assert stays() is not None
    assert kept.bytes == pytest.approx(8 * MB, rel=0.01)


def test_a_model_that_many_views_hold_counts_once_and_until_the_last_is_gone():
    kept, model = SharedValues(20_500_000), array(9 * MB)
    for number in range(5):
        kept.get(number, lambda: View(model, array(MB)))
    assert kept.bytes == pytest.approx(14 * MB, rel=0.01)
    kept.get("large", lambda: array(10 * MB))
    assert len(kept) == 2  # the youngest view holds the model, so four views went for 4 MB
    assert kept.bytes == pytest.approx(20 * MB, rel=0.02)


def test_what_is_larger_than_the_bound_is_made_and_not_kept():
    kept = SharedValues(MB)
    assert kept.get("x", lambda: array(2 * MB)).nbytes == 2 * MB
    assert (len(kept), kept.bytes) == (0, 0)


def test_what_failed_is_made_anew():
    kept = SharedValues(MB)
    with pytest.raises(ZeroDivisionError):
        kept.get("x", lambda: 1 // 0)
    assert kept.get("x", lambda: 5) == 5


def test_a_value_that_grows_as_it_is_used_is_weighed_again():
    kept, holder = SharedValues(10 * MB), [array(10)]
    for _ in range(3):
        kept.get("x", lambda: holder)
    holder.append(array(5 * MB))
    for _ in range(8):
        kept.get("x", lambda: holder)
    assert kept.bytes == pytest.approx(5 * MB, rel=0.01)


def test_the_weight_of_a_model_is_that_of_its_parameters():
    model = sign_model().model
    model.extra = torch.nn.Linear(1000, 1000)
    total = sum(p.numel() * p.element_size() for p in model.parameters())
    assert weigh({"view": [model]}).total == pytest.approx(total, rel=0.1)


def test_an_open_circuit_weighs_at_least_what_its_files_hold():
    circuit = open_circuit("starter", "single_double_quote", "prune", "k44_seed0")
    found = weigh(circuit)
    dense = sum(p.numel() * p.element_size() for p in circuit.model.parameters())
    assert found.total > dense
    assert found.total < 50 * (1 << 20)
