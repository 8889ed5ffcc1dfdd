"""Polynomials: fits, roots, quotients; NumPy's package of polynomials; windows; emath."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from numpy import polynomial

import tapegrad as tg

X = np.array([1.0, 2.0, 3.5, 5.0])
Y = np.array([1.0, -0.5, 2.0, 0.25])
PLACES = np.array([-1.0, 0.5, 1.0, 2.5])
POLY = polynomial.polynomial

FUNCTIONS: dict[str, tuple[Any, Any]] = {
    "poly": (np.poly, X),
    "poly of a matrix": (lambda x: np.poly(np.diag(x) + 0.1), X),
    "quotient": (lambda x: np.polydiv(x, x[:2])[0], X),
    "remainder": (lambda x: np.polydiv(x, x[:2])[1], X),
    "a quotient of nothing": (lambda x: np.polydiv(x[:2], x)[1], X),
    "roots": (lambda x: np.sort(np.roots(np.poly(x))), X),
    "roots of coefficients": (lambda p: np.roots(p), np.array([2.0, -6.0, 3.0])),
    "roots at 0": (lambda p: np.roots(np.concatenate((p, [0.0, 0.0]))), np.array([2.0, -6.0, 3.0])),
    "fit of values": (lambda y: np.polyfit(PLACES, y, 2), Y),
    "fit of places": (lambda x: np.polyfit(x, Y, 2), X),
    "fit with weights": (lambda w: np.polyfit(PLACES, Y, 2, w=w), X),
    "two fits": (lambda y: np.polyfit(PLACES, np.stack([y, y**2], 1), 1, w=X), Y),
    "all of a fit": (lambda y: np.polyfit(PLACES, y, 2, full=True)[1], Y),
    "covariance": (lambda y: np.polyfit(PLACES, y, 1, cov=True)[1], Y),
    "covariances": (lambda y: np.polyfit(PLACES, np.stack([y, y**2], 1), 1, cov=True)[1], Y),
    "unscaled covariance": (lambda x: np.polyfit(x, Y, 1, cov="unscaled")[1], X),
    "i0": (np.i0, X),
    "kaiser": (lambda x: np.kaiser(6, x[0]), X),
    "Polynomial": (lambda x: (polynomial.Polynomial(x) ** 2).deriv()(0.5), X),
    "Polynomial.fit": (lambda y: polynomial.Polynomial.fit(PLACES, y, 2).convert().coef, Y),
    "Chebyshev": (lambda x: polynomial.Chebyshev(x, domain=[0, 2])(0.5), X),
    "polyval": (lambda x: POLY.polyval(x, x), X),
    "polyfit": (lambda x: POLY.polyfit(x, Y, 2), X),
    "polyfromroots": (POLY.polyfromroots, X),
    "legint": (polynomial.legendre.legint, X),
    "hermeval": (lambda x: polynomial.hermite_e.hermeval(x, [1.0, 2.0, 3.0]), X),
    "lagvander": (lambda x: polynomial.laguerre.lagvander(x, 3), X),
    "chebfit": (lambda y: polynomial.chebyshev.chebfit(PLACES, y, 2), Y),
    "emath.sqrt": (np.emath.sqrt, X),
    "emath.logn": (lambda x: np.emath.logn(3, x), X),
    "emath.power": (lambda x: np.emath.power(x, 3), X),
    "emath.arccos": (lambda x: np.emath.arccos(x / 9), X),
    "nextafter": (lambda x: np.nextafter(x, 9.0) ** 2, X),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_numpys_and_derivatives_hold(name: str) -> None:
    function, x = FUNCTIONS[name]
    np.testing.assert_allclose(tg.jvp(function, (x,), (x,))[0], function(x), 1e-9, 1e-11)
    tg.check_grads(function, (x,), order=2)


@pytest.mark.parametrize(
    "name", ["roots", "fit of places", "Polynomial.fit", "polyval", "emath.sqrt"]
)
def test_batches_and_compiled_calls_give_the_same(name: str) -> None:
    function, x = FUNCTIONS[name]
    gradient = tg.grad(lambda x: np.sum(np.sin(function(x))))
    xs = np.stack([x, 1.1 * x])
    each = np.stack([gradient(x) for x in xs])
    np.testing.assert_allclose(tg.vmap(gradient)(xs), each, 1e-9, 1e-11)
    compiled = tg.jit(gradient)
    for k in (0, 1):
        np.testing.assert_allclose(compiled(xs[k]), each[k], 1e-9, 1e-11)


def test_all_results_of_a_fit_are_numpys() -> None:
    plain = np.polyfit(PLACES, Y, 2, full=True)
    for a, b in zip(np.polyfit(PLACES, tg.tensor(Y), 2, full=True), plain, strict=True):
        np.testing.assert_allclose(np.asarray(a), b, 1e-10)
    assert np.poly([]) == np.poly(tg.tensor([])) == 1
    assert np.roots(tg.tensor([0.0, 0.0])).size == 0
    np.testing.assert_array_equal(np.roots(tg.tensor([0.0, 2.0, 0.0])), [0.0])
    np.testing.assert_array_equal(tg.jvp(lambda b: np.kaiser(1, b), (2.0,), (1.0,))[0], [1.0])


def test_a_poor_fit_warns_as_numpys() -> None:
    for y in (Y[:2], tg.tensor(Y[:2])):
        with pytest.warns(np.exceptions.RankWarning, match="poorly conditioned"):
            np.polyfit(PLACES[:2], y, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.polyfit(PLACES, tg.tensor(Y), 2)


WRONG: list[Any] = [
    lambda y: np.polyfit(PLACES, y, -1),
    lambda y: np.polyfit(PLACES[:2], y, 1),
    lambda y: np.polyfit(y[:, None], Y, 1),
    lambda y: np.polyfit(y[:0], Y[:0], 1),
    lambda y: np.polyfit(PLACES, y[:, None, None], 1),
    lambda y: np.polyfit(PLACES, y, 1, w=Y[:2]),
    lambda y: np.polyfit(PLACES, y, 1, w=Y[:, None]),
    lambda y: np.polyfit(PLACES[:2], y[:2], 1, cov=True),
    lambda y: np.roots(y[:, None]),
    lambda y: np.poly(y[:, None]),
]


@pytest.mark.parametrize("call", WRONG)
def test_wrong_arguments_raise_what_numpy_raises(call: Any) -> None:
    with pytest.raises(Exception) as plain:  # whatever it is
        call(Y)
    with pytest.raises(type(plain.value)):
        call(tg.tensor(Y))


def test_what_is_complex_says_so() -> None:
    for function, x in (
        (np.emath.sqrt, -1.0), (np.emath.arcsin, 2.0), (np.emath.power, None), (np.roots, None),
    ):  # fmt: skip
        args = {np.emath.power: (-2.0, 0.5), np.roots: (np.array([1.0, 0.0, 1.0]),)}.get(
            function, (x,)
        )
        with pytest.raises(TypeError, match="complex"):
            tg.grad(lambda *a, f=function: np.sum(f(*a)))(*args)


def test_windows_have_no_derivative_by_their_length() -> None:
    with pytest.raises(tg.TracedArrayError, match="kaiser"):
        tg.grad(lambda n: np.sum(np.kaiser(n, 2.0)))(5.0)
