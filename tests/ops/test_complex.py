"""Complex numbers: conventions, NumPy's functions, stores, numbers of Python's, refusals."""

from __future__ import annotations

import cmath
import operator
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
import tapegrad.nnet

RNG = np.random.default_rng(3)
X = RNG.normal(size=4)
V, W = (RNG.normal(size=4) + 1j * RNG.normal(size=4) for _ in range(2))
M, N = (RNG.normal(size=(3, 3)) + 1j * RNG.normal(size=(3, 3)) for _ in range(2))
VALUES = {"x": X, "v": V, "w": W, "m": M, "n": N}

#: Expressions in these; what is float or complex is differentiated in every direction of the plane.
EXPRESSIONS = """
v + x; x - v; v * x; x / v; v / x; v**2; v**x; 2**v; v**1.5; v**-1; 1j**v; -v; +v; abs(v)
v.conj(); v.real; v.imag; np.real(v); np.imag(v); np.angle(v); np.angle(v, deg=True); np.sign(v)
np.exp2(v); np.log2(v); np.float_power(v, 2.5); np.abs(x) ** v; np.logspace(v[0], v[1], 3)
np.linspace(v[0], v[1], 3); np.geomspace(v[0], v[1], 3); np.nan_to_num(v); np.real_if_close(v)
np.sum(v); np.prod(v); np.mean(v); np.cumsum(v); np.cumprod(v); np.var(v); np.std(v); np.nanvar(v)
np.var(m, axis=0, ddof=1); np.std(m, axis=1); np.average(v, weights=np.abs(v)); np.nanmean(v)
np.var(m, where=m.real > 0); np.std(m, where=m.real > 0); np.nanstd(v); np.nansum(v); np.diff(v)
np.trapezoid(v); np.gradient(v); np.add.reduce(v); np.multiply.accumulate(v); np.median(v)
np.subtract.outer(v, w); np.add.reduceat(v, [0, 2]); np.cumulative_sum(v); np.cov(m); np.corrcoef(m)
m @ n; m @ m[0]; np.dot(v, w); np.vdot(v, w); np.inner(v, w); np.outer(v, w); np.kron(m, n)
np.tensordot(m, n, 1); np.einsum('ij,jk->ik', m, n); np.einsum('ii', m); np.trace(m); m.trace()
np.vecdot(v, w); np.cross(m, n); np.linalg.multi_dot([m, n, m]); np.convolve(v, w)
np.convolve(v, x, 'same'); np.convolve(x, v); np.correlate(v, w); np.correlate(v[:2], w, 'full')
np.polymul(v, w); np.polyval(v, w); np.vander(v); np.interp(x, np.sort(x), v)
m.T; m.reshape(9); np.concatenate([v, x]); np.stack([v, w]); np.roll(v, 1); np.flip(v)
np.tile(v, 2); np.repeat(v, 2); np.pad(v, 1); np.broadcast_to(v, (2, 4)); np.where(x > 0, v, w)
np.where(x > 0, v, 0); np.take(v, [0, 2]); v[1:]; v[[0, 0, 1]]; v[x > 0]; np.diag(v); np.tril(m)
np.diagonal(m); np.select([x > 0], [v], 0); np.sort(v); np.partition(v, 2); np.insert(v, 1, 1j)
np.append(v, w); np.delete(v, 0); np.rot90(m); np.meshgrid(v, w)[0]; np.block([[m, n]])
np.array([v[0], 1j, x[0]]); np.full(3, v[0]); np.choose([0, 1, 0, 1], [v, w]); np.copy(v)
np.piecewise(v, [x > 0, x <= 0], [lambda a: a * a, lambda a: -a]); v.astype(complex)
np.linalg.norm(v); np.linalg.norm(m); np.linalg.norm(v, 1); np.linalg.norm(v, 3)
np.linalg.norm(v, np.inf); np.linalg.norm(m, 1); np.linalg.vector_norm(m, axis=0, keepdims=True)
np.linalg.matrix_norm(m); np.linalg.solve(m, n); np.linalg.inv(m); np.linalg.det(m)
np.linalg.slogdet(m)[0]; np.linalg.slogdet(m)[1]; np.linalg.matrix_power(m, -2)
np.linalg.tensorsolve(m, v[:3]); v.sum(); v.mean(); v.var(); v.std(); v.dot(w); v.prod()
np.emath.sqrt(x); np.emath.log(x); np.emath.log2(x); np.emath.log10(x); np.emath.power(x, 0.5)
np.emath.logn(2, x); np.emath.arccos(3 * x); np.emath.arcsin(3 * x); np.emath.arctanh(3 * x)
np.maximum(v, w); np.minimum(v, x); np.fmax(v, 0.1); np.fmin(x, w); np.max(v); v.min(); np.ptp(v)
np.max(m, axis=0); np.amin(m, 1); np.nanmax(v); np.clip(v, -0.5, 0.5 + 1j); np.maximum.accumulate(v)
np.maximum.reduce(v); np.max(v, where=x > 0, initial=0); np.linalg.norm(m, 2); np.linalg.norm(m, 'nuc')
np.isclose(v, w); np.equal(v, w); np.iscomplex(v); np.argmax(v); np.argsort(v); v.tolist()[1]
"""
CASES = [e.strip() for line in EXPRESSIONS.strip().splitlines() for e in line.split(";")]


