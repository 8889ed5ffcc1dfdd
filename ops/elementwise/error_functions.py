"""Special functions without SciPy: the error functions and the normal distribution.

All of them come from two Chebyshev series, one of erf near 0 and one of the scaled complement
``exp(x**2) * erfc(x)``, from which no digit is lost in the tails.

>>> from tapegrad import special
>>> special.erf([0.0, 0.5])
Tensor([0.        , 0.52049988])
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.ops.elementwise.special_own import own
from tapegrad.tape.array.application import bind
from tapegrad.tape.core.types import Array

__all__ = [
    "chebyshev", "erf", "erfc", "erfc_integral", "erfcinv", "erfcx", "erfcx_slope", "erfinv",
    "log_ndtr", "ndtr", "ndtri",
]  # fmt: skip

#: Chebyshev coefficients of (1 + 2 x) exp(x^2) erfc(x) as a function of (x - 3.75) / (x + 3.75).
_SCALED = (
    1.1775789345674017,
    -0.004590054580646478,
    -0.08424913336651792,
    0.05920993999819189,
    -0.026658668435305753,
    0.009074997670705265,
    -0.002413163540417608,
    0.0004907758365258086,
    -6.916973302501207e-05,
    4.13902798607301e-06,
    7.74038306619849e-07,
    -2.1886401049234397e-07,
    1.076499946567091e-08,
    4.521959811218287e-09,
    -7.754400208831351e-10,
    -6.318088340886684e-11,
    2.86879501093067e-11,
    1.9455868545777347e-13,
    -9.65469674843344e-13,
    3.25254814814874e-14,
    3.3478119482868056e-14,
    -1.864562880419313e-15,
    -1.2507950530688648e-15,
    7.418235256624044e-17,
    5.068148904796111e-17,
    -2.2370566594359995e-18,
    -2.187342944303018e-18,
)
#: Chebyshev coefficients of erf(x) / x as a function of 2 x^2 - 1.
_SMALL = (
    0.9754769393826541,
    -0.14226120510371365,
    0.010035582187599796,
    -0.0005768764699767485,
    2.741993125219606e-05,
    -1.1043175507344507e-06,
    3.8488755420345036e-08,
    -1.1808582533875466e-09,
    3.2334215826050907e-11,
    -7.991015947004549e-13,
    1.7990725113961456e-14,
    -3.718635487818693e-16,
    7.103599003714253e-18,
)
_ROOT_2 = math.sqrt(2.0)
_ROOT_HALF = math.sqrt(0.5)
_ROOT_PI = math.sqrt(math.pi)
_ROOT_2PI = math.sqrt(2.0 * math.pi)
_FAR = 64.0
_MIDDLE = 2.0
_SPLIT = 134217729.0  # 2^27 + 1, which cuts a float64 into halves


def chebyshev(coefficients: tuple[float, ...], t: Any) -> Any:
    """Return the sum of a Chebyshev series, by Clenshaw's recurrence."""
    last, before = 0.0, 0.0
    for c in coefficients[:0:-1]:
        last, before = 2.0 * t * last - before + c, last
    return t * last - before + coefficients[0]


def _gaussian(x: Any, factor: float) -> Any:
    """Return ``exp(factor * x**2)``, which would lose digits with the square in one number.

    Beyond `_FAR`, it is 0 or infinite, and what the square rounds off may be large.
    """
    near = np.clip(x, -_FAR, _FAR)
    high = near * _SPLIT - (near * _SPLIT - near)
    return np.exp(factor * high * high) * np.exp(factor * (near - high) * (near + high))


def _scaled(x: Any) -> Any:
    """Return ``exp(x**2) * erfc(x)`` for x of at least 0."""
    far = x > 1e15
    near = np.where(far, 1.0, x)
    value = chebyshev(_SCALED, (near - 3.75) / (near + 3.75)) / (1.0 + 2.0 * near)
    with np.errstate(over="ignore"):
        return np.where(far, 1.0 / (x * _ROOT_PI), value)


def _small(x: Any) -> Any:
    """Return erf(x) for magnitudes of at most 1."""
    near = np.clip(x, -1.0, 1.0)
    return near * chebyshev(_SMALL, 2.0 * near * near - 1.0)


