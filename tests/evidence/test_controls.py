"""Random circuits have the size they must have."""

from circuit_sparsity.evidence.measures import random_nodes
from tests.handmade import marked_model


def test_a_random_circuit_has_the_size_of_the_real_one() -> None:
    made = marked_model()
    for seed in range(5):
        control = random_nodes(made.model.config, made.circuit, seed)
        assert control.size == made.circuit.size
        assert list(control.nodes) == list(made.circuit.nodes)


def test_matched_controls_agree_in_every_location() -> None:
    made = marked_model()
    control = random_nodes(made.model.config, made.circuit, 1, per_location=True)
    sizes = [len(kept) for kept in control.nodes.values()]
    assert sizes == [len(kept) for kept in made.circuit.nodes.values()]


def test_controls_are_seeded() -> None:
    made = marked_model()
    draw = [random_nodes(made.model.config, made.circuit, seed).nodes for seed in (1, 1, 2)]
    assert draw[0] == draw[1] != draw[2]
