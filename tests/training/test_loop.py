"""Training: schedules and projection by hand, resume to the same bits."""

import dataclasses
import json
import os
import threading

import numpy as np
import pytest
import torch

from circuit_sparsity.core.model import GPT, GPTConfig
from circuit_sparsity.training.checkpoints import (
    CHECKPOINT,
    PREVIOUS,
    Checkpoint,
    read_checkpoint,
    read_progress,
    write_checkpoint,
)
from circuit_sparsity.training.corpus import Corpus, CorpusSettings, tokenizer_folder
from circuit_sparsity.training.loop import _Run, held_out_loss, train
from circuit_sparsity.training.optimiser import (
    SparseAdam,
    alive_mask,
    density_at,
    scale_to_unit_rms,
    sharkfin,
)
from circuit_sparsity.training.publication import joined_curve, stages, tokens_seen
from circuit_sparsity.training.settings import TrainSettings

TINY = GPTConfig(
    block_size=16,
    vocab_size=32,
    n_layer=2,
    n_head=2,
    d_head=4,
    d_model=16,
    d_mlp=32,
    rms_norm=True,
    tied_unembed=False,
    afrac=0.5,
    afrac_loctypes="attn_in,mlp_neuron",
    sink=True,
)


def tiny_corpus() -> Corpus:
    """Text in which every token is followed by the next number, so that it can be learnt."""
    text = (np.arange(4000) % 31).astype(np.uint16)
    settings = CorpusSettings(generated_share=0.5)
    return Corpus(settings, text, text, text[:500], text[:500], eot=31, stats={})


def tiny_settings(**changes) -> TrainSettings:
    values = {
        "name": "tiny",
        "model": TINY,
        "corpus": CorpusSettings(),
        "steps": 12,
        "batch": 4,
        "context": 16,
        "weight_density": 0.25,
        "embedding_density": 0.5,
        "evaluate_every": 6,
        "evaluate_tokens": 200,
        "checkpoint_every": 4,
    }
    return TrainSettings(**(values | changes))


def test_the_learning_rate_grows_as_weights_go():
    """Half the weights alive of the final number's fourfold: 1/sqrt(4) of the linear decay."""
    assert sharkfin(50, 100, 0.01, alive=4.0) == pytest.approx(0.5 / 2)
    assert sharkfin(50, 100, 0.01, alive=1.0) == pytest.approx(0.5)
    assert density_at(40, 100, target=0.2, anneal=0.8) == pytest.approx(0.6)


def test_every_line_keeps_its_share_where_the_budget_allows():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(8, 6, generator=generator)
    weight[3] *= 1e-3
    for along in (0, 1):
        mask = alive_mask(weight, 20, at_least=2, along=along)
        assert int(mask.sum()) == 20
        assert int(mask.sum(dim=along).min()) >= 2


def test_a_budget_too_small_for_every_line_is_still_kept_exactly():
    weight = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
    assert int(alive_mask(weight, 5, at_least=4, along=1).sum()) == 5


def test_gradients_are_scaled_by_one_factor_to_rms_one():
    first, second = torch.tensor([3.0, 4.0]), torch.tensor([0.0, 0.0])
    scale_to_unit_rms([first, None, second])
    # Mean square is 25/4, so the factor is 2/5.
    torch.testing.assert_close(first, torch.tensor([1.2, 1.6]))


def test_a_step_scales_updates_projects_and_decays_in_this_order():
    model = GPT(TINY)
    model.initialise(seed=0)
    settings = tiny_settings(steps=1, anneal=0.0, at_least=0, warm_up=0.0)
    optimiser = SparseAdam(model, settings)
    name = "transformer.h.0.mlp.c_fc.weight"
    weight = model.get_parameter(name)
    before = weight.detach().clone()
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    gradients = torch.cat([p.grad.flatten() for p in model.parameters()])
    gradient = weight.grad / gradients.square().mean().sqrt()
    optimiser.step(0)
    # First Adam step: both moments are corrected to the gradient itself.
    moved = before - settings.learning_rate * gradient / (gradient.abs() + settings.eps)
    kept = round(settings.weight_density * moved.numel())
    threshold = moved.abs().flatten().sort(descending=True).values[kept - 1]
    expected = moved * (moved.abs() >= threshold) * (1 - settings.learning_rate * 0.1)
    torch.testing.assert_close(weight.detach(), expected)


def test_the_final_density_is_what_the_settings_say(tmp_path):
    model = train(tiny_settings(), tiny_corpus(), tmp_path)
    for name, parameter in model.named_parameters():
        density = float((parameter != 0).float().mean())
        if name.endswith(("c_fc.weight", "c_attn.weight", "c_proj.weight")):
            assert density == pytest.approx(0.25, abs=0.01), name
        elif name in ("transformer.wte.weight", "lm_head.weight"):
            assert density == pytest.approx(0.5, abs=0.01), name


def test_a_run_that_stopped_ends_at_the_same_weights(tmp_path):
    corpus = tiny_corpus()
    whole = train(tiny_settings(), corpus, tmp_path / "whole")
    stop = threading.Event()
    train(tiny_settings(), corpus, tmp_path / "parts", lambda line: stop.set(), stop)
    assert torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)["step"] == 6
    parts = train(tiny_settings(), corpus, tmp_path / "parts")
    for (name, first), second in zip(whole.named_parameters(), parts.parameters(), strict=True):
        assert torch.equal(first, second), name
    lines = (tmp_path / "parts" / "progress.json").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [6, 12]


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    train(tiny_settings(), tiny_corpus(), tmp_path)
    with pytest.raises(ValueError, match="belongs to a run with other settings"):
        train(tiny_settings(seed=1), tiny_corpus(), tmp_path)


