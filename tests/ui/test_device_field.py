"""The sidebar's choice of a device: only where there is one, and true to what the machine has."""

import re
import subprocess
import sys

import pytest
import torch

from circuit_sparsity.core import device as core_device
from tests.ui.conftest import APP


def test_a_machine_with_nothing_but_its_cpu_is_asked_nothing(open_app):
    app = open_app("circuit")
    assert app.selectbox("model") is not None
    assert "device" not in [one.key for one in app.selectbox]


def test_the_app_begins_without_torch() -> None:
    """What stands on the page while it is imported is drawn before."""
    lines = [line for line in APP.read_text().splitlines() if re.match("from|import", line)]
    code = "\n".join([*lines, "import sys", "print('torch' in sys.modules)"])
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"


def test_the_devices_of_a_machine_are_named_the_cpu_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert core_device.devices_here() == ("cpu", "cuda:0", "cuda:1", "mps")


@pytest.mark.skipif(torch.cuda.is_available(), reason="the device would be there")
def test_the_chosen_device_is_where_models_are_opened(open_app, monkeypatch):
    """It went away after it was offered: the page says so, and the CPU is one choice away."""
    monkeypatch.setattr(core_device, "devices_here", lambda: ("cpu", "cuda:0"))
    app = open_app("node")
    app.selectbox("device").select("cuda:0").run()
    assert not app.exception, app.exception
    assert "PyTorch finds 0 CUDA devices here" in " ".join(one.value for one in app.error)
    app.selectbox("device").select("cpu").run()
    assert not app.exception
    assert not app.error
