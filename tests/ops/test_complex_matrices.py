"""Linear algebra of complex matrices, and complex eigenvalues of real ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg

RNG = np.random.default_rng(5)
LINALG = np.linalg


def plane(*shape: int) -> Any:
    return RNG.normal(size=shape) + 1j * RNG.normal(size=shape)


SQUARE, TALL, STACK = plane(3, 3), plane(4, 2), plane(2, 3, 3)
WIDE = plane(2, 5)
DEFINITE = SQUARE @ SQUARE.conj().T + np.eye(3)
#: A pair of complex eigenvalues and a real one.
REAL = np.array([[0.5, 2.0, 0.1], [-1.5, 0.3, 0.2], [0.4, -0.3, 1.7]])
RIGHT = plane(4, 2)

FUNCTIONS: dict[str, tuple[Any, Any]] = {
    "cholesky": (LINALG.cholesky, DEFINITE),
    "upper cholesky": (lambda a: LINALG.cholesky(a, upper=True), DEFINITE),
    "q": (lambda a: LINALG.qr(a)[0], TALL),
    "r": (lambda a: LINALG.qr(a, "r"), WIDE),
    "complete q": (lambda a: LINALG.qr(a, "complete")[0], STACK),
    "eigvalsh": (LINALG.eigvalsh, STACK),
    "eigvalsh of the upper triangle": (lambda a: LINALG.eigvalsh(a, "U"), SQUARE),
    "eigh": (lambda a: LINALG.eigh(a)[1], STACK),
    "eigh of the upper triangle": (lambda a: LINALG.eigh(a, "U")[1], SQUARE),
    "svdvals": (LINALG.svdvals, TALL),
    "u": (lambda a: LINALG.svd(a)[0], SQUARE),
    "u of tall ones": (lambda a: LINALG.svd(a, False)[0], TALL),
    "v of tall ones": (lambda a: LINALG.svd(a, False)[2], TALL),
    "u of wide ones": (lambda a: LINALG.svd(a, False)[0], WIDE),
    "v of wide ones": (lambda a: LINALG.svd(a, False)[2], WIDE),
    "svd of Hermitian ones": (lambda a: LINALG.svd(a, hermitian=True)[2], SQUARE),
    "put together again": (lambda a: (lambda u, s, vh: u * s**2 @ vh)(*LINALG.svd(a, False)), TALL),
    "eigvals": (LINALG.eigvals, SQUARE),
    "eig": (lambda a: LINALG.eig(a)[1], STACK),
    "complex eigenvalues of real matrices": (LINALG.eigvals, REAL),
    "their vectors": (lambda a: LINALG.eig(a)[1], np.stack([REAL, REAL.T])),
    "pinv": (LINALG.pinv, TALL),
    "pinv of a wide one": (LINALG.pinv, WIDE),
    "pinv of Hermitian ones": (lambda a: LINALG.pinv(a, hermitian=True), SQUARE),
    "lstsq": (lambda a: LINALG.lstsq(a, RIGHT)[0], TALL),
    "lstsq by the right-hand side": (lambda b: LINALG.lstsq(TALL, b)[0], RIGHT),
    "lstsq of a real matrix": (lambda a: LINALG.lstsq(a, RIGHT)[0], TALL.real),
    "residuals": (lambda a: LINALG.lstsq(a, RIGHT)[1], TALL),
    "underdetermined lstsq": (lambda a: LINALG.lstsq(a, RIGHT[:2])[0], WIDE),
    "cond": (LINALG.cond, TALL),
    "cond -2": (lambda a: LINALG.cond(a, -2), STACK),
    "cond 1": (lambda a: LINALG.cond(a, 1), SQUARE),
    "cond nuc": (lambda a: LINALG.cond(a, "nuc"), SQUARE),
    "spectral norm": (lambda a: LINALG.norm(a, 2), TALL),
    "least singular value": (lambda a: LINALG.norm(a, -2, axis=(1, 2)), STACK),
    "nuclear norm": (lambda a: LINALG.norm(a, "nuc"), WIDE),
    "norm -inf": (lambda a: LINALG.norm(a, -np.inf), SQUARE),
    "det": (LINALG.det, STACK),
    "slogdet": (lambda a: LINALG.slogdet(a)[1], STACK),
    "multi_dot": (lambda a: LINALG.multi_dot([a, TALL.T, RIGHT]), TALL),
    "tensorsolve": (lambda a: LINALG.tensorsolve(a, np.arange(3.0), axes=(0,)), SQUARE),
    "tensorinv": (lambda a: LINALG.tensorinv(np.reshape(a, (3, 3, 1)), ind=1), SQUARE),
    "roots": (np.roots, plane(4)),
    "complex roots of real coefficients": (np.roots, np.array([1.0, 2.0, 3.0, -1.0])),
    "poly": (np.poly, plane(3)),
    "poly of a real matrix": (np.poly, REAL),
    "polyfit": (lambda y: np.polyfit(np.arange(4.0), y, 2), plane(4)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_numpys_and_derivatives_are_right(name: str) -> None:
    function, x = FUNCTIONS[name]
    expected = function(x)
    y, _ = tg.jvp(function, (x,), (x,))
    assert y.dtype == expected.dtype
    np.testing.assert_allclose(y, expected, 1e-12, 1e-13)
    tg.check_grads(function, (x,), order=2)
    imperative = tg.tensor(x)
    np.sum(np.abs(function(imperative)) ** 2).backward()
    gradient = tg.grad(lambda x: np.sum(np.abs(function(x)) ** 2))(x)
    np.testing.assert_allclose(imperative.grad, gradient, 1e-12, 1e-13)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_batches_and_compiled_calls_give_the_same(name: str) -> None:
    function, x = FUNCTIONS[name]
    gradient = tg.grad(lambda x: np.sum(np.sin(np.abs(function(x)))))
    xs = np.stack([x, 1.1 * x])
    each = np.stack([gradient(x) for x in xs])
    np.testing.assert_allclose(tg.vmap(gradient)(xs), each, 1e-9, 1e-11)
    compiled = tg.jit(gradient)
    for k in (0, 1):
        np.testing.assert_allclose(compiled(xs[k]), each[k], 1e-9, 1e-11)
    assert compiled.stats().eager_calls == 0


def test_results_are_numpys() -> None:
    x = tg.tensor(SQUARE)
    for found, plain in [
        (LINALG.slogdet(x), LINALG.slogdet(SQUARE)),
        (LINALG.qr(x), LINALG.qr(SQUARE)),
        (LINALG.eigh(x), LINALG.eigh(SQUARE)),
        (LINALG.eigh(x, "U"), LINALG.eigh(SQUARE, "U")),
        (LINALG.eig(x), LINALG.eig(SQUARE)),
        (LINALG.eig(tg.tensor(REAL)), LINALG.eig(REAL)),
        (LINALG.svd(x, hermitian=True), LINALG.svd(SQUARE, hermitian=True)),
        (LINALG.svd(tg.tensor(TALL)), LINALG.svd(TALL)),
        (LINALG.svd(tg.tensor(WIDE)), LINALG.svd(WIDE)),
        (LINALG.qr(tg.tensor(TALL), "complete"), LINALG.qr(TALL, "complete")),
    ]:
        assert type(found) is type(plain)
        for a, b in zip(found, plain, strict=True):
            assert np.asarray(a).dtype == b.dtype
            np.testing.assert_allclose(np.asarray(a), b, 1e-12, 1e-13)
    found, plain = LINALG.lstsq(tg.tensor(TALL), RIGHT), LINALG.lstsq(TALL, RIGHT)
    for a, b in zip(found, plain, strict=True):
        assert np.asarray(a).dtype.kind == np.asarray(b).dtype.kind
        np.testing.assert_allclose(np.asarray(a), b, 1e-12, 1e-13)
    assert int(LINALG.matrix_rank(tg.tensor(np.outer(TALL[:, 0], TALL[:, 1])))) == 1
    single = tg.grad(lambda a: np.sum(np.abs(LINALG.svd(a)[0])))(SQUARE.astype(np.complex64))
    assert single.dtype == np.complex64
    assert LINALG.eigvals(tg.tensor(REAL.astype(np.float32))).dtype == np.complex64


def test_eigenvalues_are_real_or_complex_as_in_numpy_call_by_call() -> None:
    """Also where one recording, or one batch, has met the other kind."""
    real, turning = np.diag([1.0, 2.0]), np.array([[0.0, 2.0], [-1.0, 0.0]])

    def function(a: Any) -> Any:
        w = LINALG.eigvals(a)
        return np.sum(w * np.conj(w)).real if w.dtype == complex else np.sum(w**3)

    compiled = tg.jit(tg.grad(function))
    for a in (real, turning, real, turning, 2 * turning):
        np.testing.assert_allclose(compiled(a), tg.grad(function)(a), 1e-12, 1e-13)
        assert tg.jit(LINALG.eigvals)(a).dtype == LINALG.eigvals(a).dtype
    assert compiled.stats().eager_calls == 0
    np.testing.assert_allclose(tg.grad(function)(real), np.diag([3.0, 12.0]), 1e-12)
    np.testing.assert_allclose(tg.grad(function)(turning), [[0, 2], [-4, 0]], atol=1e-12)
    both = np.stack([real, turning])
    each = np.stack([tg.grad(function)(a) for a in both])
    np.testing.assert_allclose(tg.vmap(tg.grad(function))(both), each, 1e-12, 1e-13)


@pytest.mark.parametrize("dtype", [float, complex, np.float32])
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 0, 3), (0, 2, 3)])
@pytest.mark.parametrize(
    "function",
    [
        lambda a: LINALG.svd(a, compute_uv=False),
        lambda a: sum(np.sum(part) for part in LINALG.svd(a, full_matrices=False)),
        lambda a: LINALG.norm(a, "nuc", axis=(-2, -1)),
    ],
)
def test_singular_values_of_matrices_without_elements(
    function: Any, shape: tuple[int, ...], dtype: Any
) -> None:
    gradient = tg.grad(lambda a: np.real(np.sum(function(a))))(np.zeros(shape, dtype))
    assert (gradient.shape, gradient.dtype) == (shape, np.dtype(dtype))


def test_matrices_without_elements_have_gradients_without_elements() -> None:
    for function in (
        lambda a: LINALG.eigh(a)[1],
        lambda a: LINALG.svd(a, full_matrices=False)[0],
        lambda a: LINALG.eig(a)[1],
        LINALG.eigvalsh,
        LINALG.cholesky,
    ):
        nothing = np.zeros((2, 0, 0), complex)
        assert tg.grad(lambda a, f=function: np.sum(np.abs(f(a))))(nothing).shape == (2, 0, 0)
        assert tg.jvp(function, (nothing,), (nothing,))[1].size == 0


# Phases ------------------------------------------------------------------------------------------


def test_where_the_phase_is_known_derivatives_are_those_of_lapacks_vectors() -> None:
    """Its first element, or its largest, stays real: the cotangent of its imaginary part is nothing."""
    for function in (
        lambda a: LINALG.eigh(a)[1][0].imag,
        lambda a: LINALG.svd(a)[2][:, 0].imag,
        lambda a: np.max(np.abs(LINALG.eig(a)[1]), axis=0) - LINALG.eig(a)[1].real.max(axis=0),
    ):
        gradient = tg.grad(lambda a, f=function: np.sum(f(a) * [1.0, 2.0, 3.0]))(SQUARE)
        np.testing.assert_allclose(gradient, 0, atol=1e-12)


HIDDEN = np.diag([1.0, 2.0, 3.0]) + 0j  # vectors whose first element is 0
TIED = np.array([[1.0, 1.0], [-1.0, 1.0]])  # vectors with two largest elements
EVEN = np.array([[1.0, 1.0], [1.0, 1.0 + 0j]])


@pytest.mark.parametrize(
    ("vectors", "at"),
    [
        (lambda a: LINALG.eigh(a)[1], HIDDEN),
        (lambda a: LINALG.svd(a)[0], HIDDEN),
        (lambda a: (lambda w, v: w * v)(*LINALG.eig(a)), TIED),
        (lambda a: (lambda w, v: w * v)(*LINALG.eig(a)), EVEN),
    ],
)
def test_what_depends_on_an_unknown_phase_has_nan_and_what_does_not_a_gradient(
    vectors: Any, at: Any
) -> None:
    weights = RNG.normal(size=at.shape)
    assert np.isnan(tg.grad(lambda a: np.sum(vectors(a).imag * weights))(at)).any()
    tg.check_grads(
        lambda a: np.sum(np.abs(vectors(a)) ** 2 * weights[:, :1]), (at,), order=1, modes=("rev",)
    )
    step = RNG.normal(size=at.shape)
    assert np.isnan(tg.jvp(vectors, (at,), (step,))[1]).any()
    assert not tg.jvp(vectors, (at,), (0 * step,))[1].any()


def test_second_derivatives_of_what_does_not_depend_on_phases_do_not_ask_for_them() -> None:
    """Of values alone in both modes; of vectors by reverse mode twice."""
    for values, vectors, at in (
        (LINALG.eigvalsh, lambda a: LINALG.eigh(a)[1], HIDDEN),
        (LINALG.svdvals, lambda a: LINALG.svd(a)[0], HIDDEN),
        (LINALG.eigvals, lambda a: LINALG.eig(a)[1], TIED),
        (LINALG.eigvals, lambda a: LINALG.eig(a)[1], EVEN),
    ):
        tg.check_grads(lambda a, f=values: np.sum(np.sin(f(a))), (at,), order=2)
        weights = np.arange(1.0, len(at) + 1)

        def parts(a: Any, f: Any = vectors, g: Any = values, w: Any = weights) -> Any:
            v = f(a)
            return np.real(np.sum((w @ np.real(v * np.conj(v))) * g(a)))

        step, along = (RNG.normal(size=at.shape) for _ in range(2))
        slope = tg.grad(parts)

        def pulled(a: Any, slope: Any = slope, along: Any = along) -> Any:
            return np.sum(slope(a) * along).real

        exact = (pulled(at + 1e-5 * step) - pulled(at - 1e-5 * step)) / 2e-5
        np.testing.assert_allclose(np.sum(tg.grad(pulled)(at) * step).real, exact, 1e-6, 1e-7)


def test_added_columns_of_complex_matrices_are_determined_up_to_a_phase() -> None:
    point = plane(4)
    three = plane(4, 3)

    def distance(a: Any) -> Any:
        return np.sum(np.abs(LINALG.qr(a, "complete")[0][:, 3:].conj().T @ point) ** 2)

    def of_svd(a: Any) -> Any:
        return np.sum(np.abs(LINALG.svd(a)[0][:, 2:].conj().T @ point) ** 2)

    for function, at in ((distance, three), (of_svd, TALL)):
        tg.check_grads(function, (at,), order=1, modes=("rev",))
        along = tg.jvp(function, (at,), (at[::-1],))[1]
        assert np.isnan(along)
    with pytest.raises(ValueError, match=r"qr.*not determined"):
        tg.grad(lambda a: LINALG.qr(a, "complete")[0][0, 3].imag)(three)
    with pytest.raises(ValueError, match=r"svd.*not determined"):
        tg.grad(lambda a: LINALG.svd(a)[0][0, 3].imag)(three)


# Equal values ------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [np.eye(2), np.eye(2) + 0j])
def test_in_forward_mode_vectors_of_equal_values_have_no_tangent(unit: Any) -> None:
    direction = np.array([[0.0, 1.0], [1.0, 0.0]])
    for vectors in (
        lambda a: LINALG.eigh(a)[1],
        lambda a: LINALG.svd(a)[0],
        lambda a: LINALG.svd(a)[2],
        lambda a: LINALG.eig(a)[1],
        lambda a: (lambda w, v: v * w @ v.conj().T)(*LINALG.eigh(a)),  # a itself
    ):
        assert np.isnan(tg.jvp(vectors, (unit,), (direction,))[1]).all()
        assert np.isfinite(tg.jvp(vectors, (unit,), (0 * direction,))[1]).all()
    values = tg.jvp(LINALG.eigvalsh, (unit,), (unit,))[1]
    np.testing.assert_allclose(values, [1.0, 1.0])


def test_in_forward_mode_vectors_of_singular_values_of_zero_have_no_tangent() -> None:
    deficient = np.outer([1.0, 2.0, 3.0], [1.0, 2.0])
    direction = RNG.normal(size=(3, 2))
    for a, t, part in ((deficient, direction, 0), (deficient.T, direction.T, 2)):

        def vectors(a: Any, part: int = part) -> Any:
            return LINALG.svd(a, full_matrices=False)[part]

        assert np.isnan(tg.jvp(vectors, (a,), (t,))[1]).any()
    assert np.isnan(
        tg.jvp(lambda a: LINALG.svd(a)[0], (np.diag([1.0, 0j]),), (np.eye(2),))[1]
    ).any()
