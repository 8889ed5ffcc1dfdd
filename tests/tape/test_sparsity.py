"""Sparse jacobians and hessians: the same numbers as dense ones, from few vectors."""

from __future__ import annotations

import collections
import itertools
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.errors import PatternError
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.transforms import compression, sparsity

sys.path.append(str(Path(__file__).parents[2]))
from examples.gallery import bundle_adjustment

RNG = np.random.default_rng(5)
X = RNG.normal(size=7)
INDEX = np.array([2, 0, 2, 5])


def dense(rows: Any) -> Any:
    """The matrix as an array."""
    data, indices, indptr, shape = rows
    full = np.zeros(shape)
    full[np.repeat(np.arange(shape[0]), np.diff(indptr)), indices] = data
    assert all(np.all(np.diff(indices[a:b]) > 0) for a, b in itertools.pairwise(indptr))
    return full


def jacobian_of(function: Any, *args: Any, argnums: Any = 0) -> Any:
    """The dense jacobian as one matrix."""
    results = tg.tree_leaves(function(*args))
    rows = []
    for k in range(len(results)):
        blocks = tg.jacobian(lambda *a, k=k: tg.tree_leaves(function(*a))[k], argnums)(*args)
        leaves = tg.tree_leaves(blocks)
        height = np.size(results[k])
        widths = [np.size(b) // height if height else X.size for b in leaves]
        rows.append(np.concatenate([np.reshape(b, (height, w)) for b, w in zip(leaves, widths)], 1))
    return np.concatenate(rows)


def schemes_of(function: Any, *args: Any, symmetric: bool = False, argnums: Any = 0) -> Any:
    """The scheme that is made for a call."""
    made: list[Any] = []
    before = sparsity.scheme_of
    sparsity.scheme_of = lambda *a, **k: made.append(before(*a, **k)) or made[-1]
    try:
        make = tg.sparse_hessian if symmetric else tg.sparse_jacobian
        make(function, argnums, triple=True)(*args)
    finally:
        sparsity.scheme_of = before
    return made[0]


def stored(x: Any) -> Any:
    out = np.zeros(9)
    out[1:8] = x**2
    out[3] += x[0]
    out[INDEX] *= 2.0
    return out


def matrix(x: Any) -> Any:
    grid = np.reshape(np.tile(x, 4), (4, 7))
    return np.concatenate([grid.T @ np.arange(4.0), np.diff(grid, axis=0).ravel(), [x[2] * x[3]]])


FUNCTIONS = {
    "square": lambda x: x**2,
    "stencil": lambda x: x[2:] - 2 * x[1:-1] ** 2 + x[:-2],
    "gather": lambda x: x[INDEX] * np.sin(x[INDEX[::-1]]),
    "gathered twice": lambda x: np.exp(x[INDEX][1:] * x[[0, 1, 2]]),
    "one dense row": lambda x: np.concatenate([[np.sum(x**2)], np.sin(x)]),
    "one dense column": lambda x: x * x[0],
    "few arguments": lambda x: np.sin(np.arange(40.0) * x[0]) + np.repeat(x, 6)[:40],
    "sums": lambda x: np.array([np.sum(x[:3] ** 2), np.prod(x[3:]), np.max(x), 1.0]),
    "cumulative": lambda x: np.cumsum(x**2),
    "sorted": lambda x: np.sort(x)[1:] * x[:-1],
    "matrix": matrix,
    "einsum": lambda x: np.einsum("ij,jk->ik", np.outer(x, x)[:, :3], np.ones((3, 2))) ** 2,
    "writes": stored,
    "constant": lambda x: np.ones(3) + 0 * np.floor(x[:3]),
    "the argument itself": lambda x: x,
    "a nest": lambda x: {"a": x[1:] * x[:-1], "b": (x[0], [np.sum(x[2:4] ** 2)])},
    "where": lambda x: np.where(x > 0, x**2, x[::-1]),
    "softmax": lambda x: np.exp(x) / np.sum(np.exp(x)),
    "rolled": lambda x: np.roll(x, 1) * np.roll(x, -1),
    "norms": lambda x: np.linalg.norm(np.outer(x, x) + np.eye(7), axis=1),
    "jitted": tg.jit(lambda x: np.sin(x[1:]) * x[:-1]),
    "a solver": lambda x: np.convolve(x, [1.0, 2.0, 1.0]) ** 2,
    "empty": lambda x: x[:0],
    "scalar": lambda x: x[0] * x[3],
}


@pytest.mark.parametrize("options", [{}, {"chunk": 2}, {"compiled": True}], ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_sparse_jacobian_is_the_jacobian(name: str, options: Any) -> None:
    function = FUNCTIONS[name]
    sparse = tg.sparse_jacobian(function, triple=True, **options)
    for _ in range(2):  # the second time, the scheme is known
        np.testing.assert_allclose(dense(sparse(X)), jacobian_of(function, X), 1e-12, 1e-14)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_pattern_holds_all_that_is_not_zero(name: str) -> None:
    pattern = dense(tg.sparsity(FUNCTIONS[name], triple=True)(X)) != 0
    assert np.all(pattern[jacobian_of(FUNCTIONS[name], X) != 0])


SCALARS = {
    "chained": lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2),
    "linear": lambda x: np.sum(3 * x[1:] - x[:-1]),
    "separable": lambda x: np.sum(np.exp(x) * x),
    "one coupled with all": lambda x: np.sum(x[1:] ** 2 * x[0]) + np.sum(np.cos(x)),
    "two coupled with all": lambda x: np.sum(np.sin(x[2:] * x[0]) * x[1]),
    "dense": lambda x: np.log(np.sum(np.exp(x))),
    "products": lambda x: np.prod(x[:3]) + np.prod(x[2:5]) * x[6],
    "matrix": lambda x: np.sum(np.outer(x, x) @ np.ones(7)) + x[0] ** 3,
    "gather": lambda x: np.sum(x[INDEX] ** 2 * x[INDEX + 1]),
    "jitted": tg.jit(lambda x: np.sum(x[1:] * x[:-1] ** 2)),
    "absolute": lambda x: np.sum(np.abs(x) * x[::-1] ** 2),
}


@pytest.mark.parametrize("options", [{}, {"chunk": 1}, {"compiled": True}], ids=str)
@pytest.mark.parametrize("name", SCALARS)
def test_a_sparse_hessian_is_the_hessian(name: str, options: Any) -> None:
    function = SCALARS[name]
    sparse = tg.sparse_hessian(function, triple=True, **options)
    for _ in range(2):
        found = dense(sparse(X))
        np.testing.assert_allclose(found, tg.hessian(function)(X), 1e-11, 1e-12)
        np.testing.assert_array_equal(found, found.T)


@pytest.mark.parametrize("name", SCALARS)
def test_the_pattern_of_a_hessian_is_symmetric_and_holds_it(name: str) -> None:
    pattern = dense(tg.sparsity(SCALARS[name], order=2, triple=True)(X)) != 0
    assert np.array_equal(pattern, pattern.T)
    assert np.all(pattern[tg.hessian(SCALARS[name])(X) != 0])


def test_what_is_linear_has_no_part_in_a_hessian() -> None:
    pattern = tg.sparsity(lambda x: np.sum(x[1:] - 3 * x[:-1]) + x[2] * x[4], order=2, triple=True)
    assert dense(pattern(X)).nonzero()[0].tolist() == [2, 4]


@pytest.mark.parametrize(
    ("name", "way", "number"),
    [
        ("square", "rows", 1),
        ("stencil", "cut", 1),
        ("one dense row", "rows", 2),
        ("one dense column", "columns", 2),
        ("few arguments", "columns", 2),
        ("rolled", "cut", 1),
    ],
)
def test_few_vectors_are_needed_for(name: str, way: str, number: int) -> None:
    scheme = schemes_of(FUNCTIONS[name], X)
    assert (scheme.way, scheme.number) == (way, number)


@pytest.mark.parametrize(
    ("name", "number"),
    [("chained", 3), ("linear", 0), ("separable", 1), ("one coupled with all", 2),
     ("two coupled with all", 3), ("dense", 7)],
)  # fmt: skip
def test_few_products_are_needed_for_the_hessian(name: str, number: int) -> None:
    assert schemes_of(SCALARS[name], X, symmetric=True).number == number


def test_three_colours_serve_a_chain_of_any_length() -> None:
    scheme = schemes_of(SCALARS["chained"], np.ones(100_000), symmetric=True)
    assert (scheme.number, len(scheme.indices)) == (3, 299_998)


def test_bundle_adjustment_needs_two_pullbacks_where_columns_need_fifteen() -> None:
    args = bundle_adjustment.data(4, 30, 200)
    wrt = (0, 1, 2)
    scheme = schemes_of(bundle_adjustment.residuals, *args, argnums=wrt)
    assert (scheme.way, scheme.number) == ("cut", 2)
    rows = np.repeat(np.arange(600), np.diff(scheme.indptr))
    shapes = [args[i].shape for i in wrt]
    colours = compression.coloured(scheme.indices, rows, shapes)
    assert (
        compression.least(rows) == 14
    )  # each residual knows one coordinate of the principal point
    assert colours.max() + 1 <= 15
    sparse = tg.sparse_jacobian(bundle_adjustment.residuals, wrt, triple=True)(*args)
    expected = jacobian_of(bundle_adjustment.residuals, *args, argnums=wrt)
    np.testing.assert_allclose(dense(sparse), expected, 1e-12, 1e-14)


# Arguments and results ---------------------------------------------------------------------------


def test_nests_of_arguments_are_columns_one_after_the_other() -> None:
    Point = collections.namedtuple("Point", "x y")
    args = Point(X[:3], X[3:]), {"s": 2.0}

    def function(p: Any, q: Any) -> Any:
        return {"u": p.x * q["s"], "v": p.y[1:] * p.y[:-1]}

    for argnums in (0, 1, (0, 1), (1, 0), [-1]):
        found = tg.sparse_jacobian(function, argnums, triple=True)(*args)
        expected = jacobian_of(function, *args, argnums=argnums)
        np.testing.assert_allclose(dense(found), expected, 1e-13)
    hessian = tg.sparse_hessian(lambda p: np.sum(p["a"] ** 2) * p["b"], triple=True)
    found = dense(hessian({"a": np.array([1.0, 2.0]), "b": 3.0}))
    np.testing.assert_array_equal(found, [[6, 0, 2], [0, 6, 4], [2, 4, 0]])


def test_keyword_arguments_and_aux_are_passed_on() -> None:
    def function(x: Any, *, scale: float) -> Any:
        return x**2 * scale, {"sum": np.sum(x)}

    found, aux = tg.sparse_jacobian(function, has_aux=True, triple=True)(X, scale=2.0)
    np.testing.assert_allclose(found.data, 4 * X)
    assert aux["sum"] == np.sum(X)
    found, aux = tg.sparse_hessian(
        lambda x: (np.sum(x**2), "aux"), has_aux=True, triple=True, compiled=True
    )(X)
    assert aux == "aux"
    np.testing.assert_array_equal(found.data, np.full(7, 2.0))
    assert tg.sparsity(lambda x: (x, 1), has_aux=True, triple=True)(X)[1] == 1


def test_dtypes_are_those_of_the_arguments() -> None:
    for dtype in (np.float32, np.float64):
        assert tg.sparse_jacobian(np.sin, triple=True)(X.astype(dtype)).data.dtype == dtype
        assert (
            tg.sparse_hessian(SCALARS["chained"], triple=True)(X.astype(dtype)).data.dtype == dtype
        )


def test_the_pattern_is_found_anew_on_another_branch_and_for_other_shapes() -> None:
    def function(x: Any) -> Any:
        return x[1:] * x[:-1] if x[0] > 0 else np.sum(x) * x[1:]

    for options in ({}, {"compiled": True}):
        sparse = tg.sparse_jacobian(function, triple=True, **options)
        for x in (np.arange(1.0, 5), -np.arange(1.0, 5), np.arange(1.0, 7), np.arange(1.0, 5)):
            np.testing.assert_allclose(dense(sparse(x)), jacobian_of(function, x))


@pytest.mark.parametrize("options", [{}, {"compiled": True}], ids=str)
def test_the_pattern_is_found_anew_for_other_indices(options: Any) -> None:
    index = np.array([0, 1, 2])
    sparse = tg.sparse_jacobian(lambda x: x[index] * x[3], triple=True, **options)
    for new in ([0, 1, 2], [2, 2, 1], [3, 3, 3]):
        index[:] = new
        expected = np.zeros((3, 7))
        expected[range(3), new] += X[3]
        expected[:, 3] += X[new]
        np.testing.assert_allclose(dense(sparse(X)), expected)


def test_a_scheme_is_made_once(monkeypatch: Any) -> None:
    count = []
    before = sparsity.scheme_of
    monkeypatch.setattr(sparsity, "scheme_of", lambda *a, **k: count.append(1) or before(*a, **k))
    sparse = tg.sparse_jacobian(bundle_adjustment.residuals, (0, 1, 2), triple=True)
    for _ in range(3):
        sparse(*bundle_adjustment.data(2, 3, 5))
    assert len(count) == 1


def test_constants_of_other_shapes_are_another_pattern() -> None:
    front = [2]

    def function(x: Any) -> Any:
        k = front[0]
        return np.concatenate([np.ones(k), x**2, np.ones(3 - k)]) * 2.0

    sparse = tg.sparse_jacobian(function, triple=True)
    for k in (2, 0, 3):
        front[0] = k
        np.testing.assert_allclose(dense(sparse(X)), jacobian_of(function, X))


def test_what_values_are_chosen_is_no_part_of_the_pattern(monkeypatch: Any) -> None:
    count = []
    before = sparsity.scheme_of
    monkeypatch.setattr(sparsity, "scheme_of", lambda *a, **k: count.append(1) or before(*a, **k))
    sparse = tg.sparse_jacobian(lambda x: np.where(x > 0, x**2, -x) * x[::-1], triple=True)
    compiled = tg.sparse_jacobian(sparse.function, triple=True, compiled=True)
    for x in (X, -X, X[::-1]):
        expected = jacobian_of(sparse.function, x)
        np.testing.assert_allclose(dense(sparse(x)), expected)
        np.testing.assert_allclose(dense(compiled(x)), expected)
    assert len(count) == 2


# Other transformations ---------------------------------------------------------------------------


def test_sparse_derivatives_are_differentiated_batched_and_compiled() -> None:
    def data(x: Any) -> Any:
        return np.sum(tg.sparse_jacobian(lambda x: np.sin(x[1:]) * x[:-1], triple=True)(x).data)

    def same(x: Any) -> Any:
        return np.sum(tg.jacobian(lambda x: np.sin(x[1:]) * x[:-1])(x))

    np.testing.assert_allclose(tg.grad(data)(X), tg.grad(same)(X), 1e-12)
    np.testing.assert_allclose(tg.jit(tg.grad(data))(X), tg.grad(same)(X), 1e-12)
    batch = np.stack([X, 2 * X])
    np.testing.assert_allclose(tg.vmap(data)(batch), [data(X), data(2 * X)], 1e-12)
    whole = tg.jit(tg.sparse_hessian(SCALARS["chained"], triple=True))
    for x in (X, 2 * X):
        np.testing.assert_allclose(dense(whole(x)), tg.hessian(SCALARS["chained"])(x), 1e-12)
    assert whole.stats().eager_calls == 0


def test_what_is_made_prints_and_pickles() -> None:
    sparse = tg.sparse_jacobian(np.square, chunk=2)
    assert repr(sparse) == "<sparse_jacobian(square, chunk=2)>"
    again = pickle.loads(pickle.dumps(tg.sparse_hessian(np.sum, triple=True, compiled=True)))
    assert again(X).shape == (7, 7)
    assert repr(tg.sparsity(np.sum, order=2)) == "<sparsity(sum, order=2)>"


# Errors ------------------------------------------------------------------------------------------


def test_a_wrong_declaration_is_found_by_a_random_vector() -> None:
    def rule(g: Any, y: Any, x: Any) -> Any:
        return np.roll(g, -1)

    rolled = Primitive(
        "rolled",
        lambda x: np.roll(x, 1),
        (rule,),
        jvp="linear",
        family="elementwise",
        register=False,
    )
    function = lambda x: rolled(x) ** 2
    tg.sparse_jacobian(np.square, check=True)(X)
    with pytest.raises(PatternError, match=r"sparse_jacobian\(.*\): the pattern is wrong. Row \d"):
        tg.sparse_jacobian(function, check=True)(X)
    tg.sparse_hessian(SCALARS["dense"], check=True, compiled=True)(X)


def test_a_check_of_traced_values_is_refused() -> None:
    data = lambda x: np.sum(tg.sparse_jacobian(np.square, triple=True, check=True)(x).data)
    with pytest.raises(TypeError, match="check=True compares numbers"):
        tg.grad(data)(X)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="order must be 1"):
        tg.sparsity(np.sin, order=3)
    with pytest.raises(ValueError, match="chunk must be a positive number"):
        tg.sparse_jacobian(np.sin, chunk=0)
    with pytest.raises(TypeError, match="sparse_jacobian takes a function"):
        tg.sparse_jacobian(3.0)
    with pytest.raises(TypeError, match="sparse_hessian takes a function"):
        tg.sparse_hessian(3.0)
    with pytest.raises(TypeError, match="differentiates by float arguments"):
        tg.sparse_jacobian(np.sin)(3)
    with pytest.raises(TypeError, match="has no derivative"):
        tg.sparse_jacobian(np.argsort)(X)
    with pytest.raises(tg.NonScalarOutputError, match="must return a scalar"):
        tg.sparse_hessian(np.sin)(X)
    with pytest.raises(MemoryError, match="nearly dense"):
        tg.sparsity(lambda x: x * np.sum(x))(np.ones(100_000))


