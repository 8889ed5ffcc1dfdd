"""Sparse operands against dense ones: products of ``tg.sparse``, their derivatives, bad input."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

#: Shapes and numbers of elements: rectangular, full, empty, without rows or columns.
SIZES = [((4, 3), 6), ((2, 5), 20), ((1, 1), 4), ((6, 6), 3), ((3, 4), 0), ((0, 3), 0), ((3, 0), 0)]
VECTOR = np.array([1.0, -2.0, 0.5])


def triple(shape: tuple[int, int], count: int, seed: int = 0) -> Any:
    """A random pattern; with few elements there are rows without any, with many equal places."""
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.integers(0, shape[0], count)) if count else np.zeros(0, int)
    indices = rng.integers(0, shape[1], count) if count else np.zeros(0, int)
    return rng.normal(size=count), indices, np.searchsorted(rows, np.arange(shape[0] + 1))


def dense(data: Any, indices: Any, indptr: Any, shape: tuple[int, int]) -> Any:
    """The same matrix, by functions that tensors have."""
    rows = np.repeat(np.arange(shape[0]), np.diff(indptr))
    unit = np.zeros((len(indices), *shape))
    unit[np.arange(len(indices)), rows, indices] = 1.0
    return np.tensordot(data, unit, 1)


def operands(shape: tuple[int, int], rng: Any) -> list[tuple[str, Any]]:
    """Dense operands of all kinds, and on which side they stand."""
    rows, columns = shape
    sizes = [("right", (columns,)), ("right", (columns, 2)), ("right", (columns, 0))]
    sizes += [("left", (rows,)), ("left", (2, rows))]
    return [(side, rng.normal(size=size)) for side, size in sizes]


def product(matrix: Any, x: Any, side: str) -> Any:
    return matrix @ x if side == "right" else x @ matrix


@pytest.mark.parametrize(("shape", "count"), SIZES)
def test_products_are_the_dense_ones(shape: Any, count: int) -> None:
    arrays = triple(shape, count)
    matrix, full = tg.sparse.csr(*arrays, shape), dense(*arrays, shape)
    assert matrix.shape == shape and matrix.T.shape == shape[::-1]
    for side, x in operands(shape, np.random.default_rng(1)):
        expected = product(full, x, side)
        pair = (arrays, x) if side == "right" else (x, arrays)
        for got in (
            product(matrix, x, side),
            product(matrix, tg.tensor(x), side),
            tg.sparse.matmul(*pair, shape=shape),
            product(matrix.T, x.T, "left" if side == "right" else "right").T,
        ):
            assert isinstance(got, tg.Tensor) and got.shape == expected.shape
            np.testing.assert_allclose(got.data, expected, rtol=1e-12, atol=1e-14)
    x = np.ones(shape[1])
    np.testing.assert_array_equal(matrix.dot(x).data, (matrix @ x).data)


@pytest.mark.parametrize(("shape", "count"), SIZES)
def test_derivatives_are_the_dense_ones(shape: Any, count: int) -> None:
    data, indices, indptr = triple(shape, count)
    for side, x in operands(shape, np.random.default_rng(1)):

        def sparse(data: Any, x: Any, side: str = side) -> Any:
            y = product(tg.sparse.csr(data, indices, indptr, shape), x, side)
            return np.sum(np.sin(y) * (1 + y))

        def full(data: Any, x: Any, side: str = side) -> Any:
            y = product(dense(data, indices, indptr, shape), x, side)
            return np.sum(np.sin(y) * (1 + y))

        tangents = np.cos(data), np.cos(x)
        for derive in (
            lambda f: tg.grad(f, (0, 1)),
            lambda f: tg.hessian(f, (0, 1)),
            lambda f, t=tangents: lambda *args: tg.jvp(f, args, t),
            lambda f, t=tangents: lambda *args: tg.jvp(tg.grad(f, (0, 1)), args, t),
        ):
            got, expected = (tg.tree_leaves(derive(f)(data, x)) for f in (sparse, full))
            for a, b in zip(got, expected, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_gradients_agree_with_differences() -> None:
    data, indices, indptr = triple((4, 3), 8)

    def f(data: Any, x: Any) -> Any:
        return np.sum(np.exp(tg.sparse.matmul((data, indices, indptr), x, shape=(4, 3))))

    at = data, VECTOR
    for k in range(2):
        got, step = tg.grad(f, k)(*at), 1e-6
        for i in range(len(at[k])):
            moved = [np.array(a) for a in at for _ in range(2)]
            moved[2 * k][i] += step
            moved[2 * k + 1][i] -= step
            slope = (f(moved[0], moved[2]) - f(moved[1], moved[3])).data / (2 * step)
            np.testing.assert_allclose(got[i], slope, rtol=1e-6, atol=1e-8)


def test_imperative_gradients() -> None:
    data, indices, indptr = triple((4, 3), 8)
    d, x = tg.tensor(data), tg.tensor(VECTOR)
    np.sum(tg.sparse.csr(d, indices, indptr, (4, 3)) @ x).backward()
    full = dense(data, indices, indptr, (4, 3))
    np.testing.assert_allclose(x.grad, full.sum(0))
    np.testing.assert_allclose(d.grad, VECTOR[indices])
    assert tg.sparse.matmul((data, indices, indptr), VECTOR, shape=(4, 3)).constant


@pytest.mark.parametrize("batched", [(0, None), (None, 0), (0, 0)])
def test_vmap_is_a_loop(batched: Any) -> None:
    data, indices, indptr = triple((4, 3), 8)
    rng = np.random.default_rng(2)

    def f(data: Any, x: Any) -> Any:
        return tg.sparse.csr(data, indices, indptr, (4, 3)) @ x

    for size in ((3,), (3, 2)):
        args = [
            rng.normal(size=s if axis is None else (5, *s))
            for s, axis in zip([data.shape, size], batched)
        ]
        for function in (f, tg.grad(lambda *a: np.sum(f(*a) ** 2), (0, 1))):
            got = tg.tree_leaves(tg.vmap(function, batched)(*args))
            for k in range(5):
                row = (a if axis is None else a[k] for a, axis in zip(args, batched))
                for a, b in zip(got, tg.tree_leaves(function(*row)), strict=True):
                    np.testing.assert_allclose(a[k], np.asarray(b), rtol=1e-12, atol=1e-14)


def test_patterns_may_be_batched_too() -> None:
    arrays = [triple((4, 3), 5, seed) for seed in range(3)]
    data, indices, indptr = (np.stack(column) for column in zip(*arrays))
    f = tg.vmap(lambda *a: tg.sparse.csr(*a, (4, 3)) @ VECTOR)
    expected = [dense(*a, (4, 3)) @ VECTOR for a in arrays]
    np.testing.assert_allclose(f(data, indices, indptr), expected, rtol=1e-12, atol=1e-14)


def test_jit_records_once_whatever_the_elements_are() -> None:
    data, indices, indptr = triple((4, 3), 8)
    matrix = tg.sparse.csr(data, indices, indptr, (4, 3))
    functions = [
        lambda x: np.sum((matrix @ x) ** 2),
        lambda x: np.sum((x[:1] * matrix.T.dot(np.ones(4))) ** 2),
        lambda x: np.sum(tg.sparse.matmul((x[0] * data, indices, indptr), x, shape=(4, 3)) ** 2),
    ]
    for f in functions:
        compiled = tg.jit(tg.grad(f), strict=True)
        for x in (VECTOR, VECTOR + 1, 2 * VECTOR):
            np.testing.assert_allclose(compiled(x), tg.grad(f)(x), rtol=1e-12)
        assert compiled.stats().traces == 1
    compiled = tg.jit(tg.grad(functions[0]), strict=True)
    before = compiled(VECTOR)
    data *= 2  # what the matrix holds is read in each call
    np.testing.assert_allclose(compiled(VECTOR), 4 * before, rtol=1e-12)
    assert compiled.stats().traces == 1


def test_a_matrix_may_be_an_argument_of_a_compiled_function() -> None:
    compiled = tg.jit(lambda matrix, x: np.sum(matrix @ x), strict=True)
    for seed in range(3):
        arrays = triple((4, 3), 8, seed)
        got = compiled(tg.sparse.csr(*arrays, (4, 3)), VECTOR)
        np.testing.assert_allclose(got, np.sum(dense(*arrays, (4, 3)) @ VECTOR), rtol=1e-12)
    assert compiled.stats().traces == 1 and compiled.stats().eager_calls == 0


def test_elements_that_are_written_later_are_seen() -> None:
    arrays = triple((4, 3), 8)

    def f(x: Any) -> Any:
        data = np.array(arrays[0])
        matrix = tg.sparse.csr(data, *arrays[1:], (4, 3))
        data[2:5] = x
        return np.sum(matrix @ x)

    def written_before(x: Any) -> Any:
        data = np.concatenate([arrays[0][:2], x, arrays[0][5:]])
        return np.sum(tg.sparse.csr(data, *arrays[1:], (4, 3)) @ x)

    np.testing.assert_allclose(tg.grad(f)(VECTOR), tg.grad(written_before)(VECTOR), rtol=1e-12)


def test_single_precision_stays() -> None:
    data, indices, indptr = triple((4, 3), 8)
    data, x = data.astype(np.float32), VECTOR.astype(np.float32)
    matrix = tg.sparse.csr(data, indices, indptr, (4, 3))
    assert (matrix @ x).dtype == (x @ matrix.T).dtype == np.float32
    for g in tg.grad(lambda d, x: np.sum(tg.sparse.csr(d, indices, indptr, (4, 3)) @ x), (0, 1))(
        data, x
    ):
        assert g.dtype == np.float32
    assert (matrix @ VECTOR).dtype == np.float64  # NumPy's promotion


def test_integers_multiply_and_have_no_derivative() -> None:
    matrix = tg.sparse.csr([2, 3], [0, 2], [0, 1, 2], (2, 3))
    assert (matrix @ [1, 1, 1]).dtype.kind == "i"
    np.testing.assert_array_equal(tg.grad(lambda x: np.sum(matrix @ x))(VECTOR), [2.0, 0.0, 3.0])
    with pytest.raises(TypeError, match="float arguments; got dtype int"):
        tg.grad(lambda d: np.sum(tg.sparse.csr(d, [0, 2], [0, 1, 2], (2, 3)) @ VECTOR))(
            np.array([2, 3])
        )


def test_what_sparse_jacobian_gives_is_an_operand() -> None:
    rows = tg.sparse_jacobian(lambda x: x[1:] * x[:-1], triple=True)(VECTOR)
    full = tg.jacobian(lambda x: x[1:] * x[:-1])(VECTOR)
    np.testing.assert_allclose(tg.sparse.matmul(rows, VECTOR).data, full @ VECTOR)
    # The jacobian's elements are functions of x, also to an outer derivative.

    def f(x: Any) -> Any:
        rows = tg.sparse_jacobian(lambda x: x[1:] * x[:-1], triple=True)(x)
        return np.sum(tg.sparse.matmul(rows, VECTOR) ** 2)

    def in_full(x: Any) -> Any:
        return np.sum((tg.jacobian(lambda x: x[1:] * x[:-1])(x) @ VECTOR) ** 2)

    np.testing.assert_allclose(tg.grad(f)(2 * VECTOR), tg.grad(in_full)(2 * VECTOR))


def test_a_matrix_is_pickled_and_taken_apart() -> None:
    matrix = tg.sparse.csr([2.0, 3.0], [0, 2], [0, 1, 2], (2, 3))
    copy = pickle.loads(pickle.dumps(matrix.T))
    np.testing.assert_array_equal((copy @ [1.0, 1.0]).data, [2.0, 0.0, 3.0])
    twice = tg.tree_map(lambda a: a, matrix)
    assert type(twice) is tg.sparse.SparseMatrix and twice.shape == (2, 3)
    with pytest.raises(AttributeError):
        matrix.data = 1  # type: ignore[misc]


FIT = ([1.0, 2.0], [0, 2], [0, 1, 2])


def test_complex_elements_and_operands() -> None:
    rng = np.random.default_rng(0)
    data, z = (rng.normal(size=n) + 1j * rng.normal(size=n) for n in (2, 3))
    for d, x in ((data, z), (data.real, z), (data, z.real)):

        def product(d: Any, x: Any) -> Any:
            a = tg.sparse.csr(d, *FIT[1:], (2, 3))
            return np.sum(np.abs(a @ x) ** 2) + np.imag(np.sum((np.conj(x[:2]) @ a) ** 3))

        tg.check_grads(product, (d, x), order=2)
        whole = np.zeros((2, 3), d.dtype)
        whole[0, 0], whole[1, 2] = d
        np.testing.assert_allclose(tg.sparse.csr(d, *FIT[1:], (2, 3)) @ x, whole @ x, 1e-14)
        np.testing.assert_allclose(tg.sparse.csr(d, *FIT[1:], (2, 3)).T @ x[:2], whole.T @ x[:2])


BAD_MATRICES = [
    ((FIT[0], [0, 3], FIT[2], (2, 3)), ValueError, r"columns 0 to 2; got 0 to 3"),
    ((FIT[0], [-1, 2], FIT[2], (2, 3)), ValueError, r"columns 0 to 2; got -1 to 2"),
    ((FIT[0], [0, 1, 2], FIT[2], (2, 3)), ValueError, r"got shapes \(2,\) and \(3,\)"),
    ((FIT[0], FIT[1], [0, 2], (2, 3)), ValueError, r"needs an indptr of 3 numbers.*got 2"),
    ((FIT[0], FIT[1], [0, 1, 3], (2, 3)), ValueError, r"number of elements, 2.*from 0 to 3"),
    ((FIT[0], FIT[1], [1, 1, 2], (2, 3)), ValueError, r"from 1 to 2"),
    ((FIT[0], FIT[1], [0, 3, 2], (2, 3)), ValueError, "must not descend"),
    ((FIT[0], [0.0, 2.0], FIT[2], (2, 3)), TypeError, "indices must be integers.*float64"),
    ((FIT[0], FIT[1], [[0, 1, 2]], (2, 3)), TypeError, r"indptr must be integers.*\(1, 3\)"),
    ((FIT[0], FIT[1], FIT[2], 2), TypeError, "two integers"),
    ((FIT[0], FIT[1], FIT[2], (2, 3.5)), TypeError, "two integers"),
    ((FIT[0], FIT[1], FIT[2], (-2, 3)), ValueError, "negative"),
    ((np.array(["a", "b"]), FIT[1], FIT[2], (2, 3)), TypeError, "takes numbers"),
]


@pytest.mark.parametrize(("args", "error", "match"), BAD_MATRICES)
def test_what_is_no_matrix_is_refused(args: Any, error: Any, match: str) -> None:
    with pytest.raises(error, match=match):
        tg.sparse.csr(*args)


def test_indices_out_of_bounds_are_refused_in_compiled_code() -> None:
    indices = np.array([0, 2])
    f = tg.jit(lambda x: np.sum(tg.sparse.matmul((FIT[0], indices, FIT[2]), x, shape=(2, 3))))
    assert f(np.ones(3)) == f(np.ones(3)) == 3.0
    indices[1] = 3
    with pytest.raises(ValueError, match="columns 0 to 2; got 0 to 3"):
        f(np.ones(3))


def test_operands_that_do_not_fit_are_refused() -> None:
    matrix = tg.sparse.csr(*FIT, (2, 3))
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(2,\).*has 3 columns.*2 rows"):
        matrix @ np.ones(2)
    with pytest.raises(ValueError, match=r"\(4, 3\) and \(2, 3\).*has 3 columns.*2 rows"):
        np.ones((4, 3)) @ matrix
    for x in (np.ones((2, 3, 4)), 2.0):
        with pytest.raises(ValueError, match="one axis or two"):
            tg.sparse.matmul(matrix, x)
    with pytest.raises(TypeError, match="both are sparse"):
        tg.sparse.matmul(matrix, matrix.T)
    with pytest.raises(TypeError, match=r"no operand is sparse.*\(2, 2\) and \(2,\).*np\.matmul"):
        tg.sparse.matmul(np.eye(2), np.ones(2))
    with pytest.raises(TypeError, match=r"shape=\(rows, columns\)"):
        tg.sparse.matmul(FIT, np.ones(3))
    with pytest.raises(ValueError, match=r"square; its shape is \(2, 3\)"):
        tg.sparse.spsolve(matrix, np.ones(2))
    with pytest.raises(TypeError, match=r"np\.linalg\.solve"):
        tg.sparse.spsolve(np.eye(2), np.ones(2))
    square = tg.sparse.csr([1.0, 2.0], [0, 1], [0, 1, 2], (2, 2))
    with pytest.raises(ValueError, match=r"2 equations.*3 rows"):
        tg.sparse.spsolve(square, np.ones(3))


def test_without_scipy_an_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("scipy", "scipy.sparse", "scipy.sparse.linalg"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not there
    square = tg.sparse.csr([1.0, 2.0], [0, 1], [0, 1, 2], (2, 2))
    with pytest.raises(ImportError, match=r"pip install tapegrad\[sparse\]"):
        tg.sparse.spsolve(square, np.ones(2))
    np.testing.assert_array_equal((square @ np.ones(2)).data, [1.0, 2.0])
