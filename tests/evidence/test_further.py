"""Resampling, adversaries, reasons and other tasks, by hand and against plain dense runs."""

import dataclasses
import json
import threading
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from circuit_sparsity.evidence.adversary import Adversary, adversary
from circuit_sparsity.evidence.evidence import Evidence
from circuit_sparsity.evidence.further import measure_further
from circuit_sparsity.evidence.measures import first_pairs, measure
from circuit_sparsity.evidence.reasons import HeadAgreement, Reasons, reasons
from circuit_sparsity.evidence.resample import OTHER_SIDE, OTHER_TEXT, resample_ablation
from circuit_sparsity.evidence.rest import part_of_rest
from circuit_sparsity.evidence.specific import OnTask, Specific, specific
from circuit_sparsity.experiment.experiment import Cancelled, Experiment
from circuit_sparsity.experiment.opening import open_circuit, open_tokenizer
from circuit_sparsity.store import Store
from circuit_sparsity.tasks import TASKS
from tests.handmade import MARGIN_OF_4, HandMade, circuit_of, marked_model, sign_model


def experiment(made: HandMade) -> Experiment:
    return Experiment(made.circuit, made.model, made.means, made.batch)


@pytest.fixture(scope="module")
def shipped() -> Experiment:
    return first_pairs(open_circuit("starter", "single_double_quote", "full", "k24_seed0_full"), 4)


def plain_loss(opened: Experiment, fill) -> float:
    """The loss with ``fill`` as a hook, prompt by prompt, without padding, by GPT.forward alone."""
    losses = []
    for row in range(len(opened.batch)):
        end = int(opened.batch.last[row]) + 1
        tokens = opened.batch.tokens[row : row + 1, :end]
        with torch.no_grad():
            residual, _ = opened.model.residual(tokens, fill(row, end))
            logits = opened.model.unembed(residual[:, -1], tokens[:, -1])[0]
        margin = logits[opened.batch.right[row]] - logits[opened.batch.wrong[row]]
        losses.append(float(F.softplus(-margin)))
    return sum(losses) / len(losses)


def test_the_other_side_gives_a_circuit_that_reads_nothing_the_other_answer() -> None:
    made = sign_model()
    nothing = dataclasses.replace(experiment(made), circuit=circuit_of(made.model.config, ()))
    found = resample_ablation(nothing).losses
    # With all of it from the other prompt, the model answers that prompt: every margin turned.
    logits, rows = nothing.logits(None), range(4)
    margins = logits[rows, made.batch.right] - logits[rows, made.batch.wrong]
    turned = float(F.softplus(margins).mean())
    assert found[OTHER_SIDE] == pytest.approx(turned, abs=1e-5)
    whole = experiment(made)
    found = resample_ablation(whole).losses
    assert found["mean"] == pytest.approx(MARGIN_OF_4, abs=1e-5)


def test_resampled_losses_are_those_of_a_plain_run_prompt_by_prompt(shipped: Experiment) -> None:
    windows = torch.randint(0, 500, (3, 40), generator=torch.Generator().manual_seed(1))
    found = resample_ablation(shipped, windows).losses
    alive = {str(place): mask for place, mask in shipped.alive.items()}
    n = shipped.batch.n_pairs

    def record(tokens: Tensor) -> Mapping[str, Tensor]:
        seen: dict[str, Tensor] = {}

        def hook(name: str, x: Tensor) -> Tensor:
            seen[name] = x
            return x

        with torch.no_grad():
            shipped.model.residual(tokens, hook)
        return seen

    def other_side(row: int, end: int):
        other = (row + n) % (2 * n)
        source = shipped.batch.tokens[other : other + 1, : int(shipped.batch.last[other]) + 1]
        return from_source(record(source), source.shape[1], end)

    def other_text(row: int, end: int):
        return from_source(record(windows[row % 3][None]), 40, end)

    def from_source(seen: Mapping[str, Tensor], length: int, end: int):
        places = [max(0, length - end + p) for p in range(end)]

        def hook(name: str, x: Tensor) -> Tensor:
            if name not in alive:
                return x
            return torch.where(alive[name], x, seen[name][:, places])

        return hook

    assert found[OTHER_SIDE] == pytest.approx(plain_loss(shipped, other_side), abs=1e-5)
    assert found[OTHER_TEXT] == pytest.approx(plain_loss(shipped, other_text), abs=1e-5)


