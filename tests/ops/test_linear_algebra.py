"""The functions of ``numpy.linalg``: values are NumPy's, derivatives hold, hard places are honest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg

RNG = np.random.default_rng(3)
SQUARE = RNG.normal(size=(3, 3)) + 3 * np.eye(3)
TALL = RNG.normal(size=(4, 2))
REAL = np.diag([1.0, 2.0, 4.0]) + 0.2 * RNG.normal(size=(3, 3))
DEFINITE = SQUARE @ SQUARE.T
STACK = RNG.normal(size=(2, 3, 3)) + 3 * np.eye(3)
LINALG = np.linalg

FUNCTIONS: dict[str, tuple[Any, Any]] = {
    "inv": (LINALG.inv, SQUARE),
    "inv of a stack": (LINALG.inv, STACK),
    "det": (LINALG.det, STACK),
    "slogdet": (lambda a: LINALG.slogdet(-a)[1], STACK),
    "solve for a vector": (lambda a: LINALG.solve(a, np.arange(3.0)), SQUARE),
    "solve for a stack": (lambda a: LINALG.solve(a, STACK), SQUARE),
    "solve in a stack": (lambda a: LINALG.solve(a, SQUARE), STACK),
    "solve by the right-hand side": (lambda b: LINALG.solve(STACK, b), TALL[:3]),
    "cholesky": (LINALG.cholesky, DEFINITE),
    "upper cholesky": (lambda a: LINALG.cholesky(a, upper=True), DEFINITE),
    "qr": (lambda a: LINALG.qr(a)[0], TALL),
    "r of a wide matrix": (lambda a: LINALG.qr(a, "r"), TALL.T),
    "complete qr": (lambda a: LINALG.qr(a, "complete")[0], SQUARE),
    "eigenvalues": (LINALG.eigvalsh, SQUARE),
    "eigenvalues by the upper triangle": (lambda a: LINALG.eigvalsh(a, "U"), SQUARE),
    "eigenvectors": (lambda a: LINALG.eigh(a)[1] ** 2, STACK),
    "singular values": (LINALG.svdvals, TALL),
    "singular vectors": (lambda a: LINALG.svd(a)[0] ** 2, SQUARE),
    "right singular vectors": (lambda a: LINALG.svd(a, full_matrices=False)[2] ** 2, TALL),
    "svd of symmetric ones": (lambda a: LINALG.svd(a - 9, hermitian=True)[2] ** 2, SQUARE),
    "symmetric singular values": (lambda a: LINALG.svd(a - 9, False, False, True), SQUARE),
    "any eigenvalues": (lambda a: np.sort(LINALG.eigvals(a)), REAL),
    "any eigenvectors": (lambda a: LINALG.eig(a)[1] ** 2, np.stack([REAL, REAL.T])),
    "pinv of symmetric ones": (lambda a: LINALG.pinv(a, hermitian=True), SQUARE),
    "pinv": (LINALG.pinv, TALL),
    "pinv of a wide matrix": (lambda a: LINALG.pinv(a, rtol=1e-10), TALL.T),
    "lstsq": (lambda a: LINALG.lstsq(a, np.arange(4.0))[0], TALL),
    "residuals of lstsq": (lambda a: LINALG.lstsq(a, np.eye(4))[1], TALL),
    "underdetermined lstsq": (lambda a: LINALG.lstsq(a, TALL[:2], rcond=1e-9)[0], TALL.T),
    "a power": (lambda a: LINALG.matrix_power(a, 5), STACK),
    "a negative power": (lambda a: LINALG.matrix_power(a, -3), SQUARE),
    "the first power": (lambda a: LINALG.matrix_power(a, 1), SQUARE),
    "cond": (LINALG.cond, TALL),
    "cond -2": (lambda a: LINALG.cond(a, -2), STACK),
    "cond 1": (lambda a: LINALG.cond(a, 1), SQUARE),
    "cond fro": (lambda a: LINALG.cond(a, "fro"), STACK),
    "tensorinv": (lambda a: LINALG.tensorinv(np.reshape(a, (3, 3, 1)), ind=1), SQUARE),
    "tensorsolve": (lambda a: LINALG.tensorsolve(a, np.arange(3.0), axes=(0,)), SQUARE),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_derivatives_are_right(name: str) -> None:
    function, x = FUNCTIONS[name]
    np.testing.assert_allclose(tg.jvp(function, (x,), (x,))[0], function(x), 1e-12, 1e-13)
    tg.check_grads(function, (x,), order=2)
    imperative = tg.tensor(x)
    y = np.sum(function(imperative))
    np.testing.assert_allclose(y.data, np.sum(function(x)), 1e-12)
    y.backward()
    gradient = tg.grad(lambda x: np.sum(function(x)))(x)
    np.testing.assert_allclose(imperative.grad, gradient, 1e-12, 1e-13)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_batches_and_compiled_calls_give_the_same(name: str) -> None:
    function, x = FUNCTIONS[name]
    gradient = tg.grad(lambda x: np.sum(np.sin(function(x))))
    xs = np.stack([x, 1.1 * x])
    each = np.stack([gradient(x) for x in xs])
    np.testing.assert_allclose(tg.vmap(gradient)(xs), each, 1e-9, 1e-11)
    compiled = tg.jit(gradient)
    for k in (0, 1):
        np.testing.assert_allclose(compiled(xs[k]), each[k], 1e-9, 1e-11)
    assert compiled.stats().eager_calls == 0


def test_named_results_are_numpys() -> None:
    x = tg.tensor(SQUARE)
    for found, plain in [
        (LINALG.slogdet(x), LINALG.slogdet(SQUARE)),
        (LINALG.qr(x), LINALG.qr(SQUARE)),
        (LINALG.eigh(x), LINALG.eigh(SQUARE)),
        (LINALG.eig(tg.tensor(REAL)), LINALG.eig(REAL)),
        (LINALG.svd(x, hermitian=True), LINALG.svd(SQUARE, hermitian=True)),
        (LINALG.svd(tg.tensor(TALL)), LINALG.svd(TALL)),
        (LINALG.svd(tg.tensor(TALL.T)), LINALG.svd(TALL.T)),
        (LINALG.qr(tg.tensor(TALL), "complete"), LINALG.qr(TALL, "complete")),
        (LINALG.svd(x), LINALG.svd(SQUARE)),
    ]:
        assert type(found) is type(plain)
        for a, b in zip(found, plain, strict=True):
            np.testing.assert_allclose(np.asarray(a), b, 1e-12, 1e-13)
    found, plain = LINALG.lstsq(tg.tensor(TALL), np.eye(4)), LINALG.lstsq(TALL, np.eye(4))
    for a, b in zip(found, plain, strict=True):
        np.testing.assert_allclose(np.asarray(a), b, 1e-12, 1e-13)


def test_integers_and_float32_are_taken_as_numpy_takes_them() -> None:
    assert LINALG.inv(tg.tensor([[2, 0], [0, 1]])).dtype == np.float64
    assert LINALG.inv(tg.tensor(SQUARE.astype(np.float32))).dtype == np.float32
    assert tg.grad(LINALG.det)(SQUARE.astype(np.float32)).dtype == np.float32
    with pytest.raises(TypeError, match="float16 is unsupported in linalg"):
        LINALG.inv(tg.tensor(SQUARE.astype(np.float16)))


def test_only_the_triangle_that_is_read_has_a_gradient() -> None:
    for function, kept in (
        (LINALG.cholesky, np.tril),
        (lambda a: LINALG.cholesky(a, upper=True), np.triu),
        (LINALG.eigvalsh, np.tril),
        (lambda a: LINALG.eigvalsh(a, "u"), np.triu),
    ):
        gradient = tg.grad(lambda a, f=function: np.sum(f(a) ** 2))(DEFINITE)
        np.testing.assert_array_equal(gradient, kept(gradient))
        half = kept(DEFINITE)
        np.testing.assert_allclose(function(tg.tensor(half)).data, function(half), 1e-13, 1e-14)
        np.testing.assert_allclose(function(half), function(DEFINITE), 1e-13, 1e-14)


# Hard places -------------------------------------------------------------------------------------


def test_the_gradient_of_a_determinant_is_right_at_singular_matrices() -> None:
    rank_one = np.outer([1.0, 2.0], [3.0, 4.0])
    np.testing.assert_allclose(tg.grad(LINALG.det)(rank_one), [[8, -6], [-4, 3]], 1e-12)
    np.testing.assert_array_equal(tg.grad(LINALG.det)(np.zeros((3, 3))), np.zeros((3, 3)))
    with pytest.raises(LINALG.LinAlgError):
        tg.hessian(LINALG.det)(np.zeros((2, 2)))


def test_what_does_not_depend_on_the_vectors_has_a_gradient_at_equal_values() -> None:
    unit = np.eye(3)
    gradient = tg.grad(lambda a: np.sum(np.exp(LINALG.eigvalsh(a))))(unit)
    np.testing.assert_allclose(gradient, np.e * unit, 1e-14)
    np.testing.assert_allclose(tg.grad(lambda a: np.sum(LINALG.svdvals(a)))(unit), unit)

    def rebuilt(a: Any) -> Any:
        w, v = LINALG.eigh(a)
        return np.sum((v * np.exp(w)[..., None, :]) @ v.T * np.diag([1.0, 1.0, 1.0]))

    np.testing.assert_allclose(tg.grad(rebuilt)(unit), np.e * unit, 1e-14)


def test_what_depends_on_the_vectors_has_none() -> None:
    weights = np.arange(9.0).reshape(3, 3)
    assert np.isnan(tg.grad(lambda a: np.sum(LINALG.eigh(a)[1] * weights))(np.eye(3))).any()
    assert np.isnan(tg.grad(lambda a: np.sum(LINALG.eig(a)[1] * weights))(np.eye(3))).any()
    gradient = tg.grad(lambda a: np.sum(LINALG.svd(a)[0] * weights))(2 * np.eye(3))
    assert np.isnan(gradient).all()


def test_what_is_put_together_again_at_equal_values_is_no_silent_zero() -> None:
    """Its derivative is a limit of what is 0 / 0 there: of a matrix itself, by its triangle, 12."""
    weights = np.arange(9.0).reshape(3, 3)

    def rebuilt(a: Any) -> Any:
        w, v = LINALG.eigh(a)
        return np.sum(v * w @ v.T * weights)

    def decomposed(a: Any) -> Any:
        u, s, vh = LINALG.svd(a)
        return np.sum(u * s @ vh * weights)

    def polar(a: Any) -> Any:
        u, _, vh = LINALG.svd(a)
        return np.sum(u @ vh * weights)

    for at in (np.eye(3), np.diag([1.0, 2.0, 2.0])):
        assert np.isnan(tg.grad(rebuilt)(at)[2, 1])
        assert np.isnan(tg.grad(decomposed)(at)).all()
        assert np.isnan(tg.grad(polar)(at)).all()
    apart = np.diag([1.0, 2.0, 3.0])
    np.testing.assert_allclose(tg.grad(rebuilt)(apart)[2, 1], 12.0, 1e-12)
    np.testing.assert_allclose(tg.grad(decomposed)(apart), weights, 1e-12, 1e-12)


def test_second_derivatives_at_equal_values_are_no_silent_zeros() -> None:
    """Of tr exp(A) at the unit matrix it is 2e along an off-diagonal direction."""
    direction = np.array([[0.0, 1.0], [1.0, 0.0]])
    for function in (
        lambda a: np.sum(np.exp(LINALG.eigvalsh(a))),
        lambda a: np.sum(np.exp(LINALG.svdvals(a))),
        lambda a: np.sum(np.exp(LINALG.eigvals(a))),
    ):
        along = np.sum(tg.hvp(function, (np.eye(2),), (direction,)) * direction)
        assert np.isnan(along) or np.isclose(along, 2 * np.e)
        whole = np.einsum("ij,ijkl,kl", direction, tg.hessian(function)(np.eye(2)), direction)
        assert np.isnan(whole) or np.isclose(whole, 2 * np.e)
        apart = np.diag([1.0, 1.5])
        slope = (np.exp(1.5) - np.e) / 0.5  # the divided difference
        along = np.sum(tg.hvp(function, (apart,), (direction,)) * direction)
        np.testing.assert_allclose(along, 2 * slope, 1e-10)


def test_vectors_of_singular_values_of_zero_have_no_derivative() -> None:
    deficient = np.outer([1.0, 2.0, 3.0], [1.0, 2.0])
    for a, part in ((deficient, 0), (deficient.T, 2)):
        gradient = tg.grad(lambda a, k=part: np.sum(LINALG.svd(a, full_matrices=False)[k] ** 3))(a)
        assert np.isnan(gradient).all()
    values = tg.grad(lambda a: np.sum(LINALG.svdvals(a) ** 2))(deficient)
    np.testing.assert_allclose(values, 2 * deficient, 1e-12)


def test_one_degenerate_matrix_of_a_stack_leaves_the_others_alone() -> None:
    stack = np.stack([np.eye(2), np.diag([1.0, 2.0])])
    hessian = tg.hvp(lambda a: np.sum(np.exp(LINALG.eigvalsh(a))), (stack,), (np.ones((2, 2, 2)),))
    assert np.isnan(hessian[0]).any()
    assert np.isfinite(hessian[1]).all()


# Errors ------------------------------------------------------------------------------------------

WRONG = [
    (lambda x: LINALG.inv(x), TALL),
    (lambda x: LINALG.det(x), TALL),
    (lambda x: LINALG.slogdet(x), TALL[0]),
    (lambda x: LINALG.inv(x), np.zeros((2, 2))),
    (lambda x: LINALG.solve(x, np.ones(3)), np.zeros((3, 3))),
    (lambda x: LINALG.solve(x, np.ones(2)), SQUARE),
    (lambda x: LINALG.cholesky(x), -SQUARE),
    (lambda x: LINALG.cholesky(x), TALL),
    (lambda x: LINALG.eigh(x), TALL),
    (lambda x: LINALG.eigh(x, "X"), SQUARE),
    (lambda x: LINALG.eig(x), TALL),
    (lambda x: LINALG.svd(x, hermitian=True), TALL),
    (lambda x: LINALG.pinv(x, hermitian=True), TALL),
    (lambda x: LINALG.qr(x, "what"), SQUARE),
    (lambda x: LINALG.qr(x), TALL[0]),
    (lambda x: LINALG.svd(x), TALL[0]),
    (lambda x: LINALG.pinv(x, 1e-9, rtol=1e-9), SQUARE),
    (lambda x: LINALG.lstsq(x, np.ones(3)), TALL),
    (lambda x: LINALG.lstsq(x, np.ones(3)), STACK),
    (lambda x: LINALG.matrix_power(x, 0.5), SQUARE),
    (lambda x: LINALG.matrix_power(x, 2), TALL),
    (lambda x: LINALG.matrix_rank(x, 1e-9, rtol=1e-9), SQUARE),
    (lambda x: LINALG.tensorinv(x, 0), SQUARE),
    (lambda x: LINALG.tensorsolve(x, np.ones(2)), np.ones((2, 3))),
]


@pytest.mark.parametrize(("call", "x"), WRONG)
def test_wrong_arguments_raise_what_numpy_raises(call: Any, x: Any) -> None:
    with pytest.raises(Exception) as plain:  # whatever it is
        call(x)
    with pytest.raises(type(plain.value)):
        call(tg.tensor(x))


def test_what_has_no_derivative_says_so() -> None:
    with pytest.raises(TypeError, match="have no derivative; use 'reduced'"):
        LINALG.qr(tg.tensor(TALL), "raw")


def test_ranks_are_constant() -> None:
    rank = LINALG.matrix_rank(tg.tensor(np.stack([np.eye(2), np.ones((2, 2))])))
    assert rank.tolist() == [2, 1]
    assert LINALG.matrix_rank(tg.tensor(np.ones((2, 2))), rtol=1e-9) == 1
    assert LINALG.matrix_rank(tg.tensor([0.0, 1.0])) == 1
    below = tg.tensor([[1.0, 5.0], [0.0, 0.0]])
    assert LINALG.matrix_rank(below, hermitian=True) == 1
    assert LINALG.matrix_rank(below, hermitian=True, rtol=1e-9) == 1
    scaled = tg.grad(lambda a: np.sum(a) * LINALG.matrix_rank(a))(np.eye(2))
    np.testing.assert_array_equal(scaled, np.full((2, 2), 2.0))


def test_powers_of_zero_are_unit_matrices() -> None:
    assert np.array_equal(LINALG.matrix_power(tg.tensor(STACK), 0), np.stack([np.eye(3)] * 2))
    assert not tg.grad(lambda a: np.sum(LINALG.matrix_power(a, 0)))(SQUARE).any()