def test_without_scipy_there_is_a_triple(monkeypatch: Any) -> None:
    monkeypatch.setattr(sparsity, "find_spec", lambda name: None)
    assert type(tg.sparse_jacobian(np.sin)(X)) is tg.CompressedRows


# With SciPy --------------------------------------------------------------------------------------


def test_scipy_gets_its_own_matrices() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    for matrix in (
        tg.sparse_jacobian(FUNCTIONS["stencil"])(X),
        tg.sparse_hessian(SCALARS["chained"])(X),
        tg.sparse_hessian(SCALARS["chained"], compiled=True)(X),
        tg.sparsity(FUNCTIONS["stencil"])(X),
    ):
        assert isinstance(matrix, sparse.csr_array)
        assert matrix.has_sorted_indices
    expected = jacobian_of(FUNCTIONS["stencil"], X)
    np.testing.assert_allclose(tg.sparse_jacobian(FUNCTIONS["stencil"])(X).toarray(), expected)
    matrix.indices[:] = 0  # it is the caller's: the next is another
    assert tg.sparsity(FUNCTIONS["stencil"])(X).indices.any()
    jacobian = tg.sparse_jacobian(FUNCTIONS["stencil"])
    jacobian(X).indices[:] = 0
    np.testing.assert_allclose(jacobian(X).toarray(), expected)


