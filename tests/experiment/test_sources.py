"""Steps at tokens and from other prompts, on a real circuit: against hooks written by hand."""

from dataclasses import replace

import pytest
import torch

from circuit_sparsity.circuits.positions import Positions
from circuit_sparsity.circuits.recipe import Level, Recipe, Step
from circuit_sparsity.core.hooks import Recorder, no_hook
from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.experiment import Outcome
from circuit_sparsity.experiment.opening import open_circuit
from circuit_sparsity.experiment.recipes import effects, in_whole_model, on_pair
from circuit_sparsity.experiment.sources import resampled, token_rows
from circuit_sparsity.runtime.ablation import answer_logits, mean_fill
from circuit_sparsity.tasks.alignment import counterparts
from circuit_sparsity.tasks.task import two_way_loss

NODES = ("0.attn.k:210", "0.attn.act_in:22", "final_resid:175")


@pytest.fixture(scope="module")
def circuit():
    opened = open_circuit("starter", "single_double_quote", "prune", "k44_seed0")
    return replace(opened, batch=opened.batch.select(range(4)))


def by_hand(circuit, node, at, other=None, whole=False, value=None):
    """Losses with a node replaced at the tokens ``at(prompt, row)`` by its value on ``other``."""
    model, batch, node = circuit.model, circuit.batch, Node.parse(node)
    hook = no_hook if whole else mean_fill(circuit.alive, circuit.means)
    rows = token_rows(batch)
    patched = {}
    for i, row in enumerate(rows):
        recorder = Recorder(str(node.location).replace(".", r"\.") + "$")
        source = row if other is None else other(i)
        with torch.no_grad():
            answer_logits(
                model,
                torch.tensor([source]),
                torch.tensor([len(source) - 1]),
                lambda name, x, r=recorder: r(name, hook(name, x)),
            )
        values = recorder.tensors[str(node.location)][0, :, node.channel]
        for pos, place in enumerate(counterparts(row, source)):
            if at(i, pos, row) and place >= 0:
                patched[i, pos] = values[place] if value is None else value

    def write(name, x):
        x = hook(name, x)
        if name == str(node.location):
            x = x.clone()
            for (i, pos), value in patched.items():
                x[i, pos, node.channel] = value
        return x

    with torch.no_grad():
        logits = answer_logits(model, batch.tokens, batch.last, write)
    return two_way_loss(logits, batch.right, batch.wrong)


