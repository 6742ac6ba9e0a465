"""Every claim of the account of string closing, measured again on what ships."""

from dataclasses import replace

import pytest
import torch

from circuit_sparsity.circuits.recipe import Recipe
from circuit_sparsity.core.hooks import Recorder, chain
from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.opening import open_task
from circuit_sparsity.explained.attack import ATTACKS, Answers, attack_curve
from circuit_sparsity.explained.tour import channel_votes, costliest, looks, mark_places, writings
from circuit_sparsity.nodes.vocabulary import direct_effect, matrix
from circuit_sparsity.runtime.ablation import mean_fill
from circuit_sparsity.tasks.task import Pair
from tests.explained.accounts import Explained

WAVES = [f"2.attn.act_in:{channel}" for channel in (269, 270, 287)]


@pytest.fixture(scope="module")
def quotes() -> Explained:
    return Explained.open("single_double_quote", "k43_seed0_full")


@pytest.fixture(scope="module")
def double(quotes):
    return quotes.where(lambda word: word == '("')


@pytest.fixture(scope="module")
def single(quotes):
    return quotes.where(lambda word: word == "('")


@pytest.fixture(scope="module")
def elsewhere(quotes, double, single):
    return quotes.real & ~double & ~single


def test_q0_circuit_and_model(quotes, double, single):
    assert len(quotes.opened.batch) == 256
    assert int(double.sum()) == int(single.sum()) == 128
    quotes.says("Q0", "0.173", quotes.opened.of_circuit.loss, 5e-4)
    quotes.says("Q0", "0.064", quotes.opened.of_model.loss, 5e-4)


def test_q1_channel_39_of_the_embedding_tells_the_marks_apart(quotes, double, single):
    node = "0.mlp.act_in:39"
    quotes.says("Q1", "6.72", quotes.mean(node, double))
    quotes.says("Q1", "0.00", quotes.mean(node, single))
    quotes.says("Q1", "0.11", quotes.p([node]).positive)
    assert str(costliest(quotes.effects)[0]) == node
    quotes.says("Q1", "0.97", quotes.cost([node]))


def test_q2_neurons_of_the_first_layer_see_one_mark_each(quotes, double, single, elsewhere):
    both = "0.mlp.post_act:868", "0.mlp.post_act:140"
    for node, others in zip(both, (4, 0), strict=True):
        assert quotes.fires(node, double) == 128
        assert quotes.fires(node, single) == 0
        assert quotes.fires(node, elsewhere) == others
    assert quotes.fires("0.mlp.post_act:380", double) == 0
    assert quotes.fires("0.mlp.post_act:380", single) == 128
    quotes.says("Q2", "36", quotes.fires("0.mlp.post_act:380", elsewhere), 0)
    quotes.says("Q2", "8408", int(elsewhere.sum()), 0)


def test_q3_two_channels_hold_which_mark_it_is(quotes, double, single, elsewhere):
    first, second = "0.mlp.resid_delta:251", "0.mlp.resid_delta:139"
    quotes.wired(
        *(f"0.mlp.post_act:{neuron}>{first}" for neuron in (868, 140, 380)),
        *(f"0.mlp.post_act:{neuron}>{second}" for neuron in (868, 380)),
    )
    quotes.says("Q3", "-0.79", quotes.mean(first, double))
    quotes.says("Q3", "0.00", quotes.mean(first, single))
    quotes.says("Q3", "-0.01", quotes.mean(first, elsewhere))
    quotes.says("Q3", "0.35", quotes.mean(second, double))
    quotes.says("Q3", "-0.41", quotes.mean(second, single))
    quotes.says("Q3", "0.89", quotes.cost([first, second]))


def test_q4_channel_34_says_that_something_opens(quotes, double, single, elsewhere):
    for neuron in ("0.mlp.post_act:777", "0.mlp.post_act:389", "0.mlp.post_act:770"):
        assert quotes.fires(neuron, double | single, above=0.5) == 256
        assert quotes.fires(neuron, elsewhere, above=0.5) > 50
        quotes.wired(f"{neuron}>0.mlp.resid_delta:34")
    node = "0.mlp.resid_delta:34"
    quotes.says("Q4", "-1.65", quotes.mean(node, double))
    quotes.says("Q4", "-1.29", quotes.mean(node, single))
    quotes.says("Q4", "-0.29", quotes.mean(node, elsewhere))


def test_q5_one_head_looks_from_the_last_token_at_the_mark(quotes, double, single):
    (look,) = looks(quotes.opened)
    assert (look.layer, look.head) == (2, 6)
    n = quotes.opened.batch.n_pairs
    quotes.says("Q5", "0.42", float(look.on_mark[:n].mean()))
    quotes.says("Q5", "0.32", float(look.on_mark[n:].mean()))
    quotes.says("Q5", "0.11", float(look.sink.mean()))
    others = look.weights.masked_fill(double | single | ~quotes.real, 0)
    quotes.says("Q5", "0.07", float(others.max(1).values.mean()))


