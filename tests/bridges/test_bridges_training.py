"""Training bridges: terms against a loop over sites, L0 kept, the same bits after a stop."""

import dataclasses
import json
import threading

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from circuit_sparsity.bridges.bridge import Bridges, Pairing, Site
from circuit_sparsity.bridges.hybrids import hybrid_logits, residual_streams
from circuit_sparsity.bridges.objective import Weights, nmse, switching_rows, terms
from circuit_sparsity.bridges.settings import BridgeSettings
from circuit_sparsity.bridges.training import train_bridges
from circuit_sparsity.core.model import GPT
from circuit_sparsity.training.corpus import Corpus, CorpusSettings
from tests.bridges.rotated import D_DENSE, D_SPARSE, config, rotated_pair, some_tokens


def tiny_corpus() -> Corpus:
    text = torch.randint(24, (6000,), generator=torch.Generator().manual_seed(0))
    text = text.numpy().astype(np.uint16)
    settings = CorpusSettings(generated_share=0.5)
    return Corpus(settings, text[:4000], text[:4000], text[4000:], text[4000:], eot=23, stats={})


def tiny_settings(**changes) -> BridgeSettings:
    values = {
        "name": "tiny",
        "sparse": "sparse",
        "dense": "dense",
        "corpus": CorpusSettings(),
        "kept": 1.0,
        "steps": 12,
        "batch": 4,
        "context": 12,
        "ridge_tokens": 0,
        "evaluate_every": 6,
        "evaluate_tokens": 240,
        "checkpoint_every": 4,
    }
    return BridgeSettings(**(values | changes))