def raises(call: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        call()


@pytest.mark.parametrize("expression", CASES)
def test_numpys_functions_have_numpys_values_and_right_derivatives(expression: str) -> None:
    names = [n for n in VALUES if f"{n}" in compile(expression, "", "eval").co_names]
    if "lambda" in expression:
        names = ["x", "v"]
    f = eval(f"lambda {', '.join(names)}: {expression}", {"np": np})
    values = [VALUES[n] for n in names]
    expected = np.asarray(f(*values))
    if "tolist" not in expression:
        got = f(*map(tg.tensor, values))
        got = got.data if isinstance(got, tg.Tensor) else np.asarray(got)
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)
    if expected.dtype.kind not in "fc":
        return
    weights = np.random.default_rng(0).normal(size=(2, *expected.shape))

    def loss(*args: Any) -> Any:
        y = f(*args)
        return np.sum(np.real(y) * weights[0]) + np.sum(np.imag(y) * weights[1])

    gradients = tg.grad(loss, argnums=tuple(range(len(values))))(*values)
    for i, (value, gradient) in enumerate(zip(values, gradients)):
        assert gradient.dtype == value.dtype
        t = np.random.default_rng(i).normal(size=value.shape)
        t = (
            t
            if value.dtype.kind == "f"
            else t * np.exp(1j * np.arange(value.size)).reshape(t.shape)
        )
        ends = [[v + s * t if i == k else v for k, v in enumerate(values)] for s in (1e-6, -1e-6)]
        slope = (loss(*ends[0]) - loss(*ends[1])) / 2e-6
        assert np.sum(gradient * t).real == pytest.approx(slope, rel=1e-5, abs=1e-5)


# Conventions -------------------------------------------------------------------------------------


def test_the_gradient_of_a_real_function_is_the_slope_along_x_less_i_times_that_along_y() -> None:
    def f(z: Any) -> Any:
        return np.real(z) ** 3 * np.imag(z)

    assert tg.grad(f)(2.0 + 3.0j) == pytest.approx(3 * 4 * 3 - 1j * 8)
    assert tg.grad(np.abs)(3.0 + 4.0j) == pytest.approx(0.6 - 0.8j)


