"""Every claim of the account of type tracking, measured again on what ships."""

from dataclasses import replace

import pytest

from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.opening import open_task
from circuit_sparsity.explained.attack import Answers
from circuit_sparsity.explained.tour import channel_votes, costliest
from circuit_sparsity.nodes.vocabulary import direct_effect
from circuit_sparsity.tasks.task import Pair, Prompt
from tests.explained.accounts import Explained

STRING_PATH = [
    *(f"0.mlp.act_in:{channel}" for channel in (209, 225, 233)),
    *(f"0.mlp.post_act:{channel}" for channel in (495, 586)),
    *(f"0.mlp.resid_delta:{channel}" for channel in (96, 209, 233)),
    "final_resid:236",
]


@pytest.fixture(scope="module")
def types() -> Explained:
    return Explained.open("set_or_string_fixedvarname", "k61_seed0_full")


@pytest.fixture(scope="module")
def made(types):
    return types.where(lambda word: word == " set")


@pytest.fixture(scope="module")
def empty(types):
    return types.where(lambda word: word in (' ""\n', " ''\n"))


@pytest.fixture(scope="module")
def current(types):
    return types.where(lambda word: word.strip() == "current")


@pytest.fixture(scope="module")
def elsewhere(types, made, empty, current):
    return types.real & ~made & ~empty & ~current


@pytest.fixture(scope="module")
def pairs() -> tuple[Pair, ...]:
    return open_task("set_or_string_fixedvarname").pairs("test", 32, 0)


def test_t0_circuit_model_and_what_silence_answers(types, made, empty):
    assert len(types.opened.batch) == 256
    assert int(made.sum()) == int(empty.sum()) == 128
    types.says("T0", "0.114", types.opened.of_circuit.loss, 6e-4)
    types.says("T0", "0.023", types.opened.of_model.loss, 6e-4)
    nothing = types.opened.ablate(types.opened.circuit.node_list).after
    types.says("T0", "1.011", nothing.loss, 6e-4)
    types.says("T0", "0.16", Answers.of(nothing).positive)
    types.says("T0", "0.84", Answers.of(nothing).negative)


def test_t1_two_neurons_fire_on_set_alone(types, made, elsewhere):
    for node in ("0.mlp.post_act:941", "0.mlp.post_act:1014"):
        assert types.fires(node, made) == 128
        assert types.fires(node, types.real) == 128
    ranked = costliest(types.effects)
    first = next(node for node in ranked if node.location.layer == 0)
    assert str(first) == "0.mlp.post_act:941"
    without = types.p(["0.mlp.post_act:941"])
    types.says("T1", "0.85", types.p().positive)
    types.says("T1", "0.32", without.positive)
    types.says("T1", "0.94", without.negative)


def test_t2_two_neurons_fire_on_an_empty_string_alone(types, empty):
    for node in ("0.mlp.post_act:586", "0.mlp.post_act:495"):
        assert types.fires(node, empty) == 128
        assert types.fires(node, types.real) == 128


def test_t3_a_neuron_fires_on_current(types, current):
    node = "0.mlp.post_act:22"
    types.says("T3", "512", int(current.sum()), 0)
    assert types.fires(node, current) == 512
    types.says("T3", "20", types.fires(node, ~current), 0)
    fired = (types.acts[node] > 1) & types.real & ~current
    words = {types.words[row][at] for row, at in fired.nonzero().tolist()}
    assert "ary" in words


def test_t4_each_word_has_a_channel(types, made, empty, current, elsewhere):
    told = {
        "0.mlp.resid_delta:60": (made, "0.68", "0.00"),
        "0.mlp.resid_delta:233": (empty, "-0.82", "0.00"),
        "0.mlp.resid_delta:124": (current, "-0.77", "-0.21"),
    }
    for neuron, channel in ((941, 60), (586, 233), (22, 124)):
        types.wired(f"0.mlp.post_act:{neuron}>0.mlp.resid_delta:{channel}")
    for node, (there, at_word, at_others) in told.items():
        types.says("T4", at_word, types.mean(node, there))
        types.says("T4", at_others, types.mean(node, elsewhere))


def on_word(weights, there):
    """The mean weight on the word, of the prompts that have it."""
    return float(weights[there].mean())


def test_t5_a_head_looks_from_current_at_set(types, made, current, elsewhere):
    reads = [f"2.attn.act_in:{channel}" for channel in (49, 60, 100)]
    types.wired(
        "2.attn.act_in:124>2.attn.q:161",
        *(f"{read}>2.attn.k:161" for read in reads),
    )
    types.says("T5", "3.13", types.mean("2.attn.q:161", current))
    types.says("T5", "2.16", types.mean("2.attn.q:161", elsewhere))
    types.says("T5", "0.73", on_word(types.weights(2, 10), made))
    types.says("T5", "0.62", types.cost(reads))


def test_t6_it_brings_what_stands_at_set(types, made, elsewhere):
    node = "2.attn.v:166"
    types.says("T6", "-2.53", types.mean(node, made))
    types.says("T6", "-0.07", types.mean(node, elsewhere))
    types.says("T6", "0.65", types.cost([node]))
    types.says("T6", "0.23", types.p([node]).positive)
    types.says("T6", "0.94", types.p([node]).negative)


