"""Every claim of the account of bracket counting, measured again on what ships."""

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.experiment import Outcome
from circuit_sparsity.explained.attack import ATTACKS, Answers
from circuit_sparsity.explained.tour import Look, channel_votes, costliest, looks
from circuit_sparsity.nodes.vocabulary import direct_effect
from tests.explained.accounts import Explained

ANSWERING = (207, 181, 178, 24, 233, 85)  # final channels
DESCRIBED = {
    "0.mlp.act_in": (80, 116, 153, 243, 50, 49, 54, 174, 82, 60, 210),
    "0.mlp.post_act": (392, 807, 911, 662, 266),
    "0.mlp.resid_delta": (49, 77, 80, 106, 189, 229),
    "1.attn.act_in": (49, 77, 80, 106, 189, 229),
    "1.attn.q": (68, 72),
    "1.attn.k": (64, 68, 72),
    "1.attn.v": (68,),
    "1.attn.resid_delta": ANSWERING,
    "final_resid": ANSWERING,
}


@pytest.fixture(scope="module")
def whole() -> Explained:
    return Explained.open("bracket_counting", "k181_seed0_full")


@pytest.fixture(scope="module")
def brackets(whole) -> Explained:
    """On the pairs whose prompts differ in one token."""
    batch = whole.opened.batch
    n = batch.n_pairs
    differ = (whole.real[:n] | whole.real[n:]) & (batch.tokens[:n] != batch.tokens[n:])
    return whole.on(batch.select((differ.sum(1) == 1).nonzero().flatten().tolist()))


@pytest.fixture(scope="module")
def mark(brackets):
    """Where the list opens: the last such token of each prompt."""
    found = brackets.where(lambda word: word in (" [[", " ["))
    order = torch.arange(found.shape[1])[None].expand_as(found)
    return found & (order == order.masked_fill(~found, -1).max(1).values[:, None])


@pytest.fixture(scope="module")
def nested(brackets, mark):
    return mark & brackets.positive[:, None]


@pytest.fixture(scope="module")
def flat(brackets, mark):
    return mark & ~brackets.positive[:, None]


@pytest.fixture(scope="module")
def numbers(brackets):
    return brackets.where(lambda word: word.strip().isdigit())


def look_of(explained: Explained, head: int) -> Look:
    return next(one for one in looks(explained.opened) if (one.layer, one.head) == (1, head))


def told_apart(outcome: Outcome) -> tuple[float, float, Tensor]:
    """Mean log odds of `]]` over `]` for nested and flat lists, and those of the right answer."""
    odds = -torch.log(torch.expm1(outcome.losses.double()))
    n = len(odds) // 2
    return float(odds[:n].mean()), -float(odds[n:].mean()), odds


def alone(explained: Explained, kept: Iterable[str]) -> Outcome:
    kept = set(kept)
    nodes = [str(node) for node in explained.opened.circuit.node_list]
    assert kept <= set(nodes)
    return explained.opened.ablate([node for node in nodes if node not in kept]).after


def of_blocks(explained: Explained) -> list[str]:
    """The first MLP, the attention of layer 1 and the six answering channels."""
    nodes = map(str, explained.opened.circuit.node_list)
    ends = tuple(f"final_resid:{channel}" for channel in ANSWERING)
    return [n for n in nodes if n.startswith(("0.mlp", "1.attn")) or n in ends]


def test_b0_circuit_model_and_what_silence_answers(whole, brackets):
    assert len(whole.opened.batch) == 256
    whole.says("B0", "110", brackets.opened.batch.n_pairs, 0)
    whole.says("B0", "0.153", whole.opened.of_circuit.loss, 6e-4)
    whole.says("B0", "0.258", whole.opened.of_model.loss, 6e-4)
    nothing = alone(whole, ())
    whole.says("B0", "2.016", nothing.loss, 6e-4)
    assert Answers.of(nothing).negative > 0.98
    assert Answers.of(nothing).positive < 0.02


def test_b1_the_first_mlp_knows_the_two_brackets_apart(brackets, nested, flat, numbers, whole):
    node = "0.mlp.post_act:807"
    assert int(nested.sum()) == 110
    assert brackets.fires(node, nested) == 110
    assert brackets.fires(node, flat) == brackets.fires(node, numbers) == 0
    brackets.says("B1", "898", int(numbers.sum()), 0)
    brackets.says("B1", "8", brackets.fires(node, brackets.real & ~nested), 0)
    for both, told in (
        ("0.mlp.post_act:392", ("2.90", "1.21")),
        ("0.mlp.post_act:911", ("2.61", "3.01")),
    ):
        brackets.says("B1", told[0], brackets.mean(both, nested))
        brackets.says("B1", told[1], brackets.mean(both, flat))
    whole.says("B1", "0.95", whole.cost([node, "0.mlp.post_act:392"]))


