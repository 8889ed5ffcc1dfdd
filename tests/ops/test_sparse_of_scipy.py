"""SciPy's sparse matrices as operands: in the user's code, transformed and compiled, and of tensors."""

from __future__ import annotations

import operator
import warnings
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

scipy_sparse = pytest.importorskip("scipy.sparse")
linalg = pytest.importorskip("scipy.sparse.linalg")

KINDS = [
    "csr_array",
    "csr_matrix",
    "csc_array",
    "csc_matrix",
    "coo_array",
    "coo_matrix",
    "bsr_array",
]
KINDS += ["dia_matrix", "lil_array", "dok_matrix"]
FULL = np.array([[0.0, 2.0, 0.0], [1.0, -1.0, 3.0], [0.0, 0.0, 0.0], [0.5, 0.0, 0.0]])
SQUARE = np.array([[3.0, 1.0, 0.0], [0.0, 2.0, -1.0], [0.5, 0.0, 4.0]])
X = np.array([1.0, -2.0, 0.5])


def made(kind: str, full: Any = FULL) -> Any:
    return getattr(scipy_sparse, kind)(full)


#: What users write, and its dense counterpart; `a` is a matrix of four rows and three columns.
PRODUCTS: dict[str, tuple[Any, Any]] = {
    "A @ x": (lambda a, x: a @ x, lambda a, x: a @ x),
    "A @ X": (lambda a, x: a @ np.outer(x, x), lambda a, x: a @ np.outer(x, x)),
    "A.T @ A @ x": (lambda a, x: a.T @ (a @ x), lambda a, x: a.T @ (a @ x)),
    "x @ A.T": (lambda a, x: x @ a.T, lambda a, x: x @ a.T),
    "X @ A": (lambda a, x: np.outer(x, np.exp(np.append(x, x[:1]))) @ a,
              lambda a, x: np.outer(x, np.exp(np.append(x, x[:1]))) @ a),
    "A.dot": (lambda a, x: a.dot(x), lambda a, x: a @ x),
    "matmul": (operator.matmul, operator.matmul),
    "tg.sparse.matmul": (lambda a, x: tg.sparse.matmul(a, x), lambda a, x: a @ x),
}  # fmt: skip


