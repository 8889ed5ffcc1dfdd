"""``statistics`` of traced numbers: values exact as Python's, derivatives right."""

import statistics
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.tape.core.primitive import functions, primitives

X = np.array([0.7, 1.3, 2.9])
W = [1.0, 2.5, 0.5]


def call(function: Any, *args: Any, **kwargs: Any) -> Any:
    found = functions.find(function)
    return (function if found is None else found)(*args, **kwargs)


FUNCTIONS = {
    "mean": lambda x: call(statistics.mean, x),
    "mean of numbers": lambda x: call(statistics.mean, [x[0] * x[1], 4, x[2]]),
    "fmean": lambda x: call(statistics.fmean, x),
    "fmean weighted": lambda x: call(statistics.fmean, x, W),
    "fmean by weights": lambda x: call(statistics.fmean, W, weights=x),
    "geometric_mean": lambda x: call(statistics.geometric_mean, x),
    "harmonic_mean": lambda x: call(statistics.harmonic_mean, x),
    "harmonic_mean weighted": lambda x: call(statistics.harmonic_mean, x, weights=W),
    "variance": lambda x: call(statistics.variance, x),
    "variance about": lambda x: call(statistics.variance, x, xbar=1.5),
    "pvariance": lambda x: call(statistics.pvariance, x),
    "pvariance about": lambda x: call(statistics.pvariance, W, x[0]),
    "stdev": lambda x: call(statistics.stdev, (v for v in x)),
    "pstdev": lambda x: call(statistics.pstdev, x),
    "median": lambda x: call(statistics.median, list(x)),
    "median of four": lambda x: call(statistics.median, [*x, 0.1]),
    "quantiles": lambda x: call(statistics.quantiles, list(x))[0],
    "median_low": lambda x: call(statistics.median_low, [*x, 0.1]) * x[2],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_exact_and_derivatives_right(name: str) -> None:
    f = FUNCTIONS[name]
    value, got = tg.value_and_grad(f)(X)
    assert value == f(X.tolist())
    direction = np.array([0.3, 1.1, -0.6])
    h = 1e-3

    def along(f: Any, t: float) -> Any:
        return f((X + t * direction).tolist())

    near, far = along(f, h) - along(f, -h), along(f, 2 * h) - along(f, -2 * h)
    slope = (8 * near - far) / (12 * h)
    assert got @ direction == pytest.approx(slope, rel=1e-8)
    assert tg.jvp(f, (X,), (direction,))[1] == pytest.approx(slope, rel=1e-8)
    np.testing.assert_allclose(tg.vmap(tg.grad(f))(np.stack([X, X]))[1], got, rtol=1e-12)
    np.testing.assert_allclose(tg.jit(tg.grad(f))(X), got, rtol=1e-12)
    first = lambda x: tg.grad(f)(x) @ direction
    near, far = first(X + h * direction), first(X - h * direction)
    second = tg.grad(first)(X) @ direction
    assert second == pytest.approx((near - far) / (2 * h), rel=1e-4, abs=1e-8)
    t = tg.tensor(X)
    f(t).backward()
    np.testing.assert_allclose(t.grad, got, rtol=1e-13)


def test_classes_are_those_of_the_data() -> None:
    x = np.float32(1.0)
    assert (
        tg.jit(lambda x, y: call(statistics.fmean, [x, y]) * np.float32(2))(x, x).dtype
        == np.float32
    )
    weak = tg.jit(lambda x, y: call(statistics.mean, [x, y]) * np.ones(1, np.float32))
    assert weak(1.0, 2.0).dtype == np.float32 and weak(np.float64(1), 2.0).dtype == np.float64


def test_errors_are_those_of_the_module() -> None:
    for f, x in ((statistics.harmonic_mean, -1.0), (statistics.geometric_mean, -1.0)):
        with pytest.raises(statistics.StatisticsError) as plain:
            f([x])
        with pytest.raises(statistics.StatisticsError) as traced:
            tg.grad(lambda x, f=f: call(f, [x]))(x)
        assert str(traced.value) == str(plain.value)
    with pytest.raises(statistics.StatisticsError):
        tg.grad(lambda x: call(statistics.variance, [x]))(1.0)
    with pytest.raises(TypeError):
        tg.grad(lambda x: call(statistics.mean, [x], 1.0))(1.0)


def test_primitives_are_found_by_name() -> None:
    for name in ("statistics.mean", "statistics.fmean_weighted", "statistics.stdev_about"):
        assert primitives.find(name).name == name
    assert primitives.find("statistics.mode") is None


def test_without_tensors_the_original_answers() -> None:
    from fractions import Fraction

    assert call(statistics.mean, iter([1, 2])) == 1.5
    assert call(statistics.mean, [Fraction(1, 2)]) == Fraction(1, 2)
    assert call(statistics.variance, [1, 2, 3], 2) == 1
    assert call(statistics.fmean, [1, 3], weights=[3, 1]) == 1.5
