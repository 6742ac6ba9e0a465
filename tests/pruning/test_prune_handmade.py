"""The pruner on models whose circuit is known from paper."""

import dataclasses
import itertools
import json
import threading
from collections.abc import Callable

import pytest
import torch

from circuit_sparsity.core.hooks import Hook
from circuit_sparsity.experiment.experiment import Cancelled, Experiment
from circuit_sparsity.pruning.answers import margins
from circuit_sparsity.pruning.find import Cut, TargetNotReached, find, name_of, rank
from circuit_sparsity.pruning.learn import Snapshot, reach, schedule
from circuit_sparsity.pruning.ranking import Ranking
from circuit_sparsity.pruning.settings import PUBLISHED, QUICK, Goal, PruneSettings
from circuit_sparsity.pruning.subject import Subject
from circuit_sparsity.tasks.task import TaskBatch
from tests.handmade import LN2, MARGIN_OF_4, HandMade, marked_model, sign_model, softplus

SHORT = PruneSettings(steps=60, learning_rate=1e-2)
MODELS = pytest.mark.parametrize(
    "make", [sign_model, marked_model, lambda: marked_model(sink=True)], ids=["sign", "key", "sink"]
)


def subject_of(made: HandMade) -> Subject:
    return Subject(made.model, made.means, made.batch, made.batch, "handmade", "hand")


def experiment(made: HandMade) -> Experiment:
    return Experiment(made.circuit, made.model, made.means, made.batch)


def test_losses_of_the_sign_model_are_those_on_paper() -> None:
    opened = experiment(sign_model())
    assert opened.of_circuit.loss == pytest.approx(MARGIN_OF_4, abs=1e-6)
    assert opened.of_nothing.loss == pytest.approx(LN2, abs=1e-6)
    # The whole model ends at (1, 3) or (-1/2, -3): channel 1 is read as 3 over the RMS.
    whole = [softplus(-(8**0.5) * 3 / rms) for rms in (5**0.5, (9.25 / 2) ** 0.5)]
    assert opened.of_model.loss == pytest.approx(sum(whole) / 2, abs=1e-6)
    effects = {str(e.parts[0]): e.after.loss for e in opened.ablate_each(opened.circuit.node_list)}
    # Without its read the neuron is silent: both signs write -3, a margin of -4 or 4.
    assert effects.pop("0.mlp.act_in:0") == pytest.approx((softplus(4) + MARGIN_OF_4) / 2)
    # At its mean of 1/2 the neuron writes 0: nothing to tell the answers apart.
    assert list(effects.values()) == pytest.approx([LN2] * 3, abs=1e-6)


def test_a_part_that_meets_a_target_which_the_whole_model_misses_is_found() -> None:
    made = sign_model()
    subject, loss_of_the_whole = subject_of(made), experiment(made).of_model.loss
    assert MARGIN_OF_4 < 0.019 < loss_of_the_whole
    scores = subject.layout.join(made.circuit.masks(made.model.config)).float()
    cut = Cut(subject, Ranking(scores, subject.layout.size, SHORT, (), 0.0))
    assert set(map(str, cut.circuit(Goal(0.019)).node_list)) == set(made.nodes)


@pytest.mark.parametrize("sink", [False, True])
def test_losses_of_the_marked_model_are_those_on_paper(sink: bool) -> None:
    opened = experiment(marked_model(sink))
    assert opened.of_circuit.loss == pytest.approx(MARGIN_OF_4, abs=1e-6)
    # The whole model ends at (0, ±3, 0, sqrt 2): channel 1 is read as 3 over sqrt(11/4).
    assert opened.of_model.loss == pytest.approx(softplus(-2 * 3 / 2.75**0.5), abs=1e-4)
    effects = {str(e.parts[0]): e.after.loss for e in opened.ablate_each(opened.circuit.node_list)}
    averaged = (MARGIN_OF_4 + LN2) / 2  # the signs agree in half of the prompts
    for node in ("0.attn.act_in:2", "0.attn.k:0"):
        assert effects.pop(node) == pytest.approx(averaged, abs=1e-5)
    assert list(effects.values()) == pytest.approx([LN2] * 4, abs=1e-6)


@MODELS
@pytest.mark.parametrize(
    "settings",
    [
        SHORT,
        QUICK,
        dataclasses.replace(SHORT, penalty="log_nodes", k_coef=0.0048, seed=3),
        dataclasses.replace(SHORT, steer=0.05),
    ],
    ids=["masks", "attribution", "log_k", "steered"],
)
def test_pruning_finds_exactly_the_circuit(
    make: Callable[[], HandMade], settings: PruneSettings
) -> None:
    made = make()
    circuit = find(subject_of(made), settings, target=0.15)
    assert set(map(str, circuit.node_list)) == set(made.nodes)
    assert circuit.found.loss == pytest.approx(MARGIN_OF_4, abs=1e-6)
    assert circuit.means_hash == made.means.hash