def loss(function: Any, matrix: Any) -> Any:
    return lambda x: np.sum(np.sin(function(matrix, x)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PRODUCTS)
def test_products_in_the_users_code(name: str, kind: str) -> None:
    sparse, full = PRODUCTS[name]
    f, g = loss(sparse, made(kind)), loss(full, FULL)
    np.testing.assert_allclose(tg.grad(f)(X), tg.grad(g)(X), rtol=1e-12)
    np.testing.assert_allclose(tg.hessian(f)(X), tg.hessian(g)(X), rtol=1e-10, atol=1e-12)
    batch = np.stack([X, X + 1, -X])
    np.testing.assert_allclose(tg.vmap(tg.grad(f))(batch), tg.vmap(tg.grad(g))(batch), rtol=1e-12)
    for got, expected in zip(tg.jvp(f, (X,), (X,)), tg.jvp(g, (X,), (X,))):
        np.testing.assert_allclose(got, expected, rtol=1e-12)
    t = tg.tensor(X)
    tg.adapt(f)(t).backward()
    np.testing.assert_allclose(t.grad, tg.grad(g)(X), rtol=1e-12)


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_matrix"])
def test_the_star_of_matrices_is_the_product(kind: str) -> None:
    matrix = made(kind)
    f, g = loss(lambda a, x: (a * x) @ FULL, matrix), loss(lambda a, x: (a @ x) @ FULL, FULL)
    np.testing.assert_allclose(tg.grad(f)(X), tg.grad(g)(X), rtol=1e-12)
    t = tg.tensor(X)
    np.testing.assert_allclose((matrix * t).data, FULL @ X)
    np.testing.assert_allclose((t * matrix.T).data, FULL @ X)


@pytest.mark.parametrize("kind", ["csr_array", "csr_matrix", "csc_array", "csc_matrix"])
@pytest.mark.parametrize("name", PRODUCTS)
def test_compiled_code_reads_the_matrix_in_each_call(name: str, kind: str) -> None:
    matrix = made(kind)
    f = loss(PRODUCTS[name][0], matrix)
    compiled = tg.jit(tg.grad(f), strict=True)
    for x in (X, X + 1):
        np.testing.assert_allclose(compiled(x), tg.grad(f)(x), rtol=1e-10)
    matrix.data *= 1.5
    np.testing.assert_allclose(compiled(X), tg.grad(f)(X), rtol=1e-10)
    matrix.data = matrix.data + 1.0
    np.testing.assert_allclose(compiled(X), tg.grad(f)(X), rtol=1e-10)
    assert compiled.stats().traces == 1 and compiled.stats().eager_calls == 0


def test_a_matrix_may_be_an_argument_of_a_compiled_function() -> None:
    compiled = tg.jit(lambda a, x: np.sum(a @ x), strict=True)
    for scale in (1.0, 2.0):
        np.testing.assert_allclose(compiled(made("csr_array") * scale, X), scale * np.sum(FULL @ X))
    other = scipy_sparse.csr_array(SQUARE)
    np.testing.assert_allclose(compiled(other, X), np.sum(SQUARE @ X))
    np.testing.assert_allclose(compiled(made("csc_array"), X), np.sum(FULL @ X))


def test_other_formats_run_as_they_are_under_jit() -> None:
    matrix = made("coo_array")
    compiled = tg.jit(lambda x: np.sum(matrix @ x))
    with pytest.warns(RuntimeWarning, match="converts variable matrix, .* in the format 'coo'"):
        np.testing.assert_allclose(compiled(X), np.sum(FULL @ X))
    matrix.data *= 2
    np.testing.assert_allclose(compiled(X), 2 * np.sum(FULL @ X))


def test_products_of_sparse_matrices_alone_are_not_frozen_by_jit() -> None:
    a = made("csr_array")
    compiled = tg.jit(lambda x: np.sum(a.T.dot(a) @ x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        np.testing.assert_allclose(compiled(X), np.sum(FULL.T @ FULL @ X))
        a.data *= 2
        np.testing.assert_allclose(compiled(X), 4 * np.sum(FULL.T @ FULL @ X))


def test_loops_of_products() -> None:
    matrix = scipy_sparse.csr_array(SQUARE / 4)

    def powers(a: Any, x: Any) -> Any:
        for _ in range(40):
            x = x - a @ x
        return x

    f, g = loss(powers, matrix), loss(powers, SQUARE / 4)
    np.testing.assert_allclose(tg.grad(f)(X), tg.grad(g)(X), rtol=1e-10)
    compiled = tg.jit(tg.grad(f))
    np.testing.assert_allclose(compiled(X), tg.grad(g)(X), rtol=1e-10)
    matrix.data *= 0.5
    np.testing.assert_allclose(compiled(X), tg.grad(loss(powers, SQUARE / 8))(X), rtol=1e-10)

    def steps(x: Any) -> Any:
        return np.sum(tg.fori_loop(0, 5, lambda i, x: x - matrix @ x, x))

    expected = np.linalg.matrix_power(np.eye(3) - SQUARE / 8, 5).T @ np.ones(3)
    np.testing.assert_allclose(tg.grad(steps)(X), expected, rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_imperative_tensors_keep_their_graph(kind: str) -> None:
    matrix = made(kind)
    for product, expected in (
        (lambda t: matrix @ t, FULL),
        (lambda t: t @ matrix.T, FULL),
        *([] if kind[:3] == "coo" else [(lambda t: matrix.dot(t), FULL)]),
        (lambda t: matrix.T @ (matrix @ t), FULL.T @ FULL),
    ):
        t = tg.tensor(X)
        y = product(t)
        assert isinstance(y, tg.Tensor) and not y.constant
        np.testing.assert_allclose(y.data, expected @ X, rtol=1e-12)
        np.sum(y).backward()
        np.testing.assert_allclose(t.grad, expected.sum(0), rtol=1e-12)


def test_conversions_by_scipy_raise_and_name_ours() -> None:
    for kind in ("coo_array", "coo_matrix"):  # their method makes an array of whatever it is given
        with pytest.raises(tg.TracedArrayError, match=r"tg\.sparse\.matmul"):
            made(kind).dot(tg.tensor(X))


def test_code_that_is_not_read_keeps_derivatives_too() -> None:
    for matrix in (made("csr_array"), made("csr_matrix")):
        f = loss(lambda a, x: a @ x + x @ a.T + a.dot(x), matrix)
        got = tg.grad(f, adapt=False)(X)
        np.testing.assert_allclose(
            got, tg.grad(loss(lambda a, x: 3 * (a @ x), FULL))(X), rtol=1e-12
        )


def _triangular(x: Any) -> Any:
    return linalg.spsolve_triangular(scipy_sparse.csr_array(np.eye(3)), x)


@pytest.mark.parametrize(
    "function",
    [lambda x: made("csr_matrix").multiply(x), lambda x: made("csr_array") * x, _triangular],
)
def test_what_has_no_derivative_raises_and_names_what_has(function: Any) -> None:
    match = r"test_sparse_of_scipy\.py:\d+.*tg\.sparse\.matmul"
    with pytest.raises(tg.TracedArrayError, match=match):
        function(tg.tensor(X))
    with pytest.raises(tg.TracedArrayError, match=match):
        tg.grad(lambda x: function(x).sum(), adapt=False)(X)
    constant = function(tg.tensor(X, constant=True))
    np.testing.assert_allclose(constant.sum(), function(X).sum())
    with tg.no_autodiff:
        np.testing.assert_allclose(function(tg.tensor(X)).sum(), function(X).sum())


def test_elements_of_a_matrix_made_of_a_traced_value() -> None:
    places = np.array([1, 0, 1, 2, 0]), np.array([0, 1, 4, 4, 5])
    data = np.array([2.0, 1.0, -1.0, 3.0, 0.5])

    def f(d: Any) -> Any:
        return np.sum(tg.sparse.csr(d, *places, (4, 3)) @ X)

    np.testing.assert_allclose(tg.grad(f)(data), X[places[0]])
    for kind in (scipy_sparse.csr_array, scipy_sparse.csr_matrix):
        with pytest.raises(tg.TracedArrayError, match=r"tg\.sparse\.matmul"):
            tg.grad(lambda d, kind=kind: np.sum(kind((d, *places), (4, 3)) @ X))(data)


def test_traced_values_that_are_stored_into_the_elements_are_seen() -> None:
    start = made("csr_array")
    d = start.data + 0.5

    def f(d: Any, way: Any) -> Any:
        matrix = start.copy()
        matrix.data[:] = d
        return np.sum(way(matrix, np.exp(d[:3])))

    def full(d: Any) -> Any:
        return np.sum(tg.sparse.csr(d, start.indices, start.indptr, (4, 3)) @ np.exp(d[:3]))

    for way in (
        lambda a, x: a @ x,
        lambda a, x: x @ a.T,
        lambda a, x: a.dot(x),
        lambda a, x: tg.sparse.matmul(a, x),
    ):
        np.testing.assert_allclose(tg.grad(f)(d, way), tg.grad(full)(d), rtol=1e-12)
    assert start.data.tolist() == made("csr_array").data.tolist()

    def stored(d: Any) -> Any:
        matrix = made("coo_array")
        matrix.data[:] = d
        return np.sum(matrix @ d[:3])

    with pytest.raises(tg.TracedArrayError, match=r"format 'coo'.*tg\.sparse\.csr"):
        tg.grad(stored)(d)


def test_another_pattern_is_another_recording_or_none() -> None:
    matrix = made("csr_array")
    compiled = tg.jit(lambda x: np.sum(np.sin(matrix @ x)), strict=True)
    full = FULL
    for _ in range(3):
        np.testing.assert_allclose(compiled(X), np.sum(np.sin(full @ X)), rtol=1e-12)
        full = full + np.roll(FULL, 1, 0)
        matrix = scipy_sparse.csr_array(full)
    full = np.array(full)
    full[2, 2] = 7.0
    matrix[2, 2] = 7.0
    np.testing.assert_allclose(compiled(X), np.sum(np.sin(full @ X)), rtol=1e-12)


# Systems -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csr_array", "csc_matrix"])
@pytest.mark.parametrize("b", [X, np.stack([X, X**2], 1), X[:, None]], ids=["1", "2", "column"])
@pytest.mark.filterwarnings("error")
def test_systems_in_the_users_code(b: Any, kind: str) -> None:
    matrix = made(kind, SQUARE)
    assert tg.sparse.spsolve(matrix, b).shape == b.shape

    def f(b: Any) -> Any:
        y = linalg.spsolve(matrix, b)
        assert y.shape == linalg.spsolve(matrix, np.ones(b.shape)).shape
        return np.sum(np.sin(y))

    def g(b: Any) -> Any:
        return np.sum(np.sin(np.linalg.solve(SQUARE, b)))

    np.testing.assert_allclose(tg.grad(f)(b), tg.grad(g)(b), rtol=1e-10)
    np.testing.assert_allclose(tg.hessian(f)(b), tg.hessian(g)(b), rtol=1e-9, atol=1e-12)
    t = tg.tensor(b)
    tg.adapt(f)(t).backward()
    np.testing.assert_allclose(t.grad, tg.grad(g)(b), rtol=1e-10)


def test_systems_under_jit() -> None:
    matrix = made("csc_array", SQUARE)
    compiled = tg.jit(tg.grad(lambda b: np.sum(linalg.spsolve(matrix, b) ** 2)), strict=True)
    for b in (X, X + 1):
        expected = tg.grad(lambda b: np.sum(np.linalg.solve(SQUARE, b) ** 2))(b)
        np.testing.assert_allclose(compiled(b), expected, rtol=1e-10)
    matrix.data *= 2
    np.testing.assert_allclose(compiled(b), expected / 4, rtol=1e-10)
    named = tg.jit(lambda b: np.sum(tg.sparse.spsolve(a=matrix, b=b)), strict=True)
    before = named(X)
    matrix.data *= 2
    np.testing.assert_allclose(named(X), before / 2, rtol=1e-10)
    assert compiled.stats().traces == named.stats().traces == 1


def test_systems_by_their_elements() -> None:
    indices, indptr = np.array([0, 1, 1, 2, 0, 2, 2]), np.array([0, 2, 4, 7])
    rows = np.repeat(np.arange(3), np.diff(indptr))
    data = np.array([3.0, 1.0, 2.0, -1.0, 0.5, 1.5, 2.5])  # two elements at the same place
    unit = np.zeros((7, 3, 3))
    unit[np.arange(7), rows, indices] = 1.0

    def sparse(data: Any, b: Any) -> Any:
        return np.sum(tg.sparse.spsolve((data, indices, indptr), b, shape=(3, 3)) ** 3)

    def full(data: Any, b: Any) -> Any:
        return np.sum(np.linalg.solve(np.tensordot(data, unit, 1), b) ** 3)

    for derive in (tg.grad, tg.hessian):
        got, expected = (tg.tree_leaves(derive(f, (0, 1))(data, X)) for f in (sparse, full))
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    batch = np.stack([data, data * 2, data + 0.1])
    got, expected = (tg.vmap(tg.grad(f), (0, None))(batch, X) for f in (sparse, full))
    np.testing.assert_allclose(got, expected, rtol=1e-9)
    single = tg.sparse.spsolve(
        tg.sparse.csr(data.astype(np.float32), indices, indptr, (3, 3)), X.astype(np.float32)
    )
    assert single.dtype == np.float32
    assert data.tolist() == [3.0, 1.0, 2.0, -1.0, 0.5, 1.5, 2.5] and indices[0] == 0


def test_an_imperative_tensor_of_scipys_spsolve_raises_and_names_ours() -> None:
    with pytest.raises(tg.TracedArrayError, match=r"tg\.sparse\.spsolve"):
        linalg.spsolve(made("csc_array", SQUARE), tg.tensor(X))
    t = tg.tensor(X)
    np.sum(tg.sparse.spsolve(made("csc_array", SQUARE), t)).backward()
    np.testing.assert_allclose(t.grad, np.linalg.solve(SQUARE.T, np.ones(3)))


# Bad input ---------------------------------------------------------------------------------------


def test_complex_numbers_on_either_side() -> None:
    matrix, z = made("csr_array"), X + 1j * X[::-1]
    for a, x in ((matrix * (1 - 2j), z), (matrix, z), (matrix * 1j, X)):
        np.testing.assert_allclose(tg.jvp(lambda x, a=a: a @ x, (x,), (x,))[0], a @ x)
        tg.check_grads(lambda x, a=a: np.abs(a @ x), (x,), order=2)
        compiled = tg.jit(tg.grad(lambda x, a=a: np.sum(np.abs(a @ x) ** 2)))
        slope = 2 * np.conj(a @ x) @ a.toarray()
        slope = slope if x.dtype == complex else slope.real
        np.testing.assert_allclose(compiled(x), slope, 1e-13)
    square = scipy_sparse.csc_array(np.array([[2.0 + 1j, 1j], [0.5, 3.0]]))
    b = np.array([1.0, -2.0j])
    tg.check_grads(lambda b: linalg.spsolve(square, b), (b,), order=2)
    np.testing.assert_allclose(tg.sparse.spsolve(square, b), linalg.spsolve(square, b), 1e-14)
    entries = np.array([2.0 + 1j, 1j, 0.5, 3.0])
    places = [0, 1, 0, 1], [0, 2, 4], (2, 2)
    tg.check_grads(
        lambda d: tg.sparse.spsolve(tg.sparse.csr(d, *places), b.real), (entries,), order=2
    )


def test_what_does_not_fit_is_refused() -> None:
    matrix = made("csr_array")
    t = tg.tensor(np.ones(2))
    for f in (lambda: matrix @ t, lambda: matrix.dot(t), lambda: tg.sparse.matmul(matrix, t)):
        with pytest.raises(ValueError, match=r"\(4, 3\) and \(2,\) do not fit"):
            f()
    with pytest.raises(ValueError, match=r"\(2,\) and \(4, 3\) do not fit"):
        t @ matrix
    with pytest.raises(ValueError, match=r"one axis or two; its shape is \(\)"):
        tg.tensor(2.0) @ matrix
    with pytest.raises(ValueError, match=r"two axes; its shape is \(3,\)"):
        tg.sparse.matmul(scipy_sparse.coo_array(X), X)
    with pytest.raises(TypeError, match="both are sparse"):
        tg.sparse.matmul(matrix, matrix.T)
    with pytest.raises(ValueError, match=r"square; its shape is \(4, 3\)"):
        tg.grad(lambda x: np.sum(linalg.spsolve(matrix, x)))(np.ones(4))
