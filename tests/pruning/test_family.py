"""A circuit of every size from one run: on models worked out on paper, as a value, and on disk."""

import dataclasses
import threading

import pytest

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.experiment import Cancelled
from circuit_sparsity.pruning.family import (
    FAMILY,
    Family,
    FamilyPoint,
    read_family,
    served,
    write_family,
)
from circuit_sparsity.pruning.learn import Snapshot
from circuit_sparsity.pruning.refine import refine
from circuit_sparsity.pruning.settings import PruneSettings
from circuit_sparsity.pruning.subject import Subject
from tests.handmade import LN2, MARGIN_OF_4, HandMade, marked_model, sign_model
from tests.pruning.test_prune_handmade import every_subset

SHORT = PruneSettings(steps=60, learning_rate=1e-2)
NODES = tuple(map(Node.parse, ("0.mlp.act_in:0", "0.mlp.post_act:0", "final_resid:1")))


def subject_of(made: HandMade) -> Subject:
    return Subject(made.model, made.means, made.batch, made.batch, "handmade", "hand")


def made_by_hand(**changes: object) -> Family:
    points = (FamilyPoint(1, 0.69), FamilyPoint(3, 0.1, 0.2))
    family = Family("m", "t", "ab12", SHORT, (NODES,), ((1, 0),), points, 1.5)
    return dataclasses.replace(family, **changes)


def test_at_every_size_no_other_set_of_nodes_is_better() -> None:
    subject = subject_of(sign_model())
    kept, losses = every_subset(subject)
    family = refine(subject, SHORT, chains=1)
    for k in range(1, subject.layout.size + 1):
        best = float(losses[kept.sum(dim=1) == k].min())
        (loss,) = (point.loss for point in family.points if point.k == k)
        assert loss == pytest.approx(best, abs=1e-5), k


def test_the_marked_models_circuits_are_those_on_paper() -> None:
    made = marked_model()
    family = refine(subject_of(made), SHORT, chains=1)
    averaging = set(made.nodes) - {"0.attn.act_in:2", "0.attn.k:0"}
    assert set(map(str, family.nodes(6))) == set(made.nodes)
    assert set(map(str, family.nodes(4))) == averaging
    loss = {point.k: point.loss for point in family.points}
    assert loss[6] == pytest.approx(MARGIN_OF_4, abs=1e-5)
    assert loss[4] == pytest.approx((MARGIN_OF_4 + LN2) / 2, abs=1e-5)
    assert loss[1] == pytest.approx(LN2, abs=1e-5)


def test_one_chain_is_nested_and_has_every_size() -> None:
    subject = subject_of(marked_model())
    family = refine(subject, SHORT, chains=1)
    assert family.switches == ()
    assert family.most == subject.layout.size
    for k in range(1, family.most):
        assert set(family.nodes(k)) < set(family.nodes(k + 1))


def test_the_same_seed_gives_the_same_family_and_two_chains_two_rankings() -> None:
    subject = subject_of(marked_model())
    first, again = (refine(subject, SHORT, chains=2) for _ in range(2))
    assert first.chains == again.chains
    assert first.serving == again.serving
    assert first.points == again.points
    assert len(first.chains) == 2
    one = refine(subject, SHORT, chains=1)
    assert one.chains[0] == first.chains[0]


def test_test_prompts_are_measured_and_decide_nothing() -> None:
    made = marked_model()
    family = refine(subject_of(made), SHORT, chains=1, test=made.batch)
    assert all(point.test_loss == pytest.approx(point.loss) for point in family.points)
    assert family.chains == refine(subject_of(made), SHORT, chains=1).chains


@pytest.mark.parametrize("stage", ["masks", "nodes"])
def test_cancel_stops_at_the_next_step(stage: str) -> None:
    cancel = threading.Event()

    def report(snapshot: Snapshot) -> None:
        if snapshot.stage == stage:
            cancel.set()

    with pytest.raises(Cancelled, match="stopped after"):
        refine(subject_of(sign_model()), SHORT, report=report, cancel=cancel)


def test_nothing_to_make_is_refused() -> None:
    with pytest.raises(ValueError, match="0 chains of 512 nodes; expected one or more"):
        refine(subject_of(sign_model()), SHORT, chains=0)


def test_another_chain_takes_over_where_it_is_better_by_more_than_a_little() -> None:
    alike = {4: 0.2, 8: 0.1, 16: 0.05}
    assert served([alike, {4: 0.199, 8: 0.098, 16: 0.048}]) == ((1, 1),)
    assert served([{**alike, 4: 0.3}, alike]) == ((1, 1),)
    assert served([alike, {4: 0.3, 8: 0.04, 16: 0.05}]) == ((1, 0), (8, 1))
    assert served([{4: 0.2, 8: 0.1}, {4: 0.9, 8: 0.9, 16: 0.05}]) == ((1, 0), (9, 1))


def test_where_another_chain_takes_over_nestedness_is_said_to_end() -> None:
    other = (NODES[1], NODES[2], NODES[0])
    family = made_by_hand(chains=(NODES, other), serving=((1, 0), (2, 1)))
    assert family.nodes(1) == NODES[:1]
    assert family.nodes(2) == other[:2]
    assert family.switches == (2,)
    everything = made_by_hand(chains=(NODES, other), serving=((1, 0), (3, 1)))
    assert everything.switches == ()  # all three nodes, in whatever order


def test_a_family_survives_its_file(tmp_path) -> None:
    family = made_by_hand()
    assert write_family(family, tmp_path).name == FAMILY
    assert read_family(tmp_path) == family
    assert read_family(tmp_path / "elsewhere") is None


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (b"", "Expecting value"),
        (b"\xff", "codec can't decode"),
        (b'{"format": 9}', "no family of format 1"),
        (b'{"format": 1, "model": "m"}', "missing or of another kind"),
    ],
)
def test_a_damaged_family_is_named_with_what_to_do(tmp_path, damage: bytes, said: str) -> None:
    (tmp_path / FAMILY).write_bytes(damage)
    with pytest.raises(ValueError, match=rf"family\.json .*{said}.*--refine"):
        read_family(tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"serving": ((2, 0),)}, "expected 1 and then larger"),
        ({"serving": ((1, 3),)}, "served by chain 3 of 1"),
        ({"chains": (NODES[:1], NODES), "serving": ((1, 0), (3, 1))}, "1 to 2 are served by 1"),
        ({"chains": ((NODES[0], NODES[0]),)}, "names a node twice"),
    ],
)
def test_a_family_that_cannot_be_is_refused(changes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made_by_hand(**changes)


def test_a_family_of_another_circuit_is_refused(tmp_path) -> None:
    write_family(made_by_hand(), tmp_path)
    mine = Circuit({}, "m", "t", "sweep", "k3", means_hash="ab12")
    assert read_family(tmp_path, mine) == made_by_hand()
    with pytest.raises(ValueError, match=r"is of m · t · ab12; expected m · t · 00"):
        read_family(tmp_path, dataclasses.replace(mine, means_hash="00"))
    with pytest.raises(ValueError, match="expected m · other"):
        read_family(tmp_path, dataclasses.replace(mine, task="other"))


@pytest.mark.parametrize("k", [0, 4])
def test_a_size_that_is_not_there_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match=f"of {k} nodes .* has those of 1 to 3"):
        made_by_hand().nodes(k)