def test_q6_what_lifts_the_marks_score(quotes, double, single, elsewhere):
    scores = quotes.scores(2, 6).transpose(1, 2)  # prompt pos channel
    gaps = scores[double | single].mean(0) - scores[elsewhere].mean(0)
    quotes.says("Q6", "3.5", float(gaps.sum()), 0.05)
    quotes.says("Q6", "1.6", float(gaps[101 - 96]), 0.05)
    quotes.says("Q6", "1.1", float(gaps[106 - 96]), 0.05)
    quotes.says("Q6", "0.9", float(gaps[[100 - 96, 110 - 96, 111 - 96]].sum()), 0.05)


def test_q7_channel_32_is_smaller_at_the_mark_because_the_norm_divides(
    quotes, double, single, elsewhere
):
    marks, opened = double | single, quotes.opened
    quotes.wired("2.attn.act_in:32>2.attn.k:101")
    quotes.says("Q7", "10.0", quotes.mean("2.attn.act_in:32", marks), 0.06)
    quotes.says("Q7", "14.9", quotes.mean("2.attn.act_in:32", elsewhere), 0.06)
    held = opened.apply(Recipe.parse(["1.attn.resid_delta:32=0.75"]))
    quotes.says("Q7", "0.01", held.delta)
    recorder = Recorder(r"2\.resid_in$|0\.mlp\.resid_delta$")
    with torch.no_grad():
        opened.model.residual(
            opened.batch.tokens, chain(mean_fill(opened.alive, opened.means), recorder)
        )
    residual = recorder.tensors["2.resid_in"]
    size = residual.pow(2).mean(-1).sqrt()
    quotes.says("Q7", "1.24", float(size[marks].mean() / size[elsewhere].mean()), 0.01)
    written = recorder.tensors["0.mlp.resid_delta"].pow(2).mean(-1).sqrt()
    assert written[marks].mean() > 1.5 * written[elsewhere].mean()
    of_tokens = matrix(opened.model, "embedding")[opened.batch.tokens][..., 32]
    assert of_tokens[marks].mean() < of_tokens[elsewhere].mean() - 0.1
    assert 0.7 < float(residual[..., 32][marks].mean() / residual[..., 32][elsewhere].mean()) < 0.9


def test_q8_positions_lift_late_tokens_above_the_sink(quotes):
    key = quotes.acts["2.attn.k:106"]
    quotes.wired(
        *(f"{wave}>2.attn.q:106" for wave in WAVES), *(f"{wave}>2.attn.k:106" for wave in WAVES[1:])
    )
    assert not any(str(edge) == f"{WAVES[0]}>2.attn.k:106" for edge in quotes.opened.edges)
    quotes.says("Q8", "2.1", float(key[:, 0].mean()), 0.06)
    late = quotes.real[:, 39]
    quotes.says("Q8", "5.4", float(key[late, 39].mean()), 0.06)
    (look,) = looks(quotes.without(WAVES).opened)
    quotes.says("Q8", "0.89", float(look.sink.mean()))
    quotes.says("Q8", "0.02", look.share)
    quotes.says("Q8", "0.92", quotes.cost(WAVES))


def test_q9_the_value_says_double_and_silence_says_single(quotes, double, single, elsewhere):
    node = "2.attn.v:99"
    quotes.says("Q9", "4.61", quotes.mean(node, double))
    quotes.says("Q9", "0.00", quotes.mean(node, single))
    quotes.says("Q9", "0.06", quotes.mean(node, elsewhere))
    for other, told in (("97", ("-1.43", "2.23")), ("106", ("-2.60", "1.61"))):
        quotes.wired(f"2.attn.act_in:139>2.attn.v:{other}")
        quotes.says("Q9", told[0], quotes.mean(f"2.attn.v:{other}", double))
        quotes.says("Q9", told[1], quotes.mean(f"2.attn.v:{other}", single))
    quotes.says("Q9", "0.56", quotes.cost(["2.attn.act_in:251>2.attn.v:99"]))
    values = [node, "2.attn.v:97", "2.attn.v:106"]
    kept = [str(n) for n in quotes.opened.circuit.node_list if n.location.kind == "v"]
    assert sorted(values) == sorted(kept)
    quotes.says("Q9", "0.12", quotes.p(values).positive)
    quotes.says("Q9", "0.88", quotes.p(values).negative)


def test_q10_the_head_writes_channel_18_and_the_last_mlp_adds_to_it(quotes):
    for channel, told in ((18, ("1.12", "-0.28")), (28, ("0.34", "-0.36"))):
        for number, measured in zip(
            told, quotes.ends(f"2.attn.resid_delta:{channel}"), strict=True
        ):
            quotes.says("Q10", number, measured)
    pair = ["2.mlp.post_act:747", "2.mlp.post_act:755"]
    for node, told in zip(pair, (("2.01", "0.00"), ("2.50", "-0.08")), strict=True):
        for number, measured in zip(told, quotes.ends(node), strict=True):
            quotes.says("Q10", number, measured)
    quotes.wired(*(f"{node}>2.mlp.resid_delta:{channel}" for node in pair for channel in (18, 28)))
    quotes.says("Q10", "0.34", quotes.cost(pair))
    assert {
        str(n) for n in quotes.opened.circuit.node_list if str(n).startswith("2.mlp.act_in")
    } == {"2.mlp.act_in:18"}