def test_b2_a_neuron_fires_on_numbers(brackets, whole, mark, numbers):
    node = "0.mlp.post_act:662"
    brackets.says("B2", "898", brackets.fires(node, numbers), 0)
    brackets.says("B2", "72", brackets.fires(node, ~numbers), 0)
    assert brackets.fires(node, mark) == 0
    whole.says("B2", "0.22", whole.cost([node]))


def test_b3_channel_49_holds_both(brackets, whole, nested, flat):
    node = "0.mlp.resid_delta:49"
    brackets.wired(*(f"0.mlp.post_act:{neuron}>{node}" for neuron in (807, 392, 662)))
    brackets.says("B3", "-0.91", brackets.mean(node, nested))
    brackets.says("B3", "-0.16", brackets.mean(node, flat))
    brackets.says("B3", "0.45", brackets.mean(node, brackets.at_last))
    whole.says("B3", "0.61", whole.cost([node]))
    whole.says("B3", "0.85", whole.cost(["1.attn.act_in:49"]))


def test_b4_a_head_looks_at_the_nested_bracket_and_past_the_flat_one(brackets):
    look, n = look_of(brackets, 4), brackets.opened.batch.n_pairs
    brackets.says("B4", "0.80", float(look.on_mark[:n].mean()))
    brackets.says("B4", "0.07", float(look.on_mark[n:].mean()))


def test_b5_one_key_channel_makes_most_of_the_score(brackets, nested, flat, whole):
    scores = brackets.scores(1, 4)
    total, of_72 = scores.sum(1), scores[:, 72 - 64]
    brackets.says("B5", "4.6", float(total[nested].mean()), 0.06)
    brackets.says("B5", "0.4", float(total[flat].mean()), 0.06)
    brackets.says("B5", "-0.8", float(total[brackets.real & ~nested & ~flat].mean()), 0.06)
    brackets.says("B5", "2.9", float(of_72[nested].mean()), 0.06)
    brackets.says("B5", "0.3", float(of_72[flat].mean()), 0.06)
    brackets.says("B5", "1.1", brackets.sink(1, 4), 0.06)
    brackets.wired("1.attn.act_in:49>1.attn.k:72")
    whole.says("B5", "0.75", whole.cost(["1.attn.k:72"]))


def test_b6_the_value_is_the_same_at_both_brackets(brackets, nested, flat, mark):
    node = "1.attn.v:68"
    brackets.says("B6", "4.26", brackets.mean(node, nested))
    brackets.says("B6", "3.80", brackets.mean(node, flat))
    brackets.says("B6", "0.08", brackets.mean(node, brackets.real & ~mark))


def test_b7_a_second_head_does_the_same_with_less(brackets, whole):
    look, n = look_of(brackets, 2), brackets.opened.batch.n_pairs
    brackets.says("B7", "0.44", float(look.on_mark[:n].mean()))
    brackets.says("B7", "0.05", float(look.on_mark[n:].mean()))
    assert len(look.nodes) == 8
    whole.says("B7", "0.05", whole.cost(map(str, look.nodes)))


def test_b8_a_list_that_ends_in_a_name_is_harder(brackets, numbers):
    brackets.wired("0.mlp.post_act:662>0.mlp.resid_delta:77", "1.attn.act_in:77>1.attn.q:72")
    ends, others = brackets.at_last, brackets.real & ~brackets.at_last
    brackets.says("B8", "-4.55", brackets.mean("1.attn.q:72", ends))
    brackets.says("B8", "-2.69", brackets.mean("1.attn.q:72", others))
    p, n = (-brackets.opened.of_circuit.losses).exp(), brackets.opened.batch.n_pairs
    in_number = (numbers & brackets.at_last).any(1)[:n]
    brackets.says("B8", "18", int((~in_number).sum()), 0)
    brackets.says("B8", "92", int(in_number.sum()), 0)
    brackets.says("B8", "0.41", float(p[:n][~in_number].mean()))
    brackets.says("B8", "0.87", float(p[:n][in_number].mean()))


def test_b9_the_value_is_the_dearest_node(whole):
    node = "1.attn.v:68"
    assert str(costliest(whole.effects)[0]) == node
    whole.says("B9", "1.05", whole.cost([node]))
    whole.says("B9", "0.10", whole.p([node]).positive)
    whole.says("B9", "0.96", whole.p([node]).negative)
    effect = direct_effect(whole.opened.model, Node.parse(node))
    assert effect is not None
    whole.says("B9", "0.28", float(effect[whole.opened.batch.right[0]]))
    whole.says("B9", "0.29", -float(effect[whole.opened.batch.wrong[0]]))


def test_b10_the_value_causes_the_answer(whole):
    whole.says("B10", "0.95", whole.p().negative)
    whole.says("B10", "0.38", whole.p(["1.attn.v:68=4"]).negative)
    whole.says("B10", "0.80", whole.p().positive)
    whole.says("B10", "0.09", whole.p(["1.attn.v:68=0"]).positive)