def test_t7_a_weaker_head_looks_at_the_empty_string(types, empty):
    types.wired("1.attn.act_in:124>1.attn.q:158", "1.attn.act_in:233>1.attn.k:158")
    types.says("T7", "0.53", on_word(types.weights(1, 9), empty))
    without = types.p(["1.attn.v:158"])
    types.says("T7", "0.94", types.p().negative)
    types.says("T7", "0.75", without.negative)
    types.says("T7", "0.85", without.positive)


def test_t8_both_write_one_channel_with_opposite_signs(types):
    for node, told in (
        ("2.attn.resid_delta:239", ("-0.41", "0.00")),
        ("1.attn.resid_delta:239", ("0.00", "0.36")),
    ):
        for number, measured in zip(told, types.ends(node), strict=True):
            types.says("T8", number, measured)
    types.wired(
        "2.attn.v:166>2.attn.resid_delta:239",
        "1.attn.v:158>1.attn.resid_delta:239",
    )
    effect = direct_effect(types.opened.model, Node.parse("2.attn.resid_delta:239"))
    add, grow = types.opened.batch.right[0], types.opened.batch.wrong[0]
    types.says("T8", "0.83", -float(effect[add]))
    types.says("T8", "0.80", float(effect[grow]))


def test_t9_what_the_final_channels_say(types):
    votes, n = channel_votes(types.opened), types.opened.batch.n_pairs
    swing = votes[:n].mean(0) - votes[n:].mean(0)
    types.says("T9", "2.4", float(swing[239]), 0.05)
    types.says("T9", "0.9", float(swing[254]), 0.05)
    types.says("T9", "4.4", float(swing.sum()), 0.05)
    writers = [n for n in types.opened.circuit.node_list if n.location.writes_residual]
    assert [str(n) for n in writers if n.channel == 254] == ["2.attn.resid_delta:254"]


def test_t10_the_value_causes_the_answer(types):
    held = types.p(["2.attn.v:166=-2.5"])
    types.says("T10", "0.94", types.p().negative)
    types.says("T10", "0.24", held.negative)
    assert held.positive > 0.9


def test_t11_the_set_path_does_nearly_all(types):
    nodes = types.opened.circuit.node_list
    strings = [*STRING_PATH, *(str(n) for n in nodes if str(n).startswith("1.attn"))]
    types.says("T11", "18", len(strings), 0)
    alone = types.opened.ablate(strings).after
    types.says("T11", "0.225", alone.loss, 6e-4)
    assert alone.accuracy == 1
    nothing = types.opened.ablate(nodes).after.loss
    share = (nothing - alone.loss) / (nothing - types.opened.of_circuit.loss)
    types.says("T11", "88", 100 * share, 0.6)
    other = [n for n in nodes if str(n) not in strings]
    types.says("T11", "43", len(other), 0)
    types.wired(*(f"2.attn.act_in:{channel}>2.attn.v:166" for channel in (15, 30, 130, 60)))
    reads = [n for n in nodes if str(n).startswith("0.mlp.act_in")]
    assert len(reads) == 16
    types.says("T11", "1.013", types.opened.ablate(other).after.loss, 6e-4)


def with_second(prompt: Prompt, made: str, after: bool) -> Prompt:
    """The prompt with a line ``seen = made`` beside the one that makes `current`."""
    lines = prompt.text.split("\n")
    at = next(i for i, line in enumerate(lines) if line.strip().startswith("current ="))
    indent = lines[at][: lines[at].index("current")]
    lines.insert(at + after, f"{indent}seen = {made}")
    return replace(prompt, text="\n".join(lines))


@pytest.mark.parametrize("after", [False, True])
def test_t12_a_second_variable_of_the_other_type_fools_circuit_and_model(types, pairs, after):
    fooled = types.on_pairs(
        Pair(with_second(p.positive, '""', after), with_second(p.negative, "set()", after))
        for p in pairs
    )
    circuit, model = fooled.p(), Answers.of(fooled.opened.of_model)
    types.says("T12", "0.94", types.p().negative)
    types.says("T12", "0.47", circuit.negative)
    types.says("T12", "0.85", types.p().positive)
    types.says("T12", "0.57", circuit.positive)
    types.says("T12", "0.44", model.negative, 0.02)
    types.says("T12", "0.51", model.positive, 0.015)


def test_t13_the_name_matters(types, pairs):
    def renamed(prompt: Prompt, name: str) -> Prompt:
        return replace(prompt, text=prompt.text.replace("current", name))

    for name, told in (("words", ("0.39", "0.92")), ("found", ("0.86", "0.97"))):
        other = types.on_pairs(
            Pair(renamed(p.positive, name), renamed(p.negative, name)) for p in pairs
        )
        types.says("T13", told[0], other.p().positive)
        types.says("T13", told[1], Answers.of(other.opened.of_model).positive)


def test_t14_distance_does_little(types, pairs):
    before = "".join(f"total = {i % 10}\n" for i in range(20))

    def late(prompt: Prompt) -> Prompt:
        return replace(prompt, text=before + prompt.text)

    moved = types.on_pairs(Pair(late(p.positive), late(p.negative)) for p in pairs)
    assert moved.opened.of_circuit.accuracy == 1
    types.says("T14", "0.53", moved.p().positive)
    types.says("T14", "0.82", moved.p().negative)