def test_holomorphic_functions_have_one_derivative_if_you_say_so() -> None:
    z = 0.3 + 0.8j
    assert tg.grad(np.sin, holomorphic=True)(z) == pytest.approx(np.cos(z))
    value, slope = tg.value_and_grad(np.exp, holomorphic=True)(z)
    assert value == pytest.approx(slope)
    second = tg.grad(tg.grad(lambda z: z**3, holomorphic=True), holomorphic=True)
    assert second(z) == pytest.approx(6 * z)
    raises(lambda: tg.grad(np.sin)(z), "holomorphic=True if it is")
    raises(lambda: tg.grad(np.sin, holomorphic=True)(0.3), "arguments must be complex")
    raises(lambda: tg.grad(abs, holomorphic=True)(z), "must return complex numbers")
    assert "holomorphic=True" in repr(tg.grad(np.sin, holomorphic=True))


def test_jacobians_are_complex_where_they_have_a_meaning() -> None:
    diagonal = np.diag(2 * V)
    for make in (tg.jacrev, tg.jacfwd, tg.jacobian):
        np.testing.assert_allclose(make(np.square, holomorphic=True)(V), diagonal)
    np.testing.assert_allclose(
        tg.hessian(lambda z: np.sum(z**3), holomorphic=True)(V), np.diag(6 * V)
    )
    columns = np.diag(1j * np.exp(1j * X))
    for make in (tg.jacfwd, tg.jacobian):
        np.testing.assert_allclose(make(lambda x: np.exp(1j * x))(X), columns)
    rows = np.diag(np.conj(V) / np.abs(V))
    for make in (tg.jacrev, tg.jacobian):
        np.testing.assert_allclose(make(np.abs)(V), rows)
    raises(lambda: tg.jacrev(lambda x: 1j * x)(X), "jacrev.*holomorphic")
    raises(lambda: tg.jacfwd(np.abs)(V), r"jacfwd.*z\.real and z\.imag")
    raises(lambda: tg.jacobian(np.square)(V), "jacobian.*holomorphic")
    raises(lambda: tg.hessian(lambda z: np.sum(np.abs(z)))(V), "hessian.*complex")
    raises(lambda: tg.elementwise_grad(np.exp)(V), "holomorphic")
    raises(lambda: tg.sparse_jacobian(np.abs)(V), "sparse_jacobian.*complex")
    np.testing.assert_allclose(tg.elementwise_grad(np.exp, holomorphic=True)(V), np.exp(V))


def test_second_derivatives_of_real_functions_through_complex_numbers() -> None:
    def f(x: Any) -> Any:
        return np.sum(np.abs(np.exp(1j * x) + 0.5 * x) ** 2)

    step = 1e-5
    slope = tg.grad(f)
    columns = [(slope(X + step * e) - slope(X - step * e)) / (2 * step) for e in np.eye(4)]
    np.testing.assert_allclose(tg.hessian(f)(X), columns, atol=1e-8)
    product = tg.hvp(lambda z: np.sum(np.abs(z) ** 4), (V,), (1j * W,))
    t = 1j * W
    exact = 4 * np.abs(V) ** 2 * np.conj(t) + 8 * (np.conj(V) * t).real * np.conj(V)
    np.testing.assert_allclose(product, exact)


def test_directions_of_real_values_are_real() -> None:
    raises(lambda: tg.vjp(abs, 1j)[1](1j), "the cotangent is complex")
    raises(lambda: tg.jvp(np.exp, (1.0,), (1j,)), "the tangent.* is complex")
    raises(lambda: tg.tensor(1.0).backward(1j), "the tensor is real")


def test_checks_find_a_gradient_that_is_the_conjugate() -> None:
    tg.check_grads(lambda z, x: np.conj(z) * z * z + np.exp(1j * x), (V, X))

    @tg.custom_vjp
    def size(z: Any) -> Any:
        return np.sum(np.abs(z))

    size.defvjp(lambda z: (size(z), z), lambda z, g: (g * z / np.abs(z),))
    with pytest.raises(AssertionError, match=r"reverse mode.*args\[0\]\[\d\]\.imag"):
        tg.check_grads(size, (V,), modes=["rev"], order=1)