def test_a_damaged_checkpoint_gives_way_to_the_one_before_it_and_the_run_ends_the_same(tmp_path):
    corpus = tiny_corpus()
    whole = train(tiny_settings(), corpus, tmp_path / "whole")
    stop = threading.Event()
    train(tiny_settings(), corpus, tmp_path / "parts", lambda line: stop.set(), stop)
    path = tmp_path / "parts" / CHECKPOINT
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    told: list[str] = []
    parts = train(tiny_settings(), corpus, tmp_path / "parts", say=told.append)
    assert len(told) == 1
    assert "checkpoint.pt was changed" in told[0]
    assert "goes on from" in told[0]
    assert "checkpoint.previous.pt, step 4" in told[0]
    for (name, first), second in zip(whole.named_parameters(), parts.parameters(), strict=True):
        assert torch.equal(first, second), name
    assert [line["step"] for line in read_progress(tmp_path / "parts")] == [6, 12]
    lines = (tmp_path / "parts" / "progress.json").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [6, 12]


def test_two_damaged_checkpoints_are_both_named(tmp_path):
    train(tiny_settings(), tiny_corpus(), tmp_path)
    for name in (CHECKPOINT, PREVIOUS):
        (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"checkpoint\.pt .*previous\.pt .*delete .* train afresh"):
        train(tiny_settings(), tiny_corpus(), tmp_path)


def test_a_death_between_two_steps_of_writing_leaves_a_checkpoint(tmp_path, monkeypatch):
    """Every renaming, deletion and flush in turn is the last."""
    state = {"weight": torch.ones(3)}
    write_checkpoint(Checkpoint("{}", state, {}, 1), tmp_path)
    for last in range(20):
        left = [last]

        def dying(real, left=left):
            def call(*args, **kwargs):
                left[0] -= 1
                if left[0] < 0:
                    raise KeyboardInterrupt
                return real(*args, **kwargs)

            return call

        with monkeypatch.context() as patch:
            for name in ("fsync", "replace", "unlink"):
                patch.setattr(os, name, dying(getattr(os, name)))
            try:
                write_checkpoint(Checkpoint("{}", state, {}, 2 + last), tmp_path)
                finished = True
            except KeyboardInterrupt:
                finished = False
        found = read_checkpoint(tmp_path)
        assert found is not None
        assert found.step == 2 + last if finished else found.step >= 1
    assert finished


def test_training_lowers_the_held_out_loss(tmp_path):
    settings = tiny_settings(steps=60, learning_rate=0.05, evaluate_every=30)
    model = train(settings, tiny_corpus(), tmp_path)
    tokens = torch.arange(400) % 31
    fresh = GPT(TINY)
    fresh.initialise(seed=0)
    assert held_out_loss(model, tokens, 16) < held_out_loss(fresh, tokens, 16) - 0.5


def test_an_unknown_setting_is_named_beside_the_known_ones():
    with pytest.raises(ValueError, match="TrainSettings has no setting stepz; it has: name, model"):
        TrainSettings.from_dict({"name": "x", "model": {}, "corpus": {}, "stepz": 3})


def test_a_second_stage_starts_from_the_weights_of_the_first(tmp_path):
    corpus = tiny_corpus()
    first = train(tiny_settings(stop_at=8), corpus, tmp_path / "first")
    settings = tiny_settings(start_from="first", steps=4, anneal=0.0)
    run = _Run(settings, corpus, tmp_path / "second", torch.device("cpu"))
    assert torch.equal(run.model.lm_head.weight, first.lm_head.weight)
    train(settings, corpus, tmp_path / "second")
    made = stages(tmp_path / "second")
    assert [(stage["run"], stage["steps"]) for stage in made] == [("first", 8), ("second", 4)]
    assert tokens_seen(made) == 12 * 4 * 16
    steps = [json.loads(line)["step"] for line in joined_curve(tmp_path / "second")]
    assert steps == [6, 8, 12]


def test_a_stage_without_its_first_one_says_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match="starts from .*nothing.*which is not there"):
        train(tiny_settings(start_from="nothing"), tiny_corpus(), tmp_path / "second")


def test_fixed_waves_of_positions_are_neither_learnt_nor_thinned(tmp_path):
    """Their values: sin of 2 pi position / period, periods log-spaced from 4 to the context."""
    shape = dataclasses.replace(TINY, d_pos_emb=4, sinusoidal_cat_pos_emb=True)
    model = train(tiny_settings(model=shape), tiny_corpus(), tmp_path)
    waves = model.transformer.wpe.weight
    position = torch.arange(16)
    assert torch.allclose(waves[:, 0], (2 * torch.pi * position / 4).sin(), atol=1e-5)
    assert torch.allclose(waves[:, 3], (2 * torch.pi * position / 16).cos(), atol=1e-5)
    assert "transformer.wpe.weight" in model.state_dict()


def test_a_run_reads_the_tokenizer_of_the_run_that_it_names(tmp_path):
    folder = tmp_path / "runs" / "own"
    assert tokenizer_folder(tiny_settings(), folder) == folder / "tokenizer"
    beside = tokenizer_folder(tiny_settings(tokenizer_of="other"), folder)
    assert beside == tmp_path / "runs" / "other" / "tokenizer"
    started = tokenizer_folder(tiny_settings(start_from="first"), folder)
    assert started == tmp_path / "runs" / "first" / "tokenizer"