def thinned(model: GPT) -> GPT:
    """Three in four entries of each matrix gone."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(torch.rand(parameter.shape, generator=generator) < 0.25)
    return model


def test_the_terms_are_those_of_a_loop_over_sites_and_hybrids():
    """Every sequence switches at every site: nothing is sampled, so the sums are exact."""
    made = rotated_pair()
    torch.manual_seed(1)
    bridges = Bridges(Pairing.of(made.sparse.config, made.dense.config), D_SPARSE, D_DENSE, 7)
    bridges.requires_grad_(False)
    tokens, targets = some_tokens(5)[:, :-1], some_tokens(5)[:, 1:]
    found = terms(made.sparse, made.dense, bridges, tokens, targets, switches=4)
    ones, logits = residual_streams(made.sparse, tokens, bridges.pairing.sparse)
    others, wanted = residual_streams(made.dense, tokens, bridges.pairing.dense)
    expected = [float(F.cross_entropy(logits.flatten(0, 1), targets.flatten())), 0, 0, 0, 0]
    for bridge, site, one, other in zip(bridges, bridges.pairing.sparse, ones, others, strict=True):
        to_sparse = hybrid_logits(made.sparse, tokens, site, bridge.encode(other))
        to_dense = hybrid_logits(made.dense, tokens, site, bridge.decode(one))
        chances = wanted.softmax(-1)
        for i, x in ((3, to_sparse), (4, to_dense)):
            gap = wanted.log_softmax(-1) - x.log_softmax(-1)
            expected[i] += float((chances * gap).sum(-1).mean())
        expected[1] += float(nmse(bridge.encode(other), one))
        expected[2] += float(nmse(bridge.decode(one), other))
    assert found.values().tolist() == pytest.approx(expected, rel=1e-4)


def test_each_sequence_switches_at_as_many_sites_as_asked_and_in_the_end_at_all():
    seen = set()
    for step in range(4):
        rows = switching_rows(5, 4, 2, step)
        pairs = {(site, row) for site, at in enumerate(rows) for row in at.tolist()}
        assert len(pairs) == 10
        seen |= pairs
    assert len(seen) == 20


def test_joint_training_keeps_every_tensors_l0_and_lowers_the_objective(tmp_path):
    made = rotated_pair()
    sparse = thinned(made.sparse)
    before = {name: int((x != 0).sum()) for name, x in sparse.state_dict().items()}
    settings = tiny_settings(steps=80, batch=8, evaluate_every=20, bridge_learning_rate=3e-2)
    found = train_bridges(settings, sparse, made.dense, tiny_corpus(), tmp_path)
    after = {name: int((x != 0).sum()) for name, x in found.sparse.state_dict().items()}
    biases = {name for name in before if before[name] == 0}
    assert {n: c for n, c in after.items() if n not in biases} == {
        n: c for n, c in before.items() if n not in biases
    }
    assert torch.equal(found.sparse.bigram_table, sparse.bigram_table)
    lines = [json.loads(line) for line in (tmp_path / "progress.json").read_text().splitlines()]
    names = ("nmse_to_sparse", "nmse_to_dense", "kl_to_sparse", "kl_to_dense")
    assert sum(lines[-1][n] for n in names) < 0.7 * sum(lines[0][n] for n in names)


def test_bridges_alone_leave_both_models_as_they_are(tmp_path):
    made = rotated_pair()
    states = [{k: x.clone() for k, x in m.state_dict().items()} for m in (made.sparse, made.dense)]
    settings = tiny_settings(joint=False, steps=60, batch=8, bridge_learning_rate=3e-2)
    found = train_bridges(settings, made.sparse, made.dense, tiny_corpus(), tmp_path)
    for model, state in (
        (found.sparse, states[0]),
        (made.sparse, states[0]),
        (made.dense, states[1]),
    ):
        assert all(torch.equal(x, state[name]) for name, x in model.state_dict().items())


def test_a_run_that_starts_from_ridge_regression_of_a_rotated_pair_has_nothing_to_learn(tmp_path):
    made = rotated_pair()
    settings = tiny_settings(joint=False, steps=1, evaluate_every=1, ridge_tokens=4000, ridge=1e-9,
                             bridge_learning_rate=1e-9)  # fmt: skip
    lines = []
    train_bridges(settings, made.sparse, made.dense, tiny_corpus(), tmp_path, lines.append)
    assert lines[0]["nmse_to_sparse"] < 1e-4
    assert lines[0]["loss_sparse_to_dense/1.mlp"] == pytest.approx(lines[0]["loss_dense"], abs=1e-4)


@pytest.mark.parametrize("joint", [True, False])
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path, joint):
    made, corpus = rotated_pair(), tiny_corpus()
    settings = tiny_settings(joint=joint)
    whole = train_bridges(settings, made.sparse, made.dense, corpus, tmp_path / "whole")
    stop = threading.Event()
    report = lambda line: stop.set()  # noqa: E731 - after the first line, step 6
    part = train_bridges(settings, made.sparse, made.dense, corpus, tmp_path / "a", report, stop)
    assert part.step == 6
    again = train_bridges(settings, made.sparse, made.dense, corpus, tmp_path / "a")
    assert again.step == 12
    for one, other in ((whole.bridges, again.bridges), (whole.sparse, again.sparse)):
        for name, x in one.state_dict().items():
            assert torch.equal(x, other.state_dict()[name]), name


def test_a_second_run_begins_with_the_weights_that_the_first_ended_with(tmp_path):
    made, corpus = rotated_pair(), tiny_corpus()
    first = train_bridges(tiny_settings(), made.sparse, made.dense, corpus, tmp_path / "a")
    still = tiny_settings(start_from="a", steps=1, learning_rate=0.0, bridge_learning_rate=0.0)
    second = train_bridges(still, made.sparse, made.dense, corpus, tmp_path / "b")
    for one, other in ((first.bridges, second.bridges), (first.sparse, second.sparse)):
        for name, x in one.state_dict().items():
            assert torch.equal(x, other.state_dict()[name]), name
    with pytest.raises(ValueError, match="which is not there: train that first"):
        train_bridges(
            tiny_settings(start_from="c"), made.sparse, made.dense, corpus, tmp_path / "d"
        )
    assert not (tmp_path / "d").exists()


def test_a_folder_of_other_settings_is_refused(tmp_path):
    made, corpus = rotated_pair(), tiny_corpus()
    train_bridges(tiny_settings(steps=1), made.sparse, made.dense, corpus, tmp_path)
    with pytest.raises(ValueError, match="belongs to a run with other settings"):
        train_bridges(tiny_settings(steps=2), made.sparse, made.dense, corpus, tmp_path)


def test_layers_may_differ_with_a_stated_pairing(tmp_path):
    made = rotated_pair()
    deeper = GPT(config(D_DENSE, n_layer=3))
    deeper.initialise(3)
    with pytest.raises(ValueError, match="2 layers and the dense one 3: say which sites"):
        train_bridges(tiny_settings(), made.sparse, deeper, tiny_corpus(), tmp_path / "none")
    settings = tiny_settings(steps=2, pairing=("0.attn=0.attn", "1.mlp=2.mlp"))
    found = train_bridges(settings, made.sparse, deeper, tiny_corpus(), tmp_path)
    assert found.bridges.pairing.pairs == ((Site(0, "attn"),) * 2, (Site(1, "mlp"), Site(2, "mlp")))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pairing": ("0.attn=1.attn", "1.mlp=0.mlp")}, "goes back or names a site twice"),
        ({"pairing": ("0.attn=9.attn",)}, "9.attn of the dense model, which has 2 layers"),
        ({"pairing": ("0.attn",)}, "not a pair of sites: '0.attn'"),
        ({"context": 99}, "context is 99 tokens; expected at most 16"),
    ],
)
def test_what_does_not_fit_is_said_before_work_begins(tmp_path, changes, said):
    made = rotated_pair()
    with pytest.raises(ValueError, match=said):
        train_bridges(
            tiny_settings(**changes), made.sparse, made.dense, tiny_corpus(), tmp_path / "run"
        )
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_no_number_stops_the_run_and_leaves_the_last_checkpoint(tmp_path):
    made = rotated_pair()
    with torch.no_grad():
        made.dense.lm_head.weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match="step 0: nmse_to_sparse|step 0: .* is not finite"):
        train_bridges(tiny_settings(), made.sparse, made.dense, tiny_corpus(), tmp_path)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_settings_are_closed_and_survive_json():
    settings = tiny_settings(weights=Weights(nmse=2.0), pairing=("0.attn=0.attn",))
    again = BridgeSettings.from_dict(json.loads(json.dumps(settings.to_dict())))
    assert again == settings
    with pytest.raises(ValueError, match="BridgeSettings has no setting stepz"):
        BridgeSettings.from_dict(settings.to_dict() | {"stepz": 1})
    with pytest.raises(ValueError, match="kept is a share above 0"):
        dataclasses.replace(settings, kept=0.0)
    with pytest.raises(ValueError, match="the weight nmse is -1.0"):
        Weights(nmse=-1.0)