def test_b11_six_channels_carry_the_answer(brackets):
    votes, n = channel_votes(brackets.opened), brackets.opened.batch.n_pairs
    swing = votes[:n].mean(0) - votes[n:].mean(0)
    for channel, told in zip(ANSWERING, ("1.0", "0.9", "0.7", "0.4", "0.4", "0.3"), strict=True):
        brackets.says("B11", told, float(swing[channel]), 0.05)
        brackets.wired(f"1.attn.v:68>1.attn.resid_delta:{channel}")
    brackets.says("B11", "4.5", float(swing.sum()), 0.05)


def test_b12_how_far_the_lists_are_told_apart(whole):
    gaps = {}
    described = [f"{place}:{c}" for place, channels in DESCRIBED.items() for c in channels]
    sets = {
        "all": [str(node) for node in whole.opened.circuit.node_list],
        "blocks": of_blocks(whole),
        "described": described,
    }
    for name, kept in sets.items():
        nested, flat, _ = told_apart(alone(whole, kept))
        gaps[name] = nested - flat
    assert set(described) <= set(of_blocks(whole))
    whole.says("B12", "99", len(sets["blocks"]), 0)
    whole.says("B12", "46", len(described), 0)
    whole.says("B12", "4.55", gaps["all"])
    whole.says("B12", "3.68", gaps["blocks"])
    whole.says("B12", "1.92", gaps["described"])
    whole.says("B12", "81", 100 * gaps["blocks"] / gaps["all"], 0.6)
    whole.says("B12", "42", 100 * gaps["described"] / gaps["all"], 0.6)


def test_b13_the_other_nodes_shift_the_line(whole):
    outcome = alone(whole, of_blocks(whole))
    nested, flat, odds = told_apart(outcome)
    nothing, circuit = alone(whole, ()).loss, whole.opened.of_circuit.loss
    whole.says("B13", "0.399", outcome.loss, 6e-4)
    whole.says("B13", "87", 100 * (nothing - outcome.loss) / (nothing - circuit), 0.6)
    whole.says("B13", "84", 100 * outcome.accuracy, 0.6)
    whole.says("B13", "-0.05", nested)
    whole.says("B13", "-3.73", flat)
    n = len(odds) // 2
    shifted = F.softplus(-torch.cat([odds[:n] + 2.0, odds[n:] - 2.0])).mean()
    whole.says("B13", "0.169", float(shifted), 6e-4)
    with_others = told_apart(whole.opened.of_circuit)
    whole.says("B13", "1.59", with_others[0])
    whole.says("B13", "-2.96", with_others[1])
    whole.says("B13", "1.2", (with_others[0] - nested + with_others[1] - flat) / 2, 0.05)
    whole.says("B13", "82", whole.opened.circuit.size - len(of_blocks(whole)), 0)


def test_b14_eleven_nodes_never_vary(whole):
    still = [n for n, x in whole.acts.items() if float(x[whole.real].std()) < 1e-4]
    assert len(still) == 11


def test_b15_half_of_the_nodes_cost_little_alone(whole):
    cheap = [str(effect.parts[0]) for effect in whole.effects if effect.delta < 0.01]
    whole.says("B15", "92", len(cheap), 0)
    whole.says("B15", "0.53", whole.cost(cheap))


def attacked(whole: Explained, name: str, strength: int) -> Explained:
    return whole.on_pairs(ATTACKS[name].pairs(strength, 8, 0))


def test_b16_long_lists_dilute_the_attention(whole):
    told = {
        3: ("0.90", "0.83", "0.89", "0.86", "1.00"),
        64: ("0.67", "0.38", "0.96", "0.50", "0.74"),
    }
    for elements, numbers in told.items():
        there = attacked(whole, "longer lists", elements)
        circuit, model = there.p(), Answers.of(there.opened.of_model)
        measured = (
            float(look_of(there, 4).on_mark[:8].mean()),
            *(circuit.positive, circuit.negative, model.positive, model.negative),
        )
        for number, value in zip(numbers, measured, strict=True):
            whole.says("B16", number, value)


def test_b17_brackets_in_a_comment_move_the_circuit_and_not_the_model(whole):
    flat, nested, model = {}, {}, {}
    for count in (0, 8):
        there = attacked(whole, "brackets in a comment", count)
        flat[count], nested[count] = there.p().negative, there.p().positive
        model[count] = Answers.of(there.opened.of_model)
        whole.says("B17", "1.00", model[count].negative)
    look, in_comment = look_of(there, 4), there.where(lambda word: word == " [")
    opening = there.where(lambda word: word in (" =[", " =[["))
    assert int(opening.sum()) == 16
    whole.says("B17", "0.20", float((look.weights * in_comment).sum(1)[8:].mean()))
    whole.says("B17", "0.85", model[0].positive)
    whole.says("B17", "0.79", model[8].positive)
    whole.says("B17", "0.93", flat[0])
    whole.says("B17", "0.77", flat[8])
    whole.says("B17", "0.75", nested[0])
    whole.says("B17", "0.77", nested[8])
