"""Beta and incomplete gamma and beta functions: accuracy, hard places, derivatives by parameters."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import special

EPS = 2.2e-16
#: a, x, gammainc, gammaincc, and the derivative by a, computed with 80 digits.
GAMMA: list[Any] = [
    (0.001, 0.2,
     "0.998777452160526791217465", "0.00122254783947320878253544", "-1.22244441340606571799338"),
    (0.3, 0.7,
     "0.866862585506295236956101", "0.133137414493704763043899", "-0.498300659877772093141359"),
    (0.9, 30.0,
     "0.999999999999937880724271", "6.21192757285483021315489e-14", "-2.6017517176996413185103e-13"),
    (2.5, 0.01,
     "0.00000298760153190659384412091", "0.999997012398468093406156", "-0.0000170566474977782065162772"),
    (5.0, 20.0,
     "0.999983055256069932616096", "0.000016944743930067383903708", "-0.0000262177079221671340510066"),
    (40.0, 45.0,
     "0.791618179967407213159327", "0.208381820032592786840673", "-0.0446258186467825201299007"),
    (100.0, 60.0,
     "1.48152763264604678891808e-6", "0.999998518472367353953211", "-7.8412023315936560026905e-7"),
    (3000.0, 2900.0,
     "0.0328599919211209743446204", "0.96714000807887902565538", "-0.00134703866156866316892077"),
    (150000.0, 150300.0,
     "0.780812854247540503978786", "0.219187145752459496021214", "-0.000762633463351910651092532"),
]  # fmt: skip
#: a, b, beta, betaln.
BETA: list[Any] = [
    (1e-05, 2.0, "99999.0000099998918206946", "11.5129154650202280049553"),
    (0.3, 0.7, "3.88322207745093339166291", "1.35666524134974209708675"),
    (1.0, 1.0, "1.0", "0.0"),
    (2.5, 6.0, "0.0113664113664113664113664", "-4.47709264404603255785694"),
    (0.01, 90.0, "95.0627197012462268326583", "4.55453688114106163735307"),
    (7.5, 300.0, "4.5573069802336326029723e-16", "-35.3246296133464208261455"),
    (20.0, 31.0, "1.06091312838372161196982e-15", "-34.4796464157433736458249"),
    (400.0, 0.5, "0.0886503914572125292327238", "-2.42305483071067096210968"),
    (600.0, 700.0, "3.0029035780680961976872e-391", "-899.211191680721591786335"),
]  # fmt: skip
#: a, b, x, betainc, and the derivatives by a and b.
INCOMPLETE: list[Any] = [
    (0.3, 0.7, 0.2,
     "0.537596647746509681310078", "-1.06401392134196120516203", "0.318612161159724938227347"),
    (0.5, 0.5, 0.999,
     "0.979864958366622500082918", "-0.0279063800865563845677625", "0.151440452599891477844455"),
    (2.0, 3.5, 0.01,
     "0.000774448729584696331999832", "-0.00303557738642999230434796", "0.0003881992312966351293667"),
    (9.0, 8.5, 0.6,
     "0.761264222415709690024934", "-0.0675086841444402095820233", "0.0849721113569471460946368"),
    (30.0, 2.0, 0.9,
     "0.169564633100864911322034", "-0.0136263013533156226828917", "0.169753065545202034875114"),
    (0.2, 40.0, 0.001,
     "0.567303964067720667047778", "-1.68165400666379739192036", "0.00277183543545874422028298"),
    (500.0, 300.0, 0.63,
     "0.612739529840237735696167", "-0.010430150349747547659305", "0.0175742900254087397464358"),
    (80.0, 90.0, 0.2,
     "1.42362102220457424997592e-15", "-1.23768947292389724162526e-15", "5.974098652724029296978e-16"),
]  # fmt: skip


def close(got: Any, exact: Any, scale: float, absolute: float = 0.0) -> None:
    """The bound: so many eps for a result of 1, and more for small ones, by their logarithm."""
    got, exact = float(np.asarray(got)), float(exact)
    size = 1 + abs(np.log(abs(exact))) if exact else 1.0
    assert abs(got - exact) <= scale * EPS * size * abs(exact) + absolute * EPS, (got, exact)


@pytest.mark.parametrize(("a", "x", "p", "q", "by_a"), GAMMA)
def test_incomplete_gamma_functions_are_right(
    a: float, x: float, p: str, q: str, by_a: str
) -> None:
    close(special.gammainc(a, x), p, 16)
    close(special.gammaincc(a, x), q, 16)
    close(tg.grad(special.gammainc)(a, x), by_a, 64)
    close(-tg.grad(special.gammaincc)(a, x), by_a, 64)


@pytest.mark.parametrize(("a", "b", "value", "log"), BETA)
def test_beta_functions_are_right(a: float, b: float, value: str, log: str) -> None:
    for u, v in ((a, b), (b, a)):
        close(special.beta(u, v), value, 16)
        assert abs(float(special.betaln(u, v).data) - float(log)) <= 8 * EPS * (1 + abs(float(log)))


@pytest.mark.parametrize(("a", "b", "x", "value", "by_a", "by_b"), INCOMPLETE)
def test_the_incomplete_beta_function_is_right(
    a: float, b: float, x: float, value: str, by_a: str, by_b: str
) -> None:
    close(special.betainc(a, b, x), value, 64, 8)
    slopes = tg.grad(special.betainc, (0, 1))(a, b, x)
    close(slopes[0], by_a, 256, 8)
    close(slopes[1], by_b, 256, 8)


def test_values_agree_with_those_of_many_digits() -> None:
    mpmath = pytest.importorskip("mpmath")
    rng = np.random.default_rng(1)
    a, b = np.exp(rng.uniform(-4, 5, (2, 60)))
    x = a * np.exp(rng.normal(size=60) * np.minimum(1, 2 / np.sqrt(a)))
    z = np.clip(a / (a + b) + rng.normal(size=60) / 4, 0.01, 0.99)
    p, q, i = special.gammainc(a, x), special.gammaincc(a, x), special.betainc(a, b, z)
    with mpmath.workdps(40):
        for k in range(60):
            u, v, t, s = map(mpmath.mpf, (a[k], b[k], x[k], z[k]))
            close(p.data[k], mpmath.gammainc(u, 0, t, regularized=True), 16)
            close(q.data[k], mpmath.gammainc(u, t, mpmath.inf, regularized=True), 16)
            close(i.data[k], mpmath.betainc(u, v, 0, s, regularized=True), 64, 8)


def test_ends_and_poles() -> None:
    inf, nan = np.inf, np.nan
    places = np.array([[0, 1], [1, 0], [1, inf], [inf, 2], [2, nan], [-1, 1], [1, -1], [nan, 1]])
    p = [1, 0, 1, 0, nan, nan, nan, nan]
    np.testing.assert_array_equal(special.gammainc(*places.T).data, p)
    np.testing.assert_array_equal(special.gammaincc(*places.T).data, 1 - np.array(p))
    np.testing.assert_array_equal(
        special.betainc(2.0, 3.0, [0, 1, -1, 2, nan]).data, [0, 1, nan, nan, nan]
    )
    np.testing.assert_array_equal(
        special.betaln([0, 1, inf, -1], [1, inf, 0, 1]).data, [inf, -inf, nan, nan]
    )
    np.testing.assert_array_equal(special.beta([0, 1, 1.0], [1, inf, 1]).data, [inf, 0, 1])
    by_x, by_z = tg.grad(special.gammainc, 1), tg.grad(special.betainc, 2)
    assert [float(by_x(a, 0.0)) for a in (0.5, 1.0, 2.0)] == [inf, 1, 0]
    assert [float(by_z(a, 3.0, 0.0)) for a in (0.5, 1.0, 2.0)] == [inf, pytest.approx(3), 0]
    assert special.gammainc(np.zeros((0, 2)), 1.0).shape == (0, 2)
    assert special.betainc(np.float32(2), np.float32(3), np.float32(0.5)).dtype == np.float32


def test_derivatives_hold() -> None:
    a, b = np.array([0.3, 2.0, 20.0]), np.array([0.7, 9.0, 18.0])
    x = np.array([0.2, 0.3, 0.6])
    tg.check_grads(special.beta, (a, b), order=2)
    tg.check_grads(special.betaln, (a, b), order=2)
    for function in (special.gammainc, special.gammaincc):
        tg.check_grads(function, (a, b), order=2)
        tg.check_grads(lambda x, f=function: tg.elementwise_grad(f)(a, x), (b,), order=2)
    tg.check_grads(special.betainc, (a, b, x), order=2)
    tg.check_grads(
        lambda x: tg.jacobian(lambda a, b: special.betainc(a, b, x), (0, 1))(a, b), (x,), order=2
    )


def test_second_derivatives_by_parameters_agree_with_those_of_many_digits() -> None:
    """In all regions: small and large parameters, on either side of the mean."""
    mpmath = pytest.importorskip("mpmath")
    bend = tg.grad(tg.grad(special.gammainc))
    bends = tg.hessian(special.betainc, (0, 1))
    with mpmath.workdps(60):
        step = mpmath.mpf(10) ** -17

        def second(f: Any, u: Any, v: Any) -> Any:
            """By differences along a direction."""
            return (f(u, v) - 2 * f(0, 0) + f(-u, -v)) / step**2

        for a, x, *_ in GAMMA[:-1]:

            def p(u: Any, _: Any, a: Any = a, x: Any = x) -> Any:
                return mpmath.gammainc(a + a * u, 0, mpmath.mpf(x), regularized=True)

            close(bend(a, x), second(p, step, 0) / mpmath.mpf(a) ** 2, 64)
        for a, b, x, *_ in INCOMPLETE:

            def i(u: Any, v: Any, a: Any = a, b: Any = b, x: Any = x) -> Any:
                u, v = a + a * u, b + b * v
                return mpmath.betainc(u, v, 0, mpmath.mpf(x), regularized=True)

            by_a, by_b = second(i, step, 0), second(i, 0, step)
            both = (second(i, step, step) - second(i, step, -step)) / 4
            found = bends(a, b, x)
            close(found[0][0], by_a / mpmath.mpf(a) ** 2, 4096, 8)
            close(found[0][1], both / (mpmath.mpf(a) * b), 4096, 8)
            close(found[1][1], by_b / mpmath.mpf(b) ** 2, 4096, 8)


def test_third_derivatives_by_parameters_say_that_nobody_knows_them() -> None:
    for function in (
        lambda a: special.gammainc(a, 1.0),
        lambda a: special.gammaincc(a, 1.0),
        lambda a: special.betainc(a, 2.0, 0.3),
        lambda b: special.betainc(2.0, b, 0.3),
        lambda a: special.betainc(a, a, 0.3),
    ):
        assert np.isfinite(tg.grad(tg.grad(function))(2.0))
        for derivative in (tg.grad(tg.grad(tg.grad(function))), tg.hessian(tg.grad(function))):
            with pytest.raises(TypeError, match=r"no third derivative of .* by its"):
                derivative(2.0)


def test_batches_compiled_calls_and_pickles() -> None:
    x = np.array([0.3, 0.6])
    for function in (
        lambda x: special.gammainc(3 * x, x), lambda x: special.betainc(x, 2 * x, x),
        lambda x: special.beta(x, 2 * x),
    ):  # fmt: skip
        gradient = tg.grad(lambda x, f=function: np.sum(f(x) ** 2))
        np.testing.assert_allclose(tg.jit(gradient)(x), gradient(x), 1e-13)
        np.testing.assert_allclose(tg.vmap(function)(x), function(x).data, 1e-14)
    for name in ("beta", "betaln", "gammainc", "gammaincc", "betainc"):
        function = getattr(special, name)
        assert pickle.loads(pickle.dumps(function)) is function


def test_a_gamma_density_is_fitted_with_its_censored_part() -> None:
    """Of waiting times some are only known to be longer: their part is gammaincc, by its parameter."""
    rng = np.random.default_rng(0)
    times = rng.gamma(2.5, 1.0, 400)
    seen, cut = times[times < 4], np.sum(times >= 4)

    def loss(shape: Any) -> Any:
        logs = (shape - 1) * np.log(seen) - seen - special.gammaln(shape)
        return -np.sum(logs) - cut * np.log(special.gammaincc(shape, 4.0))

    shape = 1.0
    for _ in range(40):
        shape -= 0.5 * tg.grad(loss)(shape) / 400
    assert abs(tg.grad(loss)(shape)) < 1e-2
    assert abs(shape - 2.5) < 0.2