def test_q11_two_channels_are_the_answer(quotes):
    swings = {one.node.channel: one.swing for one in writings(quotes.opened)}
    quotes.says("Q11", "2.5", swings[18], 0.05)
    quotes.says("Q11", "1.7", swings[28], 0.05)
    votes, n = channel_votes(quotes.opened).sum(1), quotes.opened.batch.n_pairs
    whole = float(votes[:n].mean() - votes[n:].mean())
    assert sum(swings.values()) / whole > 0.95
    to_double, to_single = int(quotes.opened.batch.right[0]), int(quotes.opened.batch.wrong[0])
    for channel, told in ((18, (0.0, "-0.46")), (28, ("0.63", 0.0))):
        effect = direct_effect(quotes.opened.model, Node.parse(f"final_resid:{channel}"))
        if effect is None:
            effect = direct_effect(quotes.opened.model, Node.parse(f"2.attn.resid_delta:{channel}"))
        for token, number in zip((to_double, to_single), told, strict=True):
            if isinstance(number, str):
                quotes.says("Q11", number, float(effect[token]))
            else:
                assert float(effect[token]) == number


def test_q12_the_written_channels_cause_the_answer(quotes):
    asked = {"2.attn.resid_delta:18": ("1.12", "-0.28"), "2.attn.resid_delta:28": ("0.34", "-0.36")}
    for node, told in asked.items():
        for number, measured in zip(told, quotes.ends(node), strict=True):
            quotes.says("Q12", number, measured)
    as_double = quotes.p([f"{node}={told[0]}" for node, told in asked.items()])
    as_single = quotes.p([f"{node}={told[1]}" for node, told in asked.items()])
    quotes.says("Q12", "0.93", quotes.p().negative)
    quotes.says("Q12", "0.16", as_double.negative)
    quotes.says("Q12", "0.79", quotes.p().positive)
    quotes.says("Q12", "0.06", as_single.positive)


def ends(edge):
    return {str(edge.source), str(edge.target)}


def test_q13_no_node_is_idle_and_no_smaller_part_does_it(quotes):
    quotes.says("Q13", "0.05", min(effect.delta for effect in quotes.effects))
    named = {str(n) for n in quotes.opened.circuit.node_list if f"`{n}`" in quotes.account}
    joined = {
        str(end) for e in quotes.opened.edges for end in (e.source, e.target) if named & ends(e)
    }
    assert named | joined == set(map(str, quotes.opened.circuit.node_list))
    opened = quotes.opened
    for _ in range(4):
        ranked = sorted(
            opened.ablate_each(opened.circuit.node_list), key=lambda effect: effect.delta
        )
        gone = [part for effect in ranked[:2] for part in effect.parts if isinstance(part, Node)]
        opened = replace(opened, circuit=opened.circuit.without(gone))
    quotes.says("Q13", "0.72", opened.of_circuit.loss)


def test_q14_late_strings_are_lost_to_the_circuit_and_not_to_the_model(quotes):
    before = "".join(f"total = {i}\n" for i in range(10))

    def late(pair: Pair) -> Pair:
        there = [replace(p, text=before + p.text) for p in (pair.positive, pair.negative)]
        return Pair(*there)

    task = open_task("single_double_quote")
    pruned_on = quotes.on_pairs(task.pairs("prune", 128, 0)).opened.batch
    assert len(pruned_on) == 256
    quotes.says("Q14", "34", int(mark_places(pruned_on).max()), 0)
    pairs = task.pairs("test", 32, 0)
    moved = quotes.on_pairs(map(late, pairs))
    (look,) = looks(moved.opened)
    quotes.says("Q14", "0.94", float(look.sink.mean()))
    quotes.says("Q14", "0.13", moved.p().positive)
    model = Answers.of(moved.opened.of_model)
    quotes.says("Q14", "0.95", (model.positive + model.negative) / 2)


def test_q15_another_mark_inside_fools_the_model_and_less_so_the_circuit(quotes):
    attack = ATTACKS["the other mark inside"]
    curve = attack_curve(quotes.opened, quotes.tokenizer, attack, (0, 1, 3), pairs=16)
    assert {point.prompts for point in curve} == {32}
    model = [(point.model.positive + point.model.negative) / 2 for point in curve]
    circuit = [(point.circuit.positive + point.circuit.negative) / 2 for point in curve]
    quotes.says("Q15", "0.90", model[0])
    quotes.says("Q15", "0.03", model[1])
    quotes.says("Q15", "0.91", circuit[0])
    quotes.says("Q15", "0.75", circuit[1])
    quotes.says("Q15", "0.27", circuit[2])