def pair_of(circuit):
    rows = token_rows(circuit.batch)
    return lambda i: rows[(i + len(rows) // 2) % len(rows)]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("node", NODES)
def test_a_step_from_the_pair_is_a_hook_written_by_hand(circuit, node, whole):
    ways = {
        "": lambda i, pos, row: True,
        "@last": lambda i, pos, row: pos == len(row) - 1,
        "@2-5": lambda i, pos, row: 2 <= pos <= 5,
    }
    for written, at in ways.items():
        recipe = Recipe.parse([f"{node}{written}=pair"])
        found = in_whole_model(circuit, recipe) if whole else circuit.apply(recipe).after
        wanted = by_hand(circuit, node, at, pair_of(circuit), whole)
        assert found.losses == pytest.approx(wanted.numpy(), abs=1e-4)


def test_constants_can_be_held_at_single_tokens(circuit):
    node = Node.parse(NODES[0])
    mean = float(circuit.means.values[node.location][node.channel])
    last = lambda i, pos, row: pos == len(row) - 1  # noqa: E731
    for level, value in (("", mean), ("=zero", 0.0), ("=1.5", 1.5)):
        found = circuit.apply(Recipe.parse([f"{node}@last{level}"])).after
        assert found.losses == pytest.approx(
            by_hand(circuit, NODES[0], last, value=value).numpy(), abs=1e-4
        )
    token = circuit.tokenizer.decode([int(circuit.batch.tokens[0, 3])])
    step = Step(node, level=Level("zero"), positions=Positions("token", token=token))
    found = circuit.apply(Recipe((step,)))
    id_ = circuit.tokenizer.encode(token)[0]
    wanted = by_hand(circuit, NODES[0], lambda i, pos, row: row[pos] == id_, value=0.0)
    assert found.after.losses == pytest.approx(wanted.numpy(), abs=1e-4)


def test_a_resampled_prompt_is_another_one_of_the_task_by_its_seed(circuit):
    rows, other = token_rows(circuit.batch), resampled(circuit.batch, 3).tolist()
    assert sorted(other) == list(range(8))
    assert all(i != j for i, j in enumerate(other))
    found = circuit.apply(Recipe.parse(["0.attn.act_in:22=resample:3"])).after
    wanted = by_hand(circuit, NODES[1], lambda *_: True, lambda i: rows[other[i]])
    assert found.losses == pytest.approx(wanted.numpy(), abs=1e-4)


def test_a_prompt_of_ones_own_is_a_source(circuit):
    text = 'print("one"); print("two'
    step = Step(Node.parse(NODES[1]), level=Level("prompt", text=text))
    assert Step.parse(str(step)) == step
    tokens = circuit.tokenizer.encode(text)
    wanted = by_hand(circuit, NODES[1], lambda *_: True, lambda i: tokens)
    assert circuit.apply(Recipe((step,))).after.losses == pytest.approx(wanted.numpy(), abs=1e-4)


def test_all_kept_nodes_from_the_pair_turn_the_answer_into_the_others(circuit):
    recipe = Recipe.parse([f"{node}=pair" for node in circuit.circuit.node_list])
    after, n = circuit.apply(recipe).after.losses, circuit.batch.n_pairs
    before = circuit.of_circuit.losses.roll(n)  # of the other prompt, whose answers are swapped
    wanted = -torch.log1p(-(-before).exp())  # what was the right answer is now the wrong one
    assert after == pytest.approx(wanted.numpy(), abs=1e-3)


def test_single_cumulative_and_interaction_effects_are_as_of_any_recipe(circuit):
    steps = ["0.attn.k:210@last=pair", "0.attn.act_in:22@2-5=zero", "0.attn.q:210"]
    found = effects(circuit, Recipe.parse(steps))
    alone = [circuit.apply(Recipe.parse([step])).delta for step in steps]
    assert [step.alone for step in found.steps] == pytest.approx(alone, abs=1e-6)
    assert found.delta == pytest.approx(circuit.apply(Recipe.parse(steps)).delta, abs=1e-6)


def test_an_edge_from_the_pair_at_all_tokens_of_a_node_with_one_reader_is_the_node(circuit):
    readers = {}
    for edge in circuit.edges:
        readers.setdefault(edge.source, []).append(edge)
    source, (edge,) = next(
        (source, found)
        for source, found in readers.items()
        if len(found) == 1 and source.location.kind == "act_in"
    )
    node = circuit.apply(Recipe.parse([f"{source}=pair"])).after.losses
    assert circuit.apply(Recipe.parse([f"{edge}=pair"])).after.losses == pytest.approx(
        node.numpy(), abs=1e-3
    )


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("0.attn.k:210@400=zero", "position 400 is outside prompt"),
        ("0.attn.k:210@soon", "not a position"),
        ("0.attn.k:210@'zzzz'", "expected the text of one token"),
        ("0.attn.k:211@last=pair", "does not keep"),
        ("0.attn.k:210=resample:-1", "not a step"),
        ("0.attn.k:210=prompt:", "not a step"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(circuit, step, said):
    with pytest.raises(ValueError, match=said):
        circuit.apply(Recipe.parse([step]))


def test_a_part_is_changed_once_at_a_token_and_only_constants_hold_on_any_text(circuit):
    with pytest.raises(ValueError, match="twice at one token"):
        circuit.apply(Recipe.parse(["0.attn.k:210@last=pair", "0.attn.k:210=zero"]))
    with pytest.raises(ValueError, match="more than once"):
        Recipe.parse(["0.attn.k:210@3=pair", "0.attn.k:210@3=zero"])
    with pytest.raises(ValueError, match="on any text"):
        circuit.changes(Recipe.parse(["0.attn.k:210@last"]))
    without = replace(circuit, tokenizer=None)
    with pytest.raises(ValueError, match="no tokenizer"):
        without.apply(Recipe.parse(["0.attn.k:210@'x'"]))


def test_one_pair_is_enough(circuit):
    one = on_pair(circuit, 1)
    found = one.apply(Recipe.parse(["final_resid:175@last=pair"])).after
    assert isinstance(found, Outcome)
    assert len(found.losses) == 2


def test_recipes_with_tokens_and_sources_are_written_and_read_again():
    steps = (
        "0.attn.k:210@7=pair",
        "0.attn.k:210@last*2",
        "0.attn.k:210@'%20open%3E%27'=resample:4",
        "0.attn.act_in:22>0.attn.k:210@2-3=prompt:'x%20%3D%20%22'",
    )
    recipe = Recipe.parse(steps)
    assert tuple(map(str, recipe)) == steps
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    assert recipe.steps[2].positions.token == " open>'"