def test_loops_branches_and_equations_take_complex_numbers() -> None:
    def scanned(z: Any) -> Any:
        return np.abs(tg.scan(lambda c, x: (c * x + 1j, c), z, X)[0])

    def unrolled(z: Any) -> Any:
        for x in X:
            z = z * x + 1j
        return np.abs(z)

    def fixed(a: Any) -> Any:
        return np.abs(tg.fixed_point(lambda a, x: 0.3 * a * np.conj(x) + 0.1 * np.abs(x), a, 1j))

    z = 0.4 + 0.2j
    assert tg.grad(scanned)(z) == pytest.approx(tg.grad(unrolled)(z))
    assert tg.jit(tg.grad(scanned), strict=True)(z) == pytest.approx(tg.grad(unrolled)(z))
    tg.check_grads(lambda a: tg.fixed_point(lambda a, x: a * np.cos(x) / 3 + 1j, a, 0j), (z,), 1)
    tg.check_grads(lambda z: tg.cond(True, np.exp, np.conj, z), (z,))
    tg.check_grads(lambda z: tg.checkpoint(np.sin)(z) * np.conj(z), (z,))
    assert tg.grad(fixed)(z) == pytest.approx(0)
    np.testing.assert_allclose(tg.linearize(np.conj, V)[1](1j * W), np.conj(1j * W))
    with pytest.raises(TypeError, match="must hold floats, not complex128"):
        tg.optim.sgd(0.1).init(V)
        tg.optim.sgd(0.1).update(V, tg.optim.sgd(0.1).init(V), V)


# Tensors, stores, numbers ------------------------------------------------------------------------


def test_imperative_tensors_are_variables_and_start_sweeps_that_are_real() -> None:
    z = tg.tensor([1 + 2j, 3 - 1j])
    assert not z.constant and tg.tensor(1j, constant=True).constant
    (np.abs(z) ** 2).sum().backward()
    np.testing.assert_allclose(z.grad, [2 - 4j, 6 + 2j])
    raises(lambda: (z * z).sum().backward(), "make it real|Make it real")
    raises(lambda: tg.gradients(z * z, z), "gradients: an output is complex")
    np.testing.assert_allclose(tg.gradients(z * z, z, np.ones(2)), 2 * z.data)
    (z[0] ** 3).backward(1.0)
    np.testing.assert_allclose(z.grad, [3 * (1 + 2j) ** 2, 0])
    x = tg.tensor([1.0, 2.0])
    (np.exp(1j * x).real).sum().backward()
    np.testing.assert_allclose(x.grad, -np.sin([1.0, 2.0]))
    assert x.grad.dtype == float


def test_parts_are_views_into_which_one_writes() -> None:
    z, x = tg.tensor(V), tg.tensor(X)
    y = z * 1
    y.real[1:] = 0.0
    y.imag = x
    y.imag[[0, 0, 2]] *= 3.0
    expected = V.copy()
    expected.real[1:], expected.imag = 0, X
    expected.imag[[0, 0, 2]] *= 3
    np.testing.assert_array_equal(y.data, expected)
    (y * (2 - 1j)).imag.sum().backward()  # 2 * imag - real
    np.testing.assert_allclose(z.grad, [-1, 0, 0, 0])
    np.testing.assert_allclose(x.grad, [6, 2, 6, 2])
    raises(lambda: setattr(tg.tensor(1.0), "imag", 2.0), "imaginary part")


@pytest.mark.parametrize("how", [tg.grad, lambda f: tg.jit(tg.grad(f), strict=True)])
def test_plain_arrays_that_are_filled_stay_traced(how: Any) -> None:
    def f(x: Any) -> Any:
        out = np.zeros(4, complex)
        out[0] = x[0] * 1j
        out[1:] = x[1:]
        out.imag[2] = x[0] ** 2
        out.real[3] += x[0]
        return np.sum(np.abs(out) ** 2)

    x = np.array([3.0, 1.0, 2.0, 5.0])
    expected = [2 * 3 + 4 * 27 + 2 * 8, 2, 4, 16]
    np.testing.assert_allclose(how(f)(x), expected)


_ANALYTIC = (
    "acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "exp", "log", "log10", "sin",
    "sinh", "sqrt", "tan", "tanh",
)  # fmt: skip


