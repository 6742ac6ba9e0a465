"""What a fresh process needs, as the system counts it (Linux)."""

import subprocess
import sys
from pathlib import Path

_OPENING = """
import sys, torch
from pathlib import Path
from circuit_sparsity.runtime.assemble import load_model
from circuit_sparsity.runtime.warm_up import compile_kernels

def resident():
    text = Path("/proc/self/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1e3

compile_kernels()
before = resident()
model = load_model(sys.argv[1])
print(resident() - before)
"""

_CONVERTING = """
import sys, threading, time
from pathlib import Path
from circuit_sparsity.runtime.conversion import convert

def anonymous():
    text = Path("/proc/self/status").read_text()
    return int(text.split("RssAnon:")[1].split()[0]) / 1e3

before, most, done = anonymous(), [0.0], threading.Event()

def watch():
    while not done.wait(0.005):
        most[0] = max(most[0], anonymous() - before)

threading.Thread(target=watch).start()
made = convert(Path(sys.argv[1]))
done.set()
assert made is not None
print(most[0])
"""


def grown_by_opening(folder: Path) -> float:
    """MB by which resident memory grows when the model there is opened, kernels compiled before."""
    return _run(_OPENING, folder)


def peak_of_conversion(folder: Path) -> float:
    """MB of anonymous memory at most while the dense checkpoint there is made compact."""
    return _run(_CONVERTING, folder)


def _run(code: str, folder: Path) -> float:
    command = [sys.executable, "-c", code, str(folder)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.split()[-1])