def test_part_of_the_rest_is_that_of_a_plain_run_prompt_by_prompt(shipped: Experiment) -> None:
    found = part_of_rest(shipped, shares=(0.25,), draws=1).shares[0]
    kept = torch.cat(tuple(shipped.alive.values()))
    # The draw, spelled out: a number for each node, the lowest quarter of those outside goes.
    order = torch.rand(len(kept), generator=torch.Generator().manual_seed(0)).tolist()
    outside = sorted((order[i], i) for i in range(len(kept)) if not kept[i])
    mask = torch.ones_like(kept)
    for _, node in outside[: round(0.25 * len(outside))]:
        mask[node] = False
    parts = dict(zip(map(str, shipped.alive), mask.split([len(m) for m in shipped.alive.values()]),
                     strict=True))  # fmt: skip
    means = {str(place): mean for place, mean in shipped.means.values.items()}

    def fill(row: int, end: int):
        return lambda name, x: torch.where(parts[name], x, means[name]) if name in parts else x

    assert found.losses[0] == pytest.approx(plain_loss(shipped, fill), abs=1e-5)


def test_the_worst_single_node_outside_is_found() -> None:
    made = sign_model()
    # Of the circuit only the read is kept: each of the other three breaks the answer alone.
    part = dataclasses.replace(
        experiment(made), circuit=circuit_of(made.model.config, ("0.mlp.act_in:0",))
    )
    found = adversary(part, budgets=(1,), random_sets=0)
    every = []
    for place, mask in part.alive.items():
        for channel in range(len(mask)):
            if not mask[channel]:
                alive = {p: torch.ones_like(m) for p, m in part.alive.items()}
                alive[place][channel] = False
                every.append(part.run(alive).loss)
    assert found.losses[0] == pytest.approx(max(every), abs=1e-6)
    assert found.whole == pytest.approx(part.of_model.loss)


def test_a_circuit_that_holds_all_there_is_cannot_be_hurt_much() -> None:
    found = adversary(experiment(sign_model()), budgets=(1, 2, 64), random_sets=1)
    assert found.budgets == (1, 2)  # there are 12 outside
    assert max(found.losses) < 0.1
    assert len(found.random) == 1


def test_the_circuit_of_a_head_looks_where_its_model_looks() -> None:
    made = marked_model()
    found = reasons(experiment(made))
    assert [(one.layer, one.head) for one in found.heads] == [(0, 0)]
    assert found.heads[0].variation == pytest.approx(0, abs=1e-5)
    assert found.writes[0].cosine == pytest.approx(1, abs=1e-5)
    assert "look where they look" in found.words
    # Without its key the head averages three tokens; in the model it looks at the marked one.
    without = tuple(node for node in made.nodes if node != "0.attn.k:0")
    blind = dataclasses.replace(experiment(made), circuit=circuit_of(made.model.config, without))
    found = reasons(blind)
    assert found.heads[0].variation == pytest.approx(2 / 3, abs=1e-3)
    assert "head 0 of layer 0" in found.words


def test_a_circuit_that_another_task_needs_more_is_red() -> None:
    own, other = OnTask("mine", 1.0, 0.1, 0.6), OnTask("theirs", 1.0, 0.1, 0.9)
    assert Specific((own,)).trouble is None
    assert Specific((other, own)).trouble is None
    assert "theirs" in (Specific((own, other)).trouble or "")


def test_other_tasks_run_the_model_without_the_circuit(shipped: Experiment) -> None:
    tokenizer = open_tokenizer(Store.from_environment(), "starter")
    tasks = {name: TASKS[name] for name in ("single_double_quote", "bracket_counting")}
    found = specific(shipped, tasks, tokenizer, pairs=4).tasks
    assert found[0].task == "single_double_quote"
    own = dataclasses.replace(shipped)
    assert found[0].necessity == pytest.approx(own.of_complement.loss, abs=1e-5)


def test_further_parts_are_stored_read_back_and_cancelled(shipped: Experiment) -> None:
    tokenizer = open_tokenizer(Store.from_environment(), "starter")
    before, seen = measure(shipped, draws=0), []
    parts = ("resampled", "reasons")
    found = measure_further(
        before, shipped, tokenizer, None, parts, lambda done, of: seen.append((done, of))
    )
    assert seen[-1] == (7, 7)
    again = Evidence.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again == found
    assert isinstance(again.reasons, Reasons)
    assert isinstance(again.reasons.heads[0], HeadAgreement)
    with pytest.raises(ValueError, match="no part of evidence nonsense"):
        measure_further(before, shipped, tokenizer, None, ("nonsense",))
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled, match="stopped after 0 of 7"):
        measure_further(before, shipped, tokenizer, None, parts, cancel=cancel)


def test_an_adversary_is_told_in_a_line() -> None:
    told = Adversary("prompts", (1, 2), 0.1, (0.2, 0.3), ()).words
    assert "1 nodes 0.200, 2 nodes 0.300" in told