def test_pythons_complex_numbers_stay_traced() -> None:
    z = 0.3 + 0.8j
    for name in _ANALYTIC:
        f = getattr(cmath, name)
        slope = (f(z + 1e-6) - f(z - 1e-6)) / 2e-6
        assert tg.grad(lambda z, f=f: f(z), holomorphic=True)(z) == pytest.approx(slope, rel=1e-8)
    assert tg.grad(lambda z: cmath.log(z, 2), holomorphic=True)(z) == pytest.approx(
        1 / z / np.log(2)
    )
    assert tg.grad(cmath.phase)(1j) == pytest.approx(-1)
    assert tg.grad(lambda r: cmath.rect(r, 0.5).imag)(2.0) == pytest.approx(np.sin(0.5))
    assert tg.grad(lambda z: operator.mul(*cmath.polar(z)))(1j) == pytest.approx(
        -1 - 1j * np.pi / 2
    )
    assert tg.grad(lambda x: abs(complex(x, 2 * x)))(1.0) == pytest.approx(5**0.5)
    assert tg.grad(lambda x: abs((-x) ** 0.5))(2.0) == pytest.approx(0.5 * 2**-0.5)
    with pytest.raises(ValueError, match="math domain"):
        tg.grad(lambda z: abs(cmath.log(z)))(0j)


def test_single_precision_stays_beside_pythons_numbers() -> None:
    z = V.astype(np.complex64)
    assert (tg.tensor(z) * 2j + 1.0).dtype == np.complex64
    assert (tg.tensor(X.astype(np.float32)) * 1j).dtype == np.complex64
    assert tg.grad(lambda z: np.sum(np.abs(z * 1j)))(z).dtype == np.complex64


# Hard places -------------------------------------------------------------------------------------


def test_powers_at_zero() -> None:
    for exponent, slope in ((0, 0), (1, 1), (2, 0), (3, 0), (2 + 1j, 0)):
        assert tg.grad(lambda z, n=exponent: z**n, holomorphic=True)(0j) == slope
    assert tg.grad(lambda w: 0j**w, holomorphic=True)(2 + 1j) == 0
    assert tg.grad(np.abs)(0j) == 0
    assert np.isnan(tg.grad(lambda x: tg.grad(np.abs)(x + 0j).real)(0.0))


@pytest.mark.parametrize(
    "f", [np.arcsin, np.arccos, np.arccosh, np.arcsinh, np.arctanh, np.arctan, np.sqrt, np.log]
)
def test_on_a_branch_cut_the_side_is_that_of_the_value(f: Any) -> None:
    slope = tg.grad(lambda z: f(z), holomorphic=True)
    for re, im in [(2, 0.0), (-2, 0.0), (0.5, 0.0), (-0.5, 0.0), (0.0, 2), (0.0, -2)]:
        for sign in (1.0, -1.0):
            z = complex(re or sign * 0.0, im or sign * 0.0)
            near = z + complex(0 if re else sign * 1e-7, 0 if im else sign * 1e-7)
            assert slope(z) == pytest.approx(slope(near), abs=1e-5)


def test_what_takes_no_complex_numbers_refuses_them_by_name() -> None:
    refused = {
        "floor": np.floor, "sigmoid": tg.nnet.sigmoid, "arctan2": lambda z: np.arctan2(z, z),
        "logaddexp": lambda z: tg.logaddexp(z, z), "erf": tg.special.erf,
    }  # fmt: skip
    for name, f in refused.items():
        for g in (
            lambda f=f: f(tg.tensor(V)),
            lambda f=f: tg.grad(lambda z: np.sum(np.real(f(z))))(V),
            lambda f=f: tg.jvp(f, (V,), (V,)),
            lambda f=f: tg.vmap(f)(np.stack([V, V])),
        ):
            with pytest.raises(TypeError) as raised:
                g()
            assert "complex" in str(raised.value) or name in str(raised.value)