def test_a_looser_target_gives_the_smaller_circuit_that_averages() -> None:
    made = marked_model()
    circuit = find(subject_of(made), SHORT, target=0.4)
    assert set(map(str, circuit.node_list)) == set(made.nodes) - {"0.attn.act_in:2", "0.attn.k:0"}


def every_subset(subject: Subject) -> tuple[torch.Tensor, torch.Tensor]:
    """All masks over the nodes, and the loss of each: every mask is a row of a large batch."""
    size, n = subject.layout.size, len(subject.evaluation)
    kept = torch.tensor(list(itertools.product((False, True), repeat=size)))
    losses = [_losses(subject, part, n) for part in kept.split(4096)]
    return kept, torch.cat(losses)


def _losses(subject: Subject, kept: torch.Tensor, n: int) -> torch.Tensor:
    batch = subject.evaluation
    many = TaskBatch(
        *(x.repeat(len(kept), *[1] * (x.dim() - 1)) for x in (batch.tokens, batch.last)),
        *(x.repeat(len(kept)) for x in (batch.right, batch.wrong)),
    )
    parts = kept.repeat_interleave(n, dim=0)[:, None].split(subject.layout.widths, dim=-1)
    masks = dict(zip(map(str, subject.layout.locations), parts, strict=True))
    means = subject.layout.views(subject.mean_vector)
    hook: Hook = lambda name, x: torch.where(masks[name], x, means[name]) if name in masks else x  # noqa: E731
    found = margins(subject.model, many, hook)
    return torch.nn.functional.softplus(-found).view(len(kept), n).mean(dim=1)


def test_no_subset_of_sixteen_nodes_is_smaller_than_what_pruning_finds() -> None:
    subject = subject_of(sign_model())
    kept, losses = every_subset(subject)
    smallest = kept[losses <= 0.15].sum(dim=1).min()
    best = kept[(losses <= 0.15) & (kept.sum(dim=1) == smallest)]
    assert len(kept) == 65536
    assert len(best) == 1
    for settings in (SHORT, QUICK):
        circuit = find(subject, settings, target=0.15)
        assert subject.layout.nodes(best[0]) == dict(circuit.nodes)


@MODELS
def test_k_nodes_are_k_nodes(make: Callable[[], HandMade]) -> None:
    subject = subject_of(make())
    cut = Cut(subject, rank(subject, QUICK))
    sizes = [cut.circuit(Goal(k=k)).size for k in range(1, subject.layout.size + 1)]
    assert sizes == list(range(1, subject.layout.size + 1))


def test_at_the_circuits_own_size_exact_k_is_the_circuit() -> None:
    made = sign_model()
    assert set(map(str, find(subject_of(made), SHORT, k=4).node_list)) == set(made.nodes)


def test_the_same_request_gives_the_same_circuit_and_another_seed_another_name() -> None:
    subject = subject_of(marked_model())
    first, again = (find(subject, SHORT, k=7) for _ in range(2))
    assert first.nodes == again.nodes
    assert first.found.history == again.found.history
    other = find(subject, dataclasses.replace(SHORT, seed=1), k=7)
    assert other.k != first.k
    assert other.found.history != first.found.history


def test_names_tell_size_seed_and_settings_apart() -> None:
    chosen = [PruneSettings(), PruneSettings(seed=1), QUICK, PUBLISHED, PruneSettings(steps=7)]
    assert len({name_of(64, settings) for settings in chosen}) == len(chosen)
    assert name_of(64, PruneSettings(seed=2)) == "k64_seed2"


@pytest.mark.parametrize("stage", ["masks", "size"])
def test_cancel_stops_at_the_next_step(stage: str) -> None:
    cancel, seen = threading.Event(), []

    def report(snapshot: Snapshot) -> None:
        seen.append(snapshot.stage)
        if snapshot.stage == stage:
            cancel.set()

    with pytest.raises(Cancelled, match="stopped after"):
        find(subject_of(sign_model()), SHORT, report=report, cancel=cancel)
    assert seen.count(stage) == 1


def test_a_model_that_requires_gradients_gets_none() -> None:
    made = sign_model()
    made.model.requires_grad_(True)
    find(subject_of(made), PruneSettings(steps=2), k=4)
    find(subject_of(made), QUICK, k=4)
    assert all(parameter.grad is None for parameter in made.model.parameters())


