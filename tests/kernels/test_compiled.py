"""Where compiled kernels are kept, and when they are used again."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import circuit_sparsity.kernels
from circuit_sparsity.kernels import abs_top_k, keep_freed_memory, prefer_sparse
from circuit_sparsity.kernels.compiled import cache_folder
from circuit_sparsity.kernels.product import empty
from circuit_sparsity.kernels.threads import run_parts, split
from circuit_sparsity.runtime.warm_up import compile_kernels

PACKAGE = Path(circuit_sparsity.kernels.__file__).parent

DOUBLE = """
from circuit_sparsity.kernels.compiled import kernel
from {name}.inner import factor

@kernel
def times(x):
    return x * factor()
"""
FACTOR = """
from circuit_sparsity.kernels.compiled import kernel

@kernel
def factor():
    return {value}
"""


def run(code: str, folder: Path, **environment: str) -> str:
    paths = os.pathsep.join([str(folder), str(PACKAGE.parents[1])])
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def kernels_in(folder: Path, factor: int) -> str:
    """A package of two kernels there; code that runs them."""
    source = folder / "kernels_here"
    source.mkdir(exist_ok=True)
    (source / "__init__.py").write_text("")
    (source / "outer.py").write_text(DOUBLE.format(name=source.name))
    (source / "inner.py").write_text(FACTOR.format(value=factor))
    shutil.rmtree(source / "__pycache__", ignore_errors=True)
    return f"from {source.name}.outer import times; print(times(10))"


def test_a_change_in_a_called_file_is_noticed(tmp_path):
    for value in (2, 3):
        code = kernels_in(tmp_path, value)
        assert run(code, tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "kept")) == str(10 * value)


def test_who_waits_for_the_compiler_is_told_once(tmp_path):
    code = "import sys; sys.stderr = sys.stdout; " + kernels_in(tmp_path, 2)
    first, second = (
        run(code, tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "kept")).splitlines() for _ in range(2)
    )
    assert first == ["Compiling the arithmetic for this machine: once, up to a minute …", "20"]
    assert second == ["20"]


def test_a_folder_given_to_numba_is_used(tmp_path):
    code = "from circuit_sparsity.kernels.compiled import cache_folder as f; print(f().parent)"
    assert run(code, tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "kept")) == str(tmp_path / "kept")


def test_without_a_place_to_write_kernels_still_run(tmp_path):
    (tmp_path / "file").write_text("")
    code = """
from pathlib import Path
from circuit_sparsity.kernels import compiled
compiled._writable = lambda folder: False
from circuit_sparsity.kernels.topk import _count
import numpy as np
print(compiled.cache_folder(), _count(np.arange(5, dtype=np.int32), np.int32(3)))
"""
    assert run(code, tmp_path) == "None 2"


def test_the_package_keeps_its_kernels_somewhere():
    folder = cache_folder()
    assert folder is not None
    assert folder.is_dir()


def test_warming_up_reports_every_step():
    seen: list[tuple[int, int]] = []
    compile_kernels(lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == list(range(1, seen[-1][1] + 1))


def test_a_forked_child_gets_threads_of_its_own():
    code = """
import os, torch
from circuit_sparsity.kernels import abs_top_k
torch.set_num_threads(2)
x = torch.randn(2000, 256)
expected = abs_top_k(x, 9)
child = os.fork()
if child == 0:
    os._exit(0 if torch.equal(abs_top_k(x, 9), expected) else 1)
print(os.waitpid(child, 0)[1])
"""
    assert run(code, Path.cwd()) == "0"


def test_a_failure_in_another_thread_is_raised_here():
    def fail(start: int, stop: int) -> None:
        if start:
            raise ValueError("row 5")

    with pytest.raises(ValueError, match="row 5"):
        run_parts(fail, [(0, 5), (5, 9)])


def test_parts_cover_everything_once():
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        for total in (0, 1, 7, 100, 1000):
            parts = split(total, least=5)
            assert [i for start, stop in parts for i in range(start, stop)] == list(range(total))
            assert len(parts) <= 3
        assert len(split(1000, least=5)) == 3
    finally:
        torch.set_num_threads(threads)


def test_compressed_rows_are_preferred_where_they_are_sparse():
    wide = (8192, 2048)
    assert prefer_sparse(1 / 1024, 1, wide)
    assert prefer_sparse(1 / 5, 64, wide)
    assert not prefer_sparse(1 / 5, 1, wide)
    assert not prefer_sparse(1.0, 4096, wide)
    assert not prefer_sparse(1 / 1024, 1, (64, 64))
    assert not prefer_sparse(1 / 1024, 0, wide)


def test_large_arrays_are_arrays_like_others():
    large = empty(9, 1 << 20)
    assert large.shape == (9, 1 << 20)
    assert large.dtype is empty(3).dtype is torch.float32


def test_keeping_freed_memory_changes_no_result():
    x = torch.randn(50, 60)
    before = abs_top_k(x, 5)
    assert keep_freed_memory() in (True, False)
    assert torch.equal(abs_top_k(x, 5), before)