def test_traced_values_are_refused_where_scipy_would_hold_them() -> None:
    pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match="Pass triple=True"):
        tg.grad(lambda x: tg.sparse_jacobian(np.square)(x).data.sum())(X)


def test_scipys_solvers_take_them() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    integrate = pytest.importorskip("scipy.integrate")

    def system(x: Any) -> Any:
        return np.concatenate([10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1]])

    start = np.full(10, 0.5)
    plain = optimize.least_squares(system, start, jac=tg.sparse_jacobian(system))
    pattern = tg.sparsity(system)(start)
    estimated = optimize.least_squares(system, start, jac_sparsity=pattern)
    np.testing.assert_allclose(plain.x, np.ones(10), atol=1e-6)
    np.testing.assert_allclose(estimated.x, np.ones(10), atol=1e-6)

    function = SCALARS["chained"]
    found = optimize.minimize(
        function, start, method="trust-constr", jac=tg.grad(function),
        hess=tg.sparse_hessian(function),
    )  # fmt: skip
    np.testing.assert_allclose(found.x, np.ones(10), atol=1e-4)

    def heat(t: float, u: Any) -> Any:
        return np.concatenate([[0.0], 50 * (u[2:] - 2 * u[1:-1] + u[:-2]), [0.0]])

    u = np.sin(np.linspace(0, np.pi, 20))
    pattern = tg.sparsity(heat, 1)(0.0, u)
    jac = tg.sparse_jacobian(heat, 1)
    for options in ({"jac_sparsity": pattern}, {"jac": jac}):
        solved = integrate.solve_ivp(heat, (0, 0.1), u, method="BDF", **options)
        assert solved.success