def _erf(x: Any) -> Any:
    size = np.abs(x)
    tail = 1.0 - _gaussian(size, -1.0) * _scaled(size)
    return np.where(size < 1.0, _small(x), np.copysign(tail, x))


def _erfc(x: Any) -> Any:
    size = np.abs(x)
    tail = _gaussian(size, -1.0) * _scaled(size)
    return np.where(x < 0.5, 1.0 - _erf(x), tail)


def _erfcx(x: Any) -> Any:
    size = np.abs(x)
    with np.errstate(over="ignore"):
        left = 2.0 * _gaussian(size, 1.0) - _scaled(size)
    return np.where(x < 0, left, _scaled(size))


def _ndtr(x: Any) -> Any:
    size = np.abs(x)
    tail = 0.5 * _gaussian(size, -0.5) * _scaled(size * _ROOT_HALF)
    near = 0.5 + 0.5 * _small(x * _ROOT_HALF)
    return np.where(size < 1.0, near, np.where(x < 0, tail, 1.0 - tail))


def _log_ndtr(x: Any) -> Any:
    left = np.minimum(x, -1.0)
    with np.errstate(over="ignore"):
        tail = np.log(0.5 * _scaled(-left * _ROOT_HALF)) - 0.5 * left * left
    right = np.maximum(x, -1.0)
    return np.where(x < -1.0, tail, np.log1p(-_ndtr(-right)))


def _erfc_integral(n: Any, x: Any) -> Any:
    """Return ``exp(x**2)`` times the n-th integral of erfc, for integers n from 0 (DLMF 7.18).

    To the right, each is much less than the one before, so that a recurrence in n loses all digits: the
    ratios are a continued fraction there.
    """
    top = int(np.max(n, initial=0.0))
    right = np.maximum(x, _MIDDLE)
    ratio: Any = 0.0
    high: Any = np.full(np.shape(right), 2.0 / _ROOT_PI)
    for k in range(top + 50, -1, -1):  # the ratio of the k-th to the one before
        ratio = 0.5 / (right + (k + 1) * ratio)
        if k <= top:
            high = np.where(k <= n, high * ratio, high)
    left = np.minimum(x, _MIDDLE)
    before: Any = 2.0 / _ROOT_PI
    last = low = _erfcx(left)
    for k in range(1, top + 1):
        before, last = last, (0.5 * before - left * last) / k
        low = np.where(n == k, last, low)
    return np.where(x > _MIDDLE, high, low)


# Inverses ----------------------------------------------------------------------------------------


def _ndtri_of_tail(p: Any) -> Any:
    """Return x of at most 0 with ndtr(x) == p for p in (0, 1/2]: Newton's method for log_ndtr.

    It is concave, so that from the left no step goes too far; and nearly a parabola, which gives the
    start.
    """
    log_p = np.log(p)
    x = -np.sqrt(-2.0 * log_p)
    for _ in range(8):
        value = _log_ndtr(x)
        slope = 2.0 / (_ROOT_2PI * _scaled(-x * _ROOT_HALF))
        step = (value - log_p) / slope
        x = np.minimum(x - step / (1.0 + 0.5 * step * (x + slope)), 0.0)
    return x


def _ndtri(p: Any) -> Any:
    """Tails by their logarithm; in the middle by the distance from 1/2, which is exact."""
    inside = (p > 0) & (p < 1)
    tail = np.where(inside, np.minimum(p, 1.0 - p), 0.25)
    far = _ndtri_of_tail(tail)
    y = np.where(inside, p - 0.5, 0.0)
    near = _erfinv_near(2.0 * np.clip(y, -0.375, 0.375)) * _ROOT_2
    x = np.where(np.abs(y) < 0.375, near, np.copysign(far, y))
    edge = np.where(p == 0, -np.inf, np.where(p == 1, np.inf, np.nan))
    return np.where(inside, x, edge)


