"""Functions of ``scipy.linalg`` on traced values: SciPy's values, derivatives to second order."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.ops.algebra.scipy_linalg import TABLE
from tapegrad.tape.program.printing import run_source

sl = pytest.importorskip("scipy.linalg")

RNG = np.random.default_rng(5)
GENERAL = RNG.normal(size=(3, 3))
SQUARE = GENERAL + 3 * np.eye(3)
DEFINITE = SQUARE @ SQUARE.T / 5
OTHER = DEFINITE[::-1, ::-1] + np.eye(3)
TALL = RNG.normal(size=(4, 2))
B, COLUMNS = np.arange(3.0) + 1, RNG.normal(size=(3, 2))
TURNING = np.array([[0.5, 2.0, 0.1], [-1.5, 0.3, 0.2], [0.4, -0.3, 1.7]])
APART = np.diag([1.0, 2.0, 4.0]) + GENERAL / 5
#: Which LDL takes with blocks of one column and of two.
INDEFINITE = np.array([[0.1, 2.0, 0.3], [2.0, -0.2, 0.5], [0.3, 0.5, 3.0]])
PAIR = np.array([[2.0, 0.3], [0.3, 1.0]])
COLUMNS_5 = RNG.normal(size=(5, 2))
HALF = np.array([[0, 0, 0.2, 0.3, 0.1], [0, 0.3, 0.2, 0.5, -0.2], [4.0, 5.0, 6.0, 4.5, 3.0]])
BAND = np.concatenate((HALF, [[0.3, -0.5, 0.2, 1.0, 0]]))

FUNCTIONS: dict[str, tuple[Any, Any]] = {
    "expm": (sl.expm, GENERAL),
    "sqrtm": (sl.sqrtm, SQUARE),
    "logm": (sl.logm, SQUARE),
    "cosm": (sl.cosm, GENERAL),
    "sinm": (sl.sinm, GENERAL),
    "tanm": (sl.tanm, GENERAL / 3),
    "coshm": (sl.coshm, GENERAL),
    "sinhm": (sl.sinhm, GENERAL),
    "tanhm": (sl.tanhm, GENERAL / 3),
    "fractional_matrix_power": (lambda a: sl.fractional_matrix_power(a, 0.3), DEFINITE),
    "the square": (lambda a: sl.fractional_matrix_power(a, 2), GENERAL),
    "expm_frechet": (lambda a: sl.expm_frechet(a, SQUARE)[1], GENERAL),
    "solve_triangular": (lambda a: sl.solve_triangular(a, B), SQUARE),
    "a lower triangle": (lambda a: sl.solve_triangular(a, COLUMNS, lower=True), SQUARE),
    "a unit triangle": (lambda a: sl.solve_triangular(a, B, "T", unit_diagonal=True), SQUARE),
    "right-hand sides": (lambda b: sl.solve_triangular(SQUARE, b, 2, lower=True), COLUMNS),
    "solve": (lambda a: sl.solve(a, B), SQUARE),
    "solve definite": (lambda a: sl.solve(a, COLUMNS, assume_a="pos", lower=True), DEFINITE),
    "solve transposed": (lambda a: sl.solve(a, B, transposed=True), SQUARE),
    "inv": (sl.inv, SQUARE),
    "det": (sl.det, SQUARE),
    "solve_sylvester": (lambda a: sl.solve_sylvester(a, a @ a, COLUMNS @ COLUMNS.T), SQUARE),
    "solve_continuous_lyapunov": (lambda q: sl.solve_continuous_lyapunov(SQUARE, q), GENERAL),
    "solve_discrete_lyapunov": (lambda a: sl.solve_discrete_lyapunov(a / 9, a), SQUARE),
    "bilinear": (lambda a: sl.solve_discrete_lyapunov(a / 9, a, "bilinear"), SQUARE),
    "lstsq": (lambda a: sl.lstsq(a, np.arange(4.0))[0], TALL),
    "residuals": (lambda a: sl.lstsq(a, np.arange(4.0))[1], TALL),
    "pinv": (sl.pinv, TALL),
    "pinvh": (lambda a: sl.pinvh(a, lower=False), DEFINITE),
    "cholesky": (sl.cholesky, DEFINITE),
    "lower cholesky": (lambda a: sl.cholesky(a, lower=True), DEFINITE),
    "cho_factor": (lambda a: sl.cho_factor(a)[0], DEFINITE),
    "cho_solve": (lambda a: sl.cho_solve(sl.cho_factor(a, True), COLUMNS), DEFINITE),
    "upper cho_solve": (lambda a: sl.cho_solve(sl.cho_factor(a), B), DEFINITE),
    "lu": (lambda a: sl.lu(a[::-1])[1], SQUARE),
    "u of lu": (lambda a: sl.lu(a, p_indices=True)[2], TALL.T),
    "lu in order": (lambda a: sl.lu(a, permute_l=True)[0], TALL),
    "lu_factor": (lambda a: sl.lu_factor(a)[0], TALL),
    "lu_factor of wide": (lambda a: sl.lu_factor(a)[0], TALL.T),
    "lu_solve": (lambda a: sl.lu_solve(sl.lu_factor(a[::-1]), B), SQUARE),
    "lu_solve transposed": (lambda a: sl.lu_solve(sl.lu_factor(a[::-1]), COLUMNS, 1), SQUARE),
    "qr": (lambda a: sl.qr(a, mode="economic")[0], TALL),
    "full qr": (lambda a: sl.qr(a)[1], TALL),
    "r": (lambda a: sl.qr(a, mode="r")[0], TALL),
    "pivoted qr": (lambda a: sl.qr(a, pivoting=True, mode="economic")[1], TALL),
    "svd": (lambda a: sl.svd(a, full_matrices=False)[2] ** 2, TALL),
    "svdvals": (sl.svdvals, TALL),
    "polar": (lambda a: sl.polar(a)[1], TALL),
    "left polar": (lambda a: sl.polar(a, "left")[0], SQUARE),
    "eigh": (lambda a: sl.eigh(a)[1] ** 2, DEFINITE),
    "eigh of a pencil": (lambda a: sl.eigh(a, OTHER)[1] ** 2, DEFINITE),
    "eigenvalues of a pencil": (lambda b: sl.eigh(DEFINITE, b, eigvals_only=True), OTHER),
    "eigvalsh": (lambda a: sl.eigvalsh(a, lower=False, subset_by_index=[0, 1]), DEFINITE),
    "block_diag": (lambda a: sl.block_diag(a, 2.0, a[:1]), TALL),
    "toeplitz": (lambda a: sl.toeplitz(a[:, 0], a[:, 1]), TALL),
    "symmetric toeplitz": (lambda a: sl.toeplitz(a[:, 0]), TALL),
    "hankel": (lambda a: sl.hankel(a[:, 0], a[:, 1]), TALL),
    "square hankel": (lambda a: sl.hankel(a[:, 0]), TALL),
    "circulant": (lambda a: sl.circulant(a[:, 0]), TALL),
    "companion": (lambda a: sl.companion(a[:, 0]), TALL),
    "norm": (sl.norm, TALL),
    "orth": (lambda a: sl.orth(a) ** 2, TALL),
    "signm": (sl.signm, SQUARE - 3 * np.eye(3)),
    "eigvals": (sl.eigvals, SQUARE),
    "eig": (lambda a: sl.eig(a)[1], TURNING),
    "schur": (lambda a: sl.schur(a)[0], APART),
    "vectors of schur": (lambda a: sl.schur(a)[1], APART),
    "ldl": (lambda a: sl.ldl(a)[0], INDEFINITE),
    "d of ldl": (lambda a: sl.ldl(a, lower=False)[1], INDEFINITE),
    "rq": (lambda a: sl.rq(a)[0], SQUARE),
    "q of rq": (lambda a: sl.rq(a, mode="economic")[1], TALL.T),
    "solve_banded": (lambda a: sl.solve_banded((1, 2), a, COLUMNS_5), BAND),
    "solve_banded, right": (lambda b: sl.solve_banded((1, 2), BAND, b[:, 0]), COLUMNS_5),
    "solveh_banded": (lambda a: sl.solveh_banded(a, COLUMNS_5), HALF),
    "lower solveh_banded": (lambda a: sl.solveh_banded(a, COLUMNS_5[:, 1], lower=True), HALF[::-1]),
    "solveh_banded, right": (lambda b: sl.solveh_banded(HALF, b), COLUMNS_5),
    "cholesky_banded": (sl.cholesky_banded, HALF),
    "lower cholesky_banded": (lambda a: sl.cholesky_banded(a, lower=True), HALF[::-1]),
    "cho_solve_banded": (
        lambda a: sl.cho_solve_banded((sl.cholesky_banded(a), False), COLUMNS_5),
        HALF,
    ),
    "lower cho_solve_banded": (
        lambda a: sl.cho_solve_banded((sl.cholesky_banded(a, lower=True), True), COLUMNS_5[:, 0]),
        HALF[::-1],
    ),
    "eigvals_banded": (lambda a: sl.eigvals_banded(a, select="i", select_range=(1, 3)), HALF),
    "eig_banded": (lambda a: sl.eig_banded(a, True, eigvals_only=True), HALF[::-1]),
    "eigvalsh_tridiagonal": (lambda a: sl.eigvalsh_tridiagonal(a[0], a[1, 1:]), BAND),
    "eigh_tridiagonal": (lambda a: sl.eigh_tridiagonal(a[0], a[1, 1:], True), BAND),
    "solve_toeplitz": (
        lambda a: sl.solve_toeplitz((a[1], a[0]), COLUMNS_5),
        1 + np.eye(2, 5) + BAND[1:3],
    ),
    "matmul_toeplitz": (lambda a: sl.matmul_toeplitz(a[1], a.T), BAND),
    "solve_continuous_are": (lambda a: sl.solve_continuous_are(a, COLUMNS, OTHER, PAIR), SQUARE),
    "continuous, by costs": (
        lambda a: sl.solve_continuous_are(SQUARE, a[:, :2], a @ a.T, a[:2, :2] @ a[:2, :2].T),
        SQUARE,
    ),
    "solve_discrete_are": (lambda a: sl.solve_discrete_are(a, COLUMNS, OTHER, PAIR), SQUARE),
    "discrete, by costs": (
        lambda a: sl.solve_discrete_are(SQUARE, a[:, :2], a @ a.T, a[:2, :2] @ a[:2, :2].T),
        SQUARE,
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_scipys_and_derivatives_hold(name: str) -> None:
    function, x = FUNCTIONS[name]
    np.testing.assert_allclose(tg.jvp(function, (x,), (x,))[0], function(x), 1e-11, 1e-12)
    tg.check_grads(function, (x,), order=2)


BATCHED = [
    "expm", "logm", "fractional_matrix_power", "right-hand sides", "a unit triangle", "solve definite",
    "solve_sylvester", "solve_discrete_lyapunov", "cho_factor", "lu in order", "lu_solve", "pivoted qr",
    "eigh of a pencil", "toeplitz", "eig", "schur", "ldl", "solve_banded", "solveh_banded",
    "cholesky_banded", "solve_discrete_are",
]  # fmt: skip


@pytest.mark.parametrize("name", BATCHED)
def test_batches_and_compiled_calls_give_the_same(name: str) -> None:
    function, x = FUNCTIONS[name]
    gradient = tg.grad(lambda x: np.sum(np.sin(np.abs(function(x)))))
    xs = np.stack([x, 1.1 * x])
    each = np.stack([gradient(x) for x in xs])
    np.testing.assert_allclose(tg.vmap(gradient)(xs), each, 1e-9, 1e-11)
    compiled = tg.jit(gradient)
    for k in (0, 1):
        np.testing.assert_allclose(compiled(xs[k]), each[k], 1e-9, 1e-11)


def plane(*shape: int) -> Any:
    return RNG.normal(size=shape) + 1j * RNG.normal(size=shape)


COMPLEX = plane(3, 3) + 2 * np.eye(3)
HERMITIAN = COMPLEX @ COMPLEX.conj().T
COMPLEX_BAND = HALF + 1j * (HALF != 0) * np.array([[0.3], [0.5], [0]])
IN_THE_PLANE: dict[str, tuple[Any, Any]] = {
    "expm": (sl.expm, COMPLEX),
    "logm": (sl.logm, COMPLEX),
    "fractional_matrix_power": (lambda a: sl.fractional_matrix_power(a, 0.3), COMPLEX),
    "sqrtm": (sl.sqrtm, COMPLEX),
    "solve_triangular": (lambda a: sl.solve_triangular(a, B, "C"), COMPLEX),
    "solve Hermitian": (lambda a: sl.solve(a, COLUMNS, assume_a="her"), HERMITIAN),
    "solve symmetric": (lambda a: sl.solve(a, COLUMNS, assume_a="sym"), COMPLEX + COMPLEX.T),
    "solve_sylvester": (lambda a: sl.solve_sylvester(a, a @ a, COMPLEX), COMPLEX),
    "solve_continuous_lyapunov": (lambda a: sl.solve_continuous_lyapunov(a, a @ a), COMPLEX),
    "solve_discrete_lyapunov": (lambda a: sl.solve_discrete_lyapunov(a / 9, a), COMPLEX),
    "lstsq": (lambda a: sl.lstsq(a, B)[0], COMPLEX[:, :2]),
    "pinv": (sl.pinv, COMPLEX[:2]),
    "pinvh": (sl.pinvh, HERMITIAN),
    "cholesky": (sl.cholesky, HERMITIAN),
    "cho_solve": (lambda a: sl.cho_solve(sl.cho_factor(a), COLUMNS), HERMITIAN),
    "lu": (lambda a: sl.lu(a[::-1])[1], COMPLEX),
    "lu_solve": (lambda a: sl.lu_solve(sl.lu_factor(a[::-1]), COLUMNS, 2), COMPLEX),
    "qr": (lambda a: sl.qr(a, mode="economic")[0], COMPLEX[:, :2]),
    "rq": (lambda a: sl.rq(a)[1], COMPLEX),
    "svd": (lambda a: sl.svd(a, full_matrices=False)[2], COMPLEX[:2]),
    "polar": (lambda a: sl.polar(a)[1], COMPLEX),
    # its signs are not the same from call to call
    "eigh": (lambda a: sl.eigh(a)[1] ** 2, HERMITIAN),
    "eigh of the upper triangle": (lambda a: sl.eigh(a, lower=False)[1] ** 2, HERMITIAN),
    "eigh of a pencil": (lambda a: sl.eigh(a, a @ a.conj().T)[1] ** 2, HERMITIAN),
    "eigvalsh": (sl.eigvalsh, HERMITIAN),
    "eig": (lambda a: sl.eig(a)[1], COMPLEX),
    "ldl": (lambda a: sl.ldl(a)[0], HERMITIAN),
    "ldl of symmetric ones": (lambda a: sl.ldl(a, hermitian=False)[1], COMPLEX + COMPLEX.T),
    "toeplitz": (lambda a: sl.toeplitz(a[0]), COMPLEX),
    "solve_banded": (lambda a: sl.solve_banded((0, 2), a, COLUMNS_5), COMPLEX_BAND),
    "solveh_banded": (lambda a: sl.solveh_banded(a, COLUMNS_5), COMPLEX_BAND),
    "cholesky_banded": (sl.cholesky_banded, COMPLEX_BAND),
    "cho_solve_banded": (
        lambda a: sl.cho_solve_banded((sl.cholesky_banded(a), False), COLUMNS_5),
        COMPLEX_BAND,
    ),
    "eigvals_banded": (sl.eigvals_banded, COMPLEX_BAND),
}


@pytest.mark.parametrize("name", IN_THE_PLANE)
def test_complex_matrices_have_scipys_values_and_derivatives(name: str) -> None:
    function, x = IN_THE_PLANE[name]
    found, expected = tg.jvp(function, (x,), (x,))[0], function(x)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, 1e-11, 1e-12)
    tg.check_grads(function, (x,), order=2)


def test_functions_with_a_cut_have_no_derivative_at_it() -> None:
    """There, sides cannot be told apart by numbers."""
    across = np.diag([-1.0, 2.0 + 0j])
    for function in (sl.sqrtm, sl.logm, lambda a: sl.fractional_matrix_power(a, 0.3)):
        assert np.isnan(tg.grad(lambda a, f=function: np.sum(f(a)).real)(across)).all()
        beside = across + np.diag([0.1j, 0])
        assert np.isfinite(tg.grad(lambda a, f=function: np.sum(f(a)).real)(beside)).all()


def test_whatever_is_listed_is_a_function_of_scipys() -> None:
    assert all(callable(getattr(sl, name)) for name in TABLE)


def test_all_results_are_scipys() -> None:
    def leaves(value: Any) -> list[Any]:
        return [v for v in value if v is not None] if isinstance(value, tuple) else [value]

    for function in (
        sl.lu, sl.lu_factor, sl.eigh, sl.svd, sl.qr, sl.polar, sl.cho_factor, sl.expm,
        lambda a: sl.lu(a, p_indices=True), lambda a: sl.qr(a, pivoting=True),
        lambda a: sl.lstsq(a, COLUMNS), lambda a: sl.pinv(a, return_rank=True),
        lambda a: sl.expm_frechet(a, a), lambda a: sl.solve(a.astype(np.float32), B),
        lambda a: sl.cholesky(a.astype(np.float32)), lambda a: sl.expm(a.astype(np.float32)),
    ):  # fmt: skip
        plain, found = leaves(function(DEFINITE)), leaves(tg.adapt(function)(tg.tensor(DEFINITE)))
        for a, b in zip(found, plain, strict=True):
            np.testing.assert_allclose(np.asarray(a), b, 1e-5 if a_single(b) else 1e-11, 1e-6)
            assert np.asarray(b).dtype.kind != "f" or np.asarray(a).dtype == b.dtype


def a_single(b: Any) -> bool:
    return bool(np.asarray(b).dtype == np.float32)


def test_the_hessian_of_the_trace_of_an_exponential_at_the_unit_matrix() -> None:
    """Its eigenvalues are equal; along an off-diagonal direction it is 2e."""
    hessian = tg.hessian(lambda a: np.trace(sl.expm(a)))(np.eye(2))
    direction = np.array([[0.0, 1.0], [1.0, 0.0]])
    along = np.einsum("ij,ijkl,kl", direction, hessian, direction)
    np.testing.assert_allclose(along, 2 * np.e, 1e-13)


def test_great_and_small_cotangents_lose_nothing() -> None:
    gradient = tg.grad(lambda a, c: np.sum(c * sl.expm(a)))(GENERAL, 1.0)
    for c in (1e-200, 1e12, 1e200):
        scaled = tg.grad(lambda a, c: np.sum(c * sl.expm(a)))(GENERAL, c)
        np.testing.assert_allclose(scaled / c, gradient, 1e-13)


def test_stacks_are_taken_one_by_one() -> None:
    stack = np.stack([DEFINITE, OTHER])
    for function in (sl.expm, sl.sqrtm, lambda a: sl.solve_triangular(a, COLUMNS), sl.eigvalsh):
        whole = tg.grad(lambda a, f=function: np.sum(f(a) ** 2))(stack)
        each = [tg.grad(lambda a, f=function: np.sum(f(a) ** 2))(a) for a in stack]
        np.testing.assert_allclose(whole, each, 1e-12)


def test_imperative_tensors_keep_their_graph_in_adapted_functions() -> None:
    x = tg.tensor(DEFINITE)
    tg.adapt(lambda a: np.sum(sl.cho_solve(sl.cho_factor(a), B)))(x).backward()
    expected = tg.grad(lambda a: np.sum(sl.cho_solve(sl.cho_factor(a), B)))(DEFINITE)
    np.testing.assert_allclose(x.grad, expected, 1e-12)


def test_a_density_of_many_variables_has_its_gradient_by_the_covariance() -> None:
    stats = pytest.importorskip("scipy.stats")

    def density(covariance: Any) -> Any:
        return stats.multivariate_normal.logpdf(B, np.zeros(3), covariance)

    inverse = np.linalg.inv(DEFINITE)
    expected = (np.outer(inverse @ B, inverse @ B) - inverse) / 2
    gradient = tg.grad(density)(DEFINITE)
    np.testing.assert_allclose((gradient + gradient.T) / 2, expected, 1e-9, 1e-10)


def test_tapes_with_them_print_and_pickle() -> None:
    with tg.Tape() as tape:
        x = tg.tensor(DEFINITE)
        y = tg.adapt(lambda a: sl.solve_triangular(sl.expm(a), B, lower=True))(x)
    program = tape.program((x,), (y,))
    again = pickle.loads(pickle.dumps(program))
    for result in (program(DEFINITE), again(DEFINITE), run_source(str(program), DEFINITE)):
        np.testing.assert_array_equal(
            np.asarray(result[0] if isinstance(result, tuple) else result), y.data
        )


def test_questions_are_constant() -> None:
    gradient = tg.grad(lambda a: np.sum(a) * sl.issymmetric(a) + sl.bandwidth(a)[0])(DEFINITE)
    np.testing.assert_array_equal(gradient, np.ones((3, 3)))


ERRORS: list[tuple[Any, Any, type[Exception], str]] = [
    (lambda a: sl.solve(a, B), np.full((3, 3), np.inf), ValueError, "infs or NaNs"),
    (lambda a: sl.solve_triangular(a, B, 7), SQUARE, ValueError, "trans=7"),
    (lambda a: sl.solve_triangular(a, B), np.eye(2), ValueError, "incompatible"),
    (lambda a: sl.solve(a, B, assume_a="banded"), SQUARE, TypeError, "is not known for tensors"),
    (lambda a: sl.pinv(a, atol=1e-9), SQUARE, TypeError, "pass rtol"),
    (lambda a: sl.eigh(a, type=2)[0], DEFINITE, TypeError, "not supported for tensors"),
    (lambda a: sl.qr(a, mode="raw")[1], SQUARE, TypeError, "use 'full', 'r' or 'economic'"),
    (sl.sqrtm, -np.eye(2), TypeError, "complex, and it has no derivative"),
    (sl.toeplitz, SQUARE, TypeError, "rows one by one"),
    (lambda a: sl.schur(a)[0], TURNING, TypeError, "eigenvalues are complex.*use np.linalg.eig"),
    (lambda a: sl.schur(a, "complex")[0], APART, TypeError, "phases.*use np.linalg.eig"),
    (lambda a: sl.eig(a, OTHER)[0], APART, TypeError, "no pencils: use"),
    (lambda a: sl.eig(a, left=True)[0], APART, TypeError, "no left vectors"),
    (sl.hessenberg, APART, TypeError, "use scipy.linalg.schur"),
    (lambda a: sl.funm(a, np.exp), APART, TypeError, "use expm"),
    (lambda a: sl.rq(a)[0], TALL, TypeError, "use mode='economic'"),
    (lambda a: sl.eig_banded(a)[1], HALF, TypeError, "pass eigvals_only=True"),
    (lambda a: sl.solve_banded((1, 1), a, B), BAND, ValueError, "not compatible"),
    (lambda a: sl.solve_continuous_are(a, a, a, a, e=a), APART, TypeError, "no e and no s"),
    (lambda a: sl.cholesky(a), -np.eye(2), np.linalg.LinAlgError, "definite"),
    (lambda a: sl.polar(a, "what")[0], SQUARE, ValueError, "`side`"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "x", "error", "words"), ERRORS)
def test_what_cannot_be_done_says_so(function: Any, x: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        tg.grad(lambda a: np.sum(function(a)))(x)


def test_what_cannot_be_differentiated_still_compiles() -> None:
    for function, x in (
        (lambda a: sl.solve(a, B, assume_a="banded"), SQUARE),
        (lambda a: sl.pinv(a, atol=1e-9), SQUARE),
        (lambda a: sl.qr(a, mode="raw")[1], SQUARE),
    ):
        np.testing.assert_allclose(tg.jit(function)(x), function(x), 1e-12)
