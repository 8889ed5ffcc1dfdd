"""``math`` and ``cmath`` of traced numbers: values, errors and classes as in Python."""

import cmath
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.ops.elementwise.digamma import digamma
from tapegrad.tape.array.replacements import Replacement, called_for
from tapegrad.tape.core.primitive import functions

functions.complete()


def call(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call what is called in a function's place."""
    return called_for(function, args, kwargs)(*args, **kwargs)


def gated(function: Any) -> Callable[..., Any]:
    return lambda *args, **kwargs: call(function, *args, **kwargs)


def central(f: Any, x: float, step: float = 1e-3) -> float:
    near, far = f(x + step) - f(x - step), f(x + 2 * step) - f(x - 2 * step)
    return float((8 * near - far) / (12 * step))


#: Differentiable functions of numbers, and where they are tried.
DIFFERENTIABLE: dict[str, list[tuple[float, ...]]] = {
    "acos": [(0.3,)], "acosh": [(1.7,)], "asin": [(0.3,)], "asinh": [(0.3,)], "atan": [(0.3,)],
    "atan2": [(0.3, -0.7)], "atanh": [(0.3,)], "cbrt": [(0.7,)], "copysign": [(0.7, -1.3)],
    "cos": [(0.3,)], "cosh": [(0.3,)], "degrees": [(0.3,)], "erf": [(0.3,), (-1.2,)],
    "erfc": [(0.3,), (2.2,)], "exp": [(0.3,)], "exp2": [(0.3,)], "expm1": [(0.3,)],
    "fabs": [(-0.7,)], "fma": [(0.7, 1.3, -0.4)], "fmod": [(2.9, -1.3)],
    "gamma": [(2.3,), (-0.6,), (0.7,), (30.0,)], "hypot": [(0.7,), (0.3, -0.7), (0.3, 0.0, 1.2)],
    "lgamma": [(2.3,), (-0.6,), (0.1,), (1e5,)], "log": [(0.7,), (0.7, 1.9)], "log10": [(0.7,)],
    "log1p": [(0.7,)], "log2": [(0.7,)], "nextafter": [(0.7, 2.0)], "pow": [(0.7, 1.3), (-2.0, 3.0)],
    "radians": [(0.3,)], "remainder": [(2.9, 1.3), (-2.9, 1.3)], "sin": [(0.3,)], "sinh": [(0.3,)],
    "sqrt": [(0.7,)], "tan": [(0.3,)], "tanh": [(0.3,)],
}  # fmt: skip
#: Arguments without a derivative, at which differences would leave the domain or jump.
STEPS = {("copysign", 1), ("nextafter", 1), ("nextafter", 0)}
#: Functions of sequences, of integers, and those whose results are locally constant.
OTHERS = {
    "ceil", "comb", "dist", "factorial", "floor", "frexp", "fsum", "gcd", "isclose", "isfinite", "isinf",
    "isnan", "isqrt", "lcm", "ldexp", "modf", "perm", "prod", "sumprod", "trunc", "ulp",
}  # fmt: skip

CASES = [
    pytest.param(getattr(math, name), args, i, id=f"{name}{args}-{i}")
    for name, points in DIFFERENTIABLE.items()
    if hasattr(math, name)
    for args in points
    for i in range(len(args))
    if not (name == "pow" and args[0] < 0 and i)
]


def test_every_function_of_the_module_is_known() -> None:
    public = {name for name in dir(math) if callable(getattr(math, name)) and name[0] != "_"}
    assert public - set(DIFFERENTIABLE) - OTHERS == set()
    assert all(getattr(math, name) in functions for name in public)


@pytest.mark.parametrize(("f", "args", "i"), CASES)
def test_derivatives_agree_with_differences(f: Any, args: Any, i: int) -> None:
    def along(x: Any) -> Any:
        return call(f, *args[:i], x, *args[i + 1 :])

    x = args[i]
    value, got = tg.value_and_grad(along)(x)
    assert value == pytest.approx(f(*args), rel=1e-15)
    want = 0.0 if i else 1.0
    if (f.__name__, i) not in STEPS:
        want = central(lambda x: f(*args[:i], x, *args[i + 1 :]), x, 1e-3 * max(1, abs(x) / 10))
    assert got == pytest.approx(want, rel=1e-8, abs=1e-9)
    assert tg.jvp(along, (x,), (1.0,))[1] == pytest.approx(got, rel=1e-14)
    assert tg.vmap(tg.grad(along))(np.array([x, x])) == pytest.approx(got, rel=1e-14)
    assert tg.jit(along)(x) == pytest.approx(f(*args), rel=1e-15)
    assert tg.jit(tg.grad(along))(x) == pytest.approx(got, rel=1e-14)
    second = tg.grad(tg.grad(along))(x)
    assert second == pytest.approx(central(tg.grad(along), x), rel=1e-7, abs=1e-8)
    t = tg.tensor(x)
    along(t).backward()
    assert (0.0 if t.grad is None else t.grad) == pytest.approx(got, rel=1e-14)


@pytest.mark.parametrize("f", [math.sin, math.erf, math.atan2, math.hypot, math.fsum, math.floor])
def test_without_tensors_the_function_itself_is_called(f: Any) -> None:
    assert called_for(f, (1.0, 2.0)) is f or functions[f].within == "anywhere"
    args = (
        ([1.0, 2.0],) if f is math.fsum else (1.0, 2.0) if f in (math.atan2, math.hypot) else (1.0,)
    )
    assert type(call(f, *args)) is type(f(*args)) and call(f, *args) == f(*args)
    with pytest.raises(TypeError, match="must be real number"):
        call(math.sin, "1")


ERRORS = [
    (math.sqrt, -1.0, ValueError), (math.log, 0.0, ValueError), (math.log, -1.0, ValueError),
    (math.exp, 1000.0, OverflowError), (math.acos, 1.5, ValueError), (math.gamma, -1.0, ValueError),
    (math.gamma, 200.0, OverflowError), (math.lgamma, -1.0, ValueError), (math.atanh, 1.0, ValueError),
    (math.sin, math.inf, ValueError), (math.cosh, 1e4, OverflowError), (math.log1p, -1.0, ValueError),
    (lambda x: call(math.pow, x, 0.5), -1.0, ValueError), (math.exp2, 2000.0, OverflowError),
    (lambda x: call(math.pow, 10.0, x), 400.0, OverflowError), (math.floor, math.nan, ValueError),
    (lambda x: call(math.fmod, 1.0, x), 0.0, ValueError), (math.ceil, math.inf, OverflowError),
    (lambda x: call(math.ldexp, x, 5000), 1.0, OverflowError), (math.acosh, 0.5, ValueError),
    (lambda x: call(math.remainder, 1.0, x), 0.0, ValueError), (math.tan, math.inf, ValueError),
    (lambda x: call(math.fsum, [x, x]), 1e308, OverflowError),
]  # fmt: skip


@pytest.mark.parametrize(("f", "x", "kind"), ERRORS)
def test_errors_are_pythons(f: Any, x: float, kind: type[Exception]) -> None:
    with pytest.raises(kind) as plain:
        f(x)
    message = str(plain.value)
    for how in (tg.grad(gated(f)), tg.jit(gated(f)), tg.jit(tg.grad(gated(f)))):
        with pytest.raises(kind) as traced:
            how(x)
        assert str(traced.value) == message
    with pytest.raises(kind):
        call(f, tg.tensor(x))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_in_a_batch_the_result_is_nan_or_inf() -> None:
    x = np.array([-1.0, 4.0])
    np.testing.assert_array_equal(tg.vmap(gated(math.sqrt))(x), [np.nan, 2.0])
    np.testing.assert_array_equal(tg.vmap(gated(math.exp))(np.array([0.0, 1e4])), [1.0, np.inf])
    np.testing.assert_array_equal(
        tg.vmap(gated(math.gamma))(np.array([-1.0, 200.0])), [np.nan, np.inf]
    )


def test_a_compiled_function_raises_when_a_later_number_asks_for_it() -> None:
    f = tg.jit(lambda x: call(math.sqrt, x) * 2)
    for x in (4.0, 9.0, 16.0):
        assert f(x) == 2 * math.sqrt(x)
    for _ in range(2):
        with pytest.raises(ValueError, match="domain"):
            f(-1.0)
        assert f(25.0) == 10.0
    g = tg.jit(gated(math.exp))
    assert g(1.0) == math.exp(1.0) and g(math.inf) == math.inf and g(-math.inf) == 0.0
    with pytest.raises(OverflowError):
        g(1e4)


@pytest.mark.parametrize("shape", [(3,), (1,), (1, 1)])
@pytest.mark.parametrize("f", [math.sin, math.erf, math.floor, math.atan2, math.hypot, math.isnan])
def test_arrays_are_refused_as_numpy_refuses_them(f: Any, shape: Any) -> None:
    x = np.ones(shape)
    args = (x, 1.0) if f is math.atan2 else (x,)
    try:
        f(*args)
    except TypeError as error:
        message = str(error)
    else:
        pytest.skip("this NumPy converts arrays with one element")
    with pytest.raises(TypeError) as traced:
        tg.grad(lambda x: call(f, *(x if a is args[0] else a for a in args)))(x)
    assert str(traced.value) == message


def test_numbers_of_every_kind_are_operands() -> None:
    from decimal import Decimal
    from fractions import Fraction

    for other in (2, True, np.float32(0.5), np.int64(3), Fraction(1, 2), Decimal("0.5")):
        got = tg.grad(lambda x, other=other: call(math.atan2, x, other))(0.3)
        assert got == pytest.approx(float(other) / (0.09 + float(other) ** 2))
    x = np.float32(0.7)
    value, got = tg.value_and_grad(gated(math.sin))(x)
    assert value == math.sin(x) and value.dtype == np.float64
    assert got.dtype == np.float32 and got == np.float32(math.cos(x))
    assert call(math.sqrt, tg.tensor(4)).item() == 2.0


# Sequences -----------------------------------------------------------------------------------------

X = np.array([0.7, -1.3, 2.9])


def of_elements(f: Any, *more: Any) -> Any:
    return lambda x: call(f, [x[0], x[1], x[2], 4], *more)


SEQUENCES = {
    "fsum": (math.fsum, of_elements(math.fsum)),
    "fsum of a generator": (math.fsum, lambda x: call(math.fsum, (v * v for v in x))),
    "prod": (math.prod, of_elements(math.prod)),
    "dist": (math.dist, lambda x: call(math.dist, x, [1.0, x[0], 3])),
    "hypot": (math.hypot, lambda x: call(math.hypot, *x)),
    "sumprod": (getattr(math, "sumprod", None), lambda x: call(math.sumprod, [2, 3.0, x[0]], x)),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_functions_of_sequences(name: str) -> None:
    original, f = SEQUENCES[name]
    if original is None:
        pytest.skip("this Python has no such function")

    def plain(x: Any) -> Any:
        return f(x.tolist())

    value, got = tg.value_and_grad(f)(X)
    assert value == pytest.approx(plain(X), rel=1e-15)
    direction = np.array([0.3, 1.1, -0.6])
    slope = central(lambda t: plain(X + t * direction), 0.0)
    assert got @ direction == pytest.approx(slope, rel=1e-9)
    assert tg.jvp(f, (X,), (direction,))[1] == pytest.approx(slope, rel=1e-9)
    np.testing.assert_allclose(tg.vmap(tg.grad(f))(np.stack([X, X]))[1], got, rtol=1e-13)
    np.testing.assert_allclose(tg.jit(tg.grad(f))(X), got, rtol=1e-13)
    second = tg.grad(lambda x: tg.grad(f)(x) @ direction)(X)
    want = central(lambda t: float(tg.grad(f)(X + t * direction) @ direction), 0.0)
    assert second @ direction == pytest.approx(want, rel=1e-8, abs=1e-9)


def test_sums_are_exact() -> None:
    x = np.array([1e16, 1.0, -1e16])
    value, got = tg.value_and_grad(lambda x: call(math.fsum, list(x)))(x)
    assert value == 1.0 and got.tolist() == [1.0, 1.0, 1.0]
    if hasattr(math, "sumprod"):
        value, got = tg.value_and_grad(lambda x: call(math.sumprod, list(x), [1.0, 2.0, 1.0]))(x)
        assert value == 2.0 and got.tolist() == [1.0, 2.0, 1.0]


def test_lengths_do_not_overflow_and_have_no_slope_at_the_origin() -> None:
    assert tg.grad(lambda x: call(math.hypot, x, 3e200, 4e200))(0.0) == 0.0
    value, got = tg.value_and_grad(lambda x: call(math.hypot, x, 4e200))(3e200)
    assert value == math.hypot(3e200, 4e200) and got == pytest.approx(0.6)
    assert tg.grad(lambda x: call(math.dist, [x, x], [0.0, 0.0]))(0.0) == 0.0


def test_sequences_without_tensors_are_left_alone() -> None:
    assert call(math.fsum, iter([0.1] * 10)) == 1.0
    assert call(math.dist, (1, 2), (4, 6)) == 5.0
    with pytest.raises(ValueError, match="same number of dimensions"):
        tg.grad(lambda x: call(math.dist, [x, 1.0], [0.0]))(1.0)


# What is locally constant --------------------------------------------------------------------------


def test_rounding_gives_integers_and_is_constant() -> None:
    def f(x: Any) -> Any:
        n = call(math.floor, x) + call(math.ceil, x) + call(math.trunc, x)
        assert type(n) is int
        return x * n

    assert tg.grad(f)(2.5) == 7.0 and tg.jit(tg.grad(f))(2.5) == 7.0
    assert tg.vmap(tg.grad(f))(np.array([2.5, -1.5])).tolist() == [7.0, -4.0]


def test_rounding_is_guarded_by_its_outcome() -> None:
    j = tg.jit(lambda x: x * call(math.floor, x))
    for x in (2.1, 2.3, 2.9, 2.2, 2.7):
        assert j(x) == x * 2
    assert j.stats().traces == 1
    assert j(3.5) == 10.5 and j.stats().traces == 2


def test_questions_give_bools() -> None:
    def f(x: Any) -> Any:
        assert call(math.isfinite, x) is True and call(cmath.isnan, x) is False
        assert call(math.isinf, x) is False
        return x * 2 if call(math.isclose, x, 0.7, rel_tol=1e-3) else x * 3

    assert tg.grad(f)(0.7001) == 2.0 and tg.grad(f)(0.8) == 3.0
    assert tg.jit(f)(0.8) == pytest.approx(2.4)
    near = [
        (1.0, 1.0 + 1e-10),
        (1.0, 1.1),
        (math.inf, math.inf),
        (math.inf, 1.0),
        (math.nan, math.nan),
    ]
    for a, b in near:
        assert call(math.isclose, tg.tensor(a), b) is math.isclose(a, b)
    with pytest.raises(ValueError, match="non-negative"):
        call(math.isclose, tg.tensor(1.0), 1.0, rel_tol=-1.0)


def test_parts_of_numbers() -> None:
    rest, whole = call(math.modf, tg.tensor(-2.7))
    assert (rest.item(), float(whole)) == math.modf(-2.7)
    assert tg.grad(lambda x: call(math.modf, x)[0] ** 2)(2.7) == pytest.approx(1.4)
    assert tg.grad(lambda x: call(math.modf, x)[1] * 1.0)(2.7) == 0.0

    def mantissa(x: Any) -> Any:
        m, e = call(math.frexp, x)
        assert type(e) is int and e == 2
        return m * 3

    assert tg.grad(mantissa)(2.7) == 0.75
    assert tg.jit(tg.grad(mantissa))(2.7) == 0.75
    assert tg.grad(lambda x: call(math.ldexp, x, 3))(0.7) == 8.0
    assert call(math.ulp, tg.tensor(1.0)) == math.ulp(1.0)
    assert tg.grad(lambda x: x * call(math.ulp, x))(0.7) == math.ulp(0.7)


def test_integers_are_used_as_indices() -> None:
    assert call(math.comb, tg.tensor(5), 2) == 10 and call(math.gcd, tg.tensor(12), 18) == 6
    assert tg.jit(lambda n, x: call(math.factorial, n) * x)(3, 0.5) == 3.0


# Complex results -----------------------------------------------------------------------------------


def test_complex_results_keep_derivatives() -> None:
    assert tg.grad(lambda x: call(cmath.sqrt, x).imag)(-4.0) == -0.25
    assert call(cmath.exp, tg.tensor(1.0)).dtype == complex
    assert call(cmath.sqrt, tg.tensor(-4.0, constant=True)) == 2j
    f = tg.jit(lambda x: call(cmath.exp, 1j * call(cmath.phase, x)).real * x)
    for x in (1.0, -2.0, 3.0):
        assert f(x) == pytest.approx(abs(x))


def test_real_results_of_complex_functions() -> None:
    assert tg.grad(lambda x: call(cmath.polar, x)[0])(-2.0) == -1.0
    assert call(cmath.phase, tg.tensor(-2.0)).item() == cmath.phase(-2.0)
    assert tg.grad(lambda z: call(cmath.phase, z))(2j) == -0.5
    assert all(
        type(functions[getattr(cmath, name)]) is Replacement for name in ("rect", "log", "polar")
    )


# Digamma -------------------------------------------------------------------------------------------


def test_digamma_is_exact_to_every_order() -> None:
    scipy = pytest.importorskip("scipy.special")
    x = np.concatenate([np.linspace(-4.7, -0.3, 7), np.geomspace(1e-3, 1e6, 40)])
    np.testing.assert_allclose(digamma(x), scipy.psi(x), rtol=2e-14, atol=2e-15)
    first = tg.vmap(tg.grad(digamma))
    np.testing.assert_allclose(first(x), scipy.polygamma(1, x), rtol=1e-13)
    second = tg.vmap(tg.grad(tg.grad(digamma)))
    np.testing.assert_allclose(second(x), scipy.polygamma(2, x), rtol=1e-11)
