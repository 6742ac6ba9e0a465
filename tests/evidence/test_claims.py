"""Claims in numbers, by hand."""

import json
from dataclasses import replace

import pytest

from circuit_sparsity.evidence.claims.summary import (
    attribution_against_learned,
    dense_against_sparse,
    frontier,
    necessities,
)
from circuit_sparsity.evidence.claims.values import (
    Claims,
    EdgeCount,
    EditCurve,
    HybridLosses,
    ModelCard,
    Necessity,
)
from circuit_sparsity.evidence.claims.words import rows


def count(model, task, edges, way="learned masks", seed=0, target=0.15):
    return EdgeCount(model, task, way, seed, target, edges, edges, target)


CLAIMS = Claims(
    "thin",
    "thick",
    (
        count("thin", "a", 10),
        count("thin", "b", 40),
        count("thin", "c", 5),
        count("thick", "a", 100),
        count("thick", "b", 1600),
        count("thin", "a", 1000, "attribution"),
        count("thin", "b", 4000, "attribution"),
        count("thin", "c", 500, "attribution"),
    ),
    (
        ModelCard("thin", 1_000_000, {"generated": 1.5, "real": 4.0}),
        ModelCard("thick", 9_000_000, {"generated": 1.5, "real": 4.1}),
    ),
    (
        Necessity("thin · a", "thin", "a", 10, 0.7, (0.1, 0.3), "prompts"),
        Necessity("thin · b", "thin", "b", 40, 0.5, (0.2,), "prompts"),
    ),
)


def test_edges_are_compared_on_the_tasks_that_both_models_have():
    (one,) = dense_against_sparse(CLAIMS)
    assert one.tasks == ("a", "b")
    assert one.larger == {0: pytest.approx(400)}
    assert one.smaller == {0: pytest.approx(20)}
    assert one.ratios == (pytest.approx(20),)
    assert one.paper == pytest.approx(5800 / 240)


def test_attribution_is_held_to_learned_masks_on_the_same_model():
    (one,) = attribution_against_learned(CLAIMS)
    assert one.tasks == ("a", "b", "c")
    assert one.ratios == (pytest.approx(100),)


def test_a_seed_counts_only_where_it_has_every_task():
    more = (count("thin", "a", 40, seed=1), count("thick", "a", 400, seed=1))
    more += (count("thin", "b", 10, seed=1),)
    claims = Claims("thin", "thick", (*CLAIMS.edges, *more))
    (one,) = dense_against_sparse(claims)
    assert set(one.smaller) == set(one.larger) == {0}


def test_attribution_counts_for_each_seed_of_the_masks():
    more = tuple(count("thin", task, n, seed=1) for task, n in (("a", 20), ("b", 80), ("c", 10)))
    claims = Claims("thin", "thick", (*CLAIMS.edges, *more))
    (one,) = attribution_against_learned(claims)
    assert one.ratios == (pytest.approx(100), pytest.approx(50))
    assert set(one.larger) == set(one.smaller) == {0, 1}


def test_the_frontier_is_on_tasks_that_every_model_has():
    thick, thin = frontier(CLAIMS)
    assert (thick.name, thick.loss, thick.tasks) == ("thick", 1.5, 2)
    assert (thick.edges, thin.edges) == (pytest.approx(400), pytest.approx(20))
    assert frontier(Claims("thin", None, CLAIMS.edges)) == ()


def test_a_model_measured_on_another_text_is_not_on_the_frontier():
    thin, thick = CLAIMS.cards
    texts = {"thin": {"generated": 3.5}, "thick": {"generated": 3.6}}
    apart = tuple(replace(card, bigrams=texts[card.model]) for card in (thin, thick))
    (one,) = frontier(replace(CLAIMS, cards=apart))
    assert (one.name, one.tasks) == ("thin", 3)


def test_necessity_is_told_beside_random_sets():
    (one,) = necessities(CLAIMS)
    assert (one.circuits, one.lowest, one.highest) == (2, 0.5, 0.7)
    assert (one.random, one.worst) == (pytest.approx(0.2), 0.3)


def test_a_circuit_without_edges_counts_as_one_of_one_edge():
    claims = Claims("thin", "thick", (count("thin", "a", 0), count("thick", "a", 8)))
    assert dense_against_sparse(claims)[0].ratios == (pytest.approx(8),)


def test_every_claim_has_a_row_even_where_nothing_was_measured():
    said = rows(Claims("thin", None))
    assert [one.claim[:7] for one in said][:4] == ["Fig. 2:", "Fig. 3:", "Fig. 31", "Fig. 32"]
    assert [one.claim[:7] for one in said[4:]] == ["Fig. 9:", "Hybrids"]
    assert {one.here for one in said} == {"not measured"}
    full = {one.claim: one for one in rows(CLAIMS)}
    assert full["Fig. 2: dense over sparse edges at 0.15 nats"].here == "20.0x (400 / 20)"
    assert full["Fig. 2: dense over sparse edges at 0.15 nats"].paper == "24x (5,800 / 240)"


def test_claims_come_out_of_json_as_they_went_in():
    assert Claims.from_dict(CLAIMS.to_dict()) == CLAIMS


@pytest.mark.parametrize("raw", [[], {"format": 0}, {"format": 1, "sparse": "a"}])
def test_what_are_no_claims_is_refused(raw):
    with pytest.raises(ValueError, match="measure them again"):
        Claims.from_dict(raw)


def test_an_edit_over_a_bridge_is_told_with_its_controls_and_read_back():
    edit = EditCurve(
        "thin · a",
        "thin",
        "thick",
        "a",
        "0.mlp.act_in:3",
        256,
        (0.0, 1.0),
        (0.9, 0.2),
        (0.95, 0.25),
        (0.95, 0.94),
        (0.95, 0.93),
    )
    losses = HybridLosses("thin", "thick", 0.1, 0.2, 1.1, 0.8, 16_384)
    claims = replace(CLAIMS, edits=(edit,), hybrids=(losses,))
    said = {row.claim: row.here for row in rows(claims)}
    of_edit = next(here for claim, here in said.items() if claim.endswith("dense model: a"))
    assert of_edit == "p(right) 0.95 to 0.25 at strength 1; random channels 0.94, directions 0.93"
    assert any("0.10 nats per token into the sparse, 0.20" in here for here in said.values())
    assert Claims.from_dict(json.loads(json.dumps(claims.to_dict()))) == claims


def test_claims_stored_before_there_were_bridges_are_read():
    raw = json.loads(json.dumps(CLAIMS.to_dict()))
    del raw["edits"], raw["hybrids"]
    assert Claims.from_dict(raw) == CLAIMS