@pytest.mark.parametrize("k", [0, 17])
def test_a_k_that_the_model_does_not_have_is_refused_before_any_work(k: int) -> None:
    def report(snapshot: Snapshot) -> None:
        raise AssertionError("work was done")

    with pytest.raises(ValueError, match=f"of {k} nodes .* handmade has 16 nodes"):
        find(subject_of(sign_model()), SHORT, k=k, report=report)


def test_a_target_out_of_reach_says_the_lowest_loss() -> None:
    with pytest.raises(TargetNotReached, match=r"0\.001 or less: the lowest was 0\.0181") as caught:
        find(subject_of(sign_model()), QUICK, target=0.001)
    assert caught.value.nodes == 4
    assert caught.value.lowest == pytest.approx(MARGIN_OF_4, abs=1e-6)


def test_target_and_k_together_are_refused() -> None:
    with pytest.raises(ValueError, match="give one"):
        find(subject_of(sign_model()), SHORT, target=0.1, k=4)


def test_prompts_longer_than_the_context_are_refused() -> None:
    made = sign_model()
    long = dataclasses.replace(made.batch, tokens=torch.ones(4, 9, dtype=torch.long))
    with pytest.raises(ValueError, match="has 9 tokens; the context of handmade is 8"):
        Subject(made.model, made.means, long, made.batch, "handmade", "hand")


def test_what_is_found_is_json() -> None:
    circuit = find(subject_of(sign_model()), PruneSettings(steps=12, calibrate=True), k=4)
    found = json.loads(json.dumps(circuit.found.to_dict()))
    assert PruneSettings.from_dict(found["settings"]) == PruneSettings(steps=12, calibrate=True)
    assert [line["step"] for line in found["history"]] == [1, 11, 12]


def test_a_target_is_met_on_the_validation_prompts_too() -> None:
    made = marked_model()
    batch, rows = made.batch, [0, 3]  # the prompts whose two signs agree
    agreeing = TaskBatch(*(x[rows] for x in (batch.tokens, batch.last, batch.right, batch.wrong)))
    without_key = {"0.attn.act_in:0", "0.attn.v:0", "0.attn.resid_delta:1", "final_resid:1"}
    easy = Subject(made.model, made.means, made.batch, agreeing, "handmade", "hand")
    assert set(map(str, find(easy, QUICK, target=0.15).node_list)) == without_key
    both = dataclasses.replace(easy, validation=made.batch)
    circuit = find(both, QUICK, target=0.15)
    assert set(map(str, circuit.node_list)) == set(made.nodes)
    assert circuit.found.validation_loss == pytest.approx(MARGIN_OF_4, abs=1e-6)


@pytest.mark.parametrize("settings", [SHORT, QUICK], ids=["masks", "attribution"])
def test_a_search_begins_with_the_nodes_of_a_given_circuit(settings: PruneSettings) -> None:
    made = marked_model()
    subject = subject_of(made)
    seen: list[Snapshot] = []
    start = made.circuit
    found = find(subject, settings, k=start.size, start=start, report=seen.append)
    assert found.nodes == start.nodes
    assert found.found.start == start.title
    assert found.k.endswith(f"_from_{start.k}")
    masks = [snapshot for snapshot in seen if snapshot.stage == "masks"]
    assert all(snapshot.nodes <= start.size for snapshot in masks[:1])


def test_a_search_that_begins_with_too_few_nodes_takes_others_in() -> None:
    made = marked_model()
    subject = subject_of(made)
    start = made.circuit.without(made.circuit.node_list[:1])
    for settings in (dataclasses.replace(SHORT, steps=120), QUICK):
        found = find(subject, settings, target=0.15, start=start)
        assert set(made.nodes) <= set(map(str, found.node_list))


@pytest.mark.parametrize("settings", [PruneSettings(), PUBLISHED], ids=["fast", "published"])
def test_a_mask_that_can_no_longer_rise_stays_off_whatever_its_gradient(
    settings: PruneSettings,
) -> None:
    """The worst that Adam can do: the other way until then, and from then on straight up."""
    for step in (settings.steps // 3, settings.steps // 2):
        tau = torch.tensor([-reach(step, settings)])
        before = float(tau)
        rate = settings.learning_rate
        adam = torch.optim.AdamW([tau], lr=rate, betas=(0.9, 0.95), weight_decay=0.0)
        for later in range(settings.steps):
            tau.grad = torch.tensor([1e-9 if later < step else -(1.05 ** (later - step))])
            adam.param_groups[0]["lr"] = 0.0 if later < step else rate * schedule(later, settings)
            adam.step()
        assert before < float(tau) <= 0.0
