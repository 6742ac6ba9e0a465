"""Compressed matrices against the dense ones they stand for."""

import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch.nn import functional

from circuit_sparsity.kernels import SparseMatrix, from_panels, sparse_linear, to_panels

SIZE = st.integers(0, 40)
TOKENS = st.one_of(st.integers(0, 40), st.sampled_from([47, 48, 63, 64, 65, 80, 129]))
DENSITY = st.sampled_from([0.0, 0.02, 0.2, 1.0])
SEED = st.integers(0, 2**31)


def weight(rows: int, columns: int, density: float, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(rows, columns, generator=generator)
    return values * (torch.rand(rows, columns, generator=generator) < density)


def assert_close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    assert actual.shape == expected.shape
    scale = float(expected.abs().max()) if expected.numel() else 0.0
    assert torch.allclose(actual.double(), expected.double(), rtol=0, atol=1e-5 * scale)


@settings(deadline=None, max_examples=150)
@given(SIZE, SIZE, TOKENS, DENSITY, SEED, st.booleans())
def test_a_product_equals_the_dense_one(rows, columns, tokens, density, seed, with_bias):
    dense = weight(rows, columns, density, seed)
    x, bias = weight(columns, tokens, 1.0, seed + 1), weight(1, rows, 1.0, seed + 2)[0]
    shift = bias if with_bias else torch.zeros(rows)
    expected = dense.double() @ x.double() + shift[:, None].double()
    matrix = SparseMatrix.from_dense(dense)
    assert_close(sparse_linear(x, matrix, bias if with_bias else None), expected)
    panels = sparse_linear(to_panels(x.T), matrix, bias if with_bias else None)
    assert_close(from_panels(panels, tokens), expected.T)


@settings(deadline=None, max_examples=60)
@given(SIZE, SIZE, TOKENS, DENSITY, SEED, st.sampled_from(["none", "gelu", "relu"]))
def test_the_input_gradient_equals_the_dense_one(rows, columns, tokens, density, seed, activation):
    dense = weight(rows, columns, density, seed)
    x, upstream = weight(columns, tokens, 1.0, seed + 1), weight(rows, tokens, 1.0, seed + 2)
    bias = weight(1, rows, 1.0, seed + 3)[0]
    matrix = SparseMatrix.from_dense(dense)
    mine = x.clone().requires_grad_()
    theirs = x.double().requires_grad_()
    out = sparse_linear(mine, matrix, bias, activation)
    plain = {"none": lambda t: t, "gelu": functional.gelu, "relu": functional.relu}[activation]
    expected = plain(dense.double() @ theirs + bias[:, None].double())
    assert_close(out.detach(), expected.detach())
    assert_close(sparse_linear(x, matrix, bias, activation), expected.detach())
    out.backward(upstream)
    expected.backward(upstream.double())
    assert mine.grad is not None
    assert theirs.grad is not None
    assert_close(mine.grad, theirs.grad)


def test_the_gradient_passes_gradcheck_twice():
    matrix = SparseMatrix.from_dense(weight(6, 5, 0.5, 0))
    x = torch.randn(5, 3, requires_grad=True)
    (first,) = torch.autograd.grad((sparse_linear(x, matrix) ** 2).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    dense = matrix.dense()
    expected = 2 * (dense.T @ dense).sum(0)
    assert_close(second, expected[:, None].expand(5, 3))


@settings(deadline=None, max_examples=100)
@given(SIZE, SIZE, DENSITY, SEED)
def test_a_matrix_survives_every_way_in_and_out(rows, columns, density, seed):
    dense = weight(rows, columns, density, seed)
    matrix = SparseMatrix.from_dense(dense)
    assert torch.equal(matrix.dense(), dense)
    assert matrix.nonzero == int((dense != 0).sum())
    assert torch.equal(matrix.transposed.dense(), dense.T)
    assert matrix.transposed.transposed is matrix
    assert torch.equal(SparseMatrix.from_tensors(load(save(matrix.tensors()))).dense(), dense)
    order = torch.randperm(matrix.nonzero, generator=torch.Generator().manual_seed(seed))
    rows_, columns_ = matrix.row_indices()[order], matrix.columns[order]
    again = SparseMatrix.from_entries(rows_, columns_, matrix.values[order], (rows, columns))
    assert torch.equal(again.dense(), dense)
    kept_rows, kept_columns = torch.arange(rows)[::2].flip(0), torch.arange(columns)[1::3]
    chosen = matrix.select(kept_rows, kept_columns)
    assert torch.equal(chosen.dense(), dense[kept_rows][:, kept_columns])


def test_the_density_and_the_bytes_are_those_of_what_is_stored():
    matrix = SparseMatrix.from_dense(torch.eye(8))
    assert matrix.density == 1 / 8
    assert matrix.bytes == 4 * (9 + 8 + 8)
    assert matrix.transposed.nonzero == 8
    assert matrix.bytes == 2 * 4 * (9 + 8 + 8)


def test_columns_take_two_bytes_in_a_file():
    assert SparseMatrix.from_dense(torch.eye(4)).tensors()["columns"].dtype is torch.uint16
    none = torch.zeros(0, dtype=torch.long)
    wide = SparseMatrix.from_entries(none, none, torch.zeros(0), (1, 70_000))
    assert wide.tensors()["columns"].dtype is torch.int32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": torch.tensor([0, 9, 1])}, "do not fit"),
        ({"columns": torch.tensor([0, 1])}, "do not fit"),
        ({"starts": torch.tensor([0, 2, 1, 3])}, "do not fit"),
        ({"shape": torch.tensor([2, 3])}, "do not fit"),
    ],
)
def test_a_damaged_file_is_refused(change, message):
    tensors = SparseMatrix.from_dense(torch.eye(3)).tensors() | change
    with pytest.raises(ValueError, match=message):
        SparseMatrix.from_tensors(tensors)


def test_a_missing_array_is_named():
    with pytest.raises(ValueError, match="'values'"):
        SparseMatrix.from_tensors({"starts": torch.zeros(1), "columns": torch.zeros(0)})


def test_an_index_outside_the_shape_is_refused():
    one = torch.tensor([3])
    with pytest.raises(ValueError, match="column indices run from 3 to 3"):
        SparseMatrix.from_entries(torch.tensor([0]), one, torch.ones(1), (2, 3))


@pytest.mark.parametrize(
    ("x", "bias", "message"),
    [
        (torch.ones(3, 2), None, "takes"),
        (torch.ones(1, 4, 15), None, "takes"),
        (torch.ones(4, 2, dtype=torch.float64), None, "float32 on a CPU"),
        (torch.ones(4, 2), torch.ones(4), "bias has shape"),
        (torch.ones(4, 2), torch.ones(3, requires_grad=True), "fixed"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(x, bias, message):
    matrix = SparseMatrix.from_dense(torch.ones(3, 4))
    with pytest.raises(ValueError, match=message):
        sparse_linear(x, matrix, bias)


def test_many_threads_at_once_get_their_own_answers():
    matrix = SparseMatrix.from_dense(weight(600, 500, 0.1, 0))
    xs = [weight(500, 100, 1.0, seed) for seed in range(6)]
    expected = [sparse_linear(x, matrix) for x in xs]
    wrong: list[int] = []

    def work(which: int) -> None:
        for _ in range(10):
            if not torch.equal(sparse_linear(xs[which], matrix), expected[which]):
                wrong.append(which)

    threads = [threading.Thread(target=work, args=(which,)) for which in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
