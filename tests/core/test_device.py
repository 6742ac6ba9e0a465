"""A device that is not here is one sentence; one that is here gives the CPU's numbers."""

import dataclasses

import pytest
import torch

from circuit_sparsity import open_circuit, prune
from circuit_sparsity.__main__ import main
from circuit_sparsity.core.checkpoint import Unfilled
from circuit_sparsity.core.device import device_named
from circuit_sparsity.core.model import GPT
from circuit_sparsity.pruning.settings import PruneSettings
from circuit_sparsity.runtime.compiled import compile_circuit

CIRCUIT = ("starter", "single_double_quote", "full", "k24_seed0_full")
HERE = [
    *(["cuda"] if torch.cuda.is_available() else []),
    *(["mps"] if torch.backends.mps.is_available() else []),
]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CIRCUIT_SPARSITY_CACHE", str(tmp_path))


def missing() -> str:
    return next(name for name in ("cuda", "mps") if name not in HERE)


def test_a_device_that_is_not_here_is_said_before_anything_is_read():
    for asked in (lambda: open_circuit("no", "such", "circuit", "k", device=missing()),
                  lambda: prune(*CIRCUIT[:2], k=9, device=missing())):  # fmt: skip
        with pytest.raises(ValueError, match="was asked for, and PyTorch finds"):
            asked()


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "meta", ""])
def test_a_name_that_is_none_is_refused_beside_the_known_ones(name):
    with pytest.raises(ValueError, match="expected auto, cpu, cuda, cuda:N or mps"):
        device_named(name)


def test_auto_is_a_device_that_is_here():
    assert device_named("auto").type == (HERE[0] if HERE else "cpu")


@pytest.mark.parametrize("command", ["evaluate", "ablate", "evidence", "prune", "sweep"])
def test_the_commands_refuse_it_too(command, capsys):
    arguments = {
        "ablate": (*CIRCUIT, "--all"),
        "prune": (*CIRCUIT[:2], "--k", "9"),
        "sweep": (CIRCUIT[0], "--task", CIRCUIT[1], "--k", "9"),
    }.get(command, CIRCUIT)
    assert main([command, *arguments, "--device", missing()]) == 2
    assert "was asked for, and PyTorch finds" in capsys.readouterr().err


def test_a_run_keeps_to_the_models_device():
    """On a device of shapes without numbers, which refuses what lies on two devices."""
    circuit = open_circuit(*CIRCUIT)
    with torch.device("meta"), Unfilled():
        model = GPT(circuit.model.config).requires_grad_(False).eval()
    there = dataclasses.replace(circuit, model=model, batch=circuit.batch.to("meta"))
    for alive in (None, circuit.alive):
        assert there.logits(alive).device.type == "meta"
    compiled = compile_circuit(circuit.circuit, model, circuit.means).on(there.batch)
    assert compiled.logits_without(circuit.circuit.node_list[:2]).device.type == "meta"


@pytest.mark.parametrize("device", HERE or ["none"])
def test_numbers_are_the_cpus_to_a_ten_thousandth(device):
    if device == "none":
        pytest.skip("LOUD SKIP: no CUDA and no MPS device here, so none was compared with the CPU")
    there, here = open_circuit(*CIRCUIT, device=device), open_circuit(*CIRCUIT)
    assert there.of_model.loss == pytest.approx(here.of_model.loss, abs=1e-4)
    assert there.of_circuit.loss == pytest.approx(here.of_circuit.loss, abs=1e-4)
    assert there.of_complement.loss == pytest.approx(here.of_complement.loss, abs=1e-4)
    for one, other in zip(
        there.ablate_each(there.circuit.node_list),
        here.ablate_each(here.circuit.node_list),
        strict=True,
    ):
        assert one.after.loss == pytest.approx(other.after.loss, abs=1e-4)
    for place, rises in here.importance.items():
        torch.testing.assert_close(there.importance[place], rises, atol=1e-4, rtol=0)
    quick = PruneSettings(method="attribution")
    assert (
        prune(*CIRCUIT[:2], quick, k=48, device=device).nodes
        == prune(*CIRCUIT[:2], quick, k=48).nodes
    )