def _erfinv_near(y: Any) -> Any:
    """Return x with erf(x) == y for magnitudes of y of at most 3/4, by Halley's method."""
    x = y * (0.5 * _ROOT_PI)
    for _ in range(6):
        step = (_small(x) - y) * (0.5 * _ROOT_PI) * np.exp(x * x)
        x = x - step / (1.0 + x * step)
    return x


def _erfinv(y: Any) -> Any:
    size = np.abs(y)
    near = _erfinv_near(np.clip(y, -0.75, 0.75))
    tail = np.where(size < 1, 0.5 * (1.0 - size), 0.25)
    x = np.where(size <= 0.75, near, np.copysign(_ROOT_HALF * _ndtri_of_tail(tail), y))
    return np.where(size < 1, x, np.where(size == 1, np.copysign(np.inf, y), np.nan))


def _erfcinv(y: Any) -> Any:
    near = _erfinv_near(np.clip(1.0 - y, -0.75, 0.75))
    tail = 0.5 * np.minimum(y, 2.0 - y)
    inside = (y > 0) & (y < 2)
    far = _ROOT_HALF * _ndtri_of_tail(np.where(inside, np.maximum(tail, 5e-324), 0.25))
    x = np.where(np.abs(1.0 - y) <= 0.75, near, np.copysign(far, 1.0 - y))
    edge = np.where(y == 0, np.inf, np.where(y == 2, -np.inf, np.nan))
    return np.where(inside, x, edge)


# The functions -----------------------------------------------------------------------------------


def _erf_slope(g: Array, y: Array, x: Array) -> Any:
    return g * (2.0 / _ROOT_PI * np.exp(-(x * x)))


def erfcx_slope(x: Array) -> Any:
    """Return the derivative of erfcx, ``2 * x * erfcx(x) - 2 / sqrt(pi)``, without the loss in that."""
    return -2.0 * bind(erfc_integral.primitive, 1.0, x)


def _log_ndtr_slope(g: Array, y: Array, x: Array) -> Any:
    right = np.exp(-0.5 * x * x - y) / _ROOT_2PI
    left = math.sqrt(2.0 / math.pi) / bind(erfcx.primitive, np.where(x > 0, 0.0, x) * -_ROOT_HALF)
    return g * np.where(x > 0, right, left)


erfc_integral: Any = own(
    "erfc_integral", _erfc_integral, "exp(x**2) * the n-th integral of erfc from x to infinity",
    "The scaled integrals of erfc.",
    None,
    lambda g, y, n, x: g * (-2.0 * (n + 1) * bind(erfc_integral.primitive, n + 1, x)),
)  # fmt: skip
erf = own("erf", _erf, "erf(x)", "The error function.", _erf_slope)
erfc = own(
    "erfc", _erfc, "1 - erf(x)", "The complement of the error function, without loss in its tail.",
    lambda g, y, x: -_erf_slope(g, y, x),
)  # fmt: skip
erfcx = own(
    "erfcx", _erfcx, "exp(x**2) * erfc(x)", "The scaled complement of the error function.",
    lambda g, y, x: g * erfcx_slope(x),
)  # fmt: skip
erfinv = own(
    "erfinv", _erfinv, "x with erf(x) == y", "The inverse of the error function.",
    lambda g, y, x: g * (0.5 * _ROOT_PI * np.exp(y * y)),
)  # fmt: skip
erfcinv = own(
    "erfcinv", _erfcinv, "x with erfc(x) == y", "The inverse of the complement.",
    lambda g, y, x: g * (-0.5 * _ROOT_PI * np.exp(y * y)),
)  # fmt: skip
ndtr = own(
    "ndtr", _ndtr, "(1 + erf(x / sqrt(2))) / 2", "The normal distribution function.",
    lambda g, y, x: g * (np.exp(-0.5 * x * x) / _ROOT_2PI),
)  # fmt: skip
log_ndtr = own(
    "log_ndtr", _log_ndtr, "log(ndtr(x))", "The logarithm of the normal distribution function.",
    _log_ndtr_slope,
)  # fmt: skip
ndtri = own(
    "ndtri", _ndtri, "x with ndtr(x) == p", "The quantiles of the normal distribution.",
    lambda g, y, x: g * (_ROOT_2PI * np.exp(0.5 * y * y)),
)  # fmt: skip
