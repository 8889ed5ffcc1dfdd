"""Special functions without SciPy: the incomplete gamma functions, and their derivatives.

>>> from tapegrad import grad, special
>>> special.gammainc(2.0, [0.0, 1.0, 2.0])
Tensor([0.        , 0.26424112, 0.59399415])
>>> float(grad(special.gammainc)(2.0, 1.0))
-0.2761960457028347
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.ops.elementwise.continued import (
    EPS,
    digamma_rest,
    fraction,
    less_log1p,
    stirling_rest,
    where_needed,
)
from tapegrad.ops.elementwise.error_functions import chebyshev
from tapegrad.ops.elementwise.gamma_function import gamma
from tapegrad.ops.elementwise.gamma_functions import NEAR_ONE, digamma, polygamma
from tapegrad.ops.elementwise.special_own import Special, own, unknown
from tapegrad.tape.array.application import bind
from tapegrad.tape.core.primitive import Primitive

__all__ = ["gamma_density_p", "gammainc", "gammainc_slope_p", "gammaincc"]

_gamma: Any = gamma.primitive.forward
_digamma: Any = digamma.primitive.forward
_polygamma: Any = polygamma.primitive.forward
_MOST_TERMS = 200_000


def _less_log(x: Any, a: Any) -> Any:
    """Return ``t - log1p(t)`` of t = x / a - 1, precisely wherever x lies."""
    far = x < 0.5 * a
    t = (x - a) / a
    return np.where(far, t - np.log(np.where(far, x / a, 1.0)), less_log1p(np.where(far, 0.0, t)))


def _log_less_digamma(a: Any, x: Any) -> Any:
    """Return ``log(x) - digamma(a)``, without cancellation where both are large."""
    large = np.maximum(a, 10.0)
    near = np.abs(x - large) < 0.5 * large
    ratio = np.where(near, (x - large) / large, 0.0)
    log = np.where(near, np.log1p(ratio), np.log(np.where(near, 1.0, x / large)))
    small = np.where(a < 10.0, a, 1.0)
    return np.where(a < 10.0, np.log(x) - _digamma(small), log + 0.5 / large + digamma_rest(large))


def _weight(a: Any, x: Any) -> Any:
    """Return ``x**a exp(-x) / gamma(a + 1)``, also where the factors are huge or tiny."""
    small = np.where(a < 8.0, a, 1.0)
    half = np.exp(-0.5 * x)
    low = half * x**small * half / _gamma(small + 1.0)
    large = np.where(a < 8.0, 8.0, a)
    shape = np.exp(-large * _less_log(x, large))
    high = shape / (np.sqrt(2.0 * math.pi * large) * np.exp(stirling_rest(large)))
    return np.where(a < 8.0, low, high)


def _trigamma(a: Any) -> Any:
    return _polygamma(np.ones_like(a), a)


def _from_below(a: Any, x: Any, *, order: int) -> tuple[Any, ...]:
    """P by its power series (DLMF 8.7.1), and its derivatives by a."""
    term, total = np.ones_like(x), np.ones_like(x)
    sums, moved, squares, bent = (np.zeros_like(x) for _ in range(4))
    for n in range(1, _MOST_TERMS):
        term = term * (x / (a + n))
        total = total + term
        if order:
            sums = sums + 1.0 / (a + n)
            moved = moved - term * sums
        if order > 1:
            squares = squares + 1.0 / (a + n) ** 2
            bent = bent + term * (sums * sums + squares)
        if np.all(term * (1.0 + sums) ** order <= 0.25 * EPS * total):
            break
    else:
        total = np.where(term <= EPS * total, total, math.nan)
    weight = _weight(a, x)
    p = weight * total
    if not order:
        return p, 1.0 - p
    log = _log_less_digamma(a, x) - 1.0 / a
    by_a = weight * (total * log + moved)
    if order < 2:
        return p, 1.0 - p, by_a
    twice = total * (log * log - _trigamma(a + 1.0)) + 2.0 * log * moved + bent
    return p, 1.0 - p, by_a, weight * twice


def _from_above(a: Any, x: Any, *, order: int) -> tuple[Any, ...]:
    """Q by its continued fraction (DLMF 8.9.2), and the derivatives of P by a."""
    still = np.zeros_like(x)
    rows = order + 1

    def term(n: int) -> tuple[Any, Any]:
        value, moved = [n * (a - n), still + n, still], [x + (2 * n + 1) - a, still - 1.0, still]
        return np.stack(value[:rows]), np.stack(moved[:rows])

    first = np.stack([x + 1.0 - a, still - 1.0, still][:rows])
    below = fraction(term, first, _MOST_TERMS, [(0, 0)] if order > 1 else [])
    q = a * _weight(a, x) / below[0]
    if not order:
        return 1.0 - q, q
    log = _log_less_digamma(a, x)
    ratio = below[1] / below[0]
    if order < 2:
        return 1.0 - q, q, -q * (log - ratio)
    bent = (log - ratio) ** 2 - _trigamma(a) - below[2] / below[0] + ratio * ratio
    return 1.0 - q, q, -q * (log - ratio), -q * bent


def _from_zero(a: Any, x: Any, *, order: int) -> tuple[Any, ...]:
    """Q where x and a are small, by an alternating series (DLMF 8.7.3)."""
    term = np.ones_like(x)
    total, moved, bent = (np.zeros_like(x) for _ in range(3))
    for n in range(1, 40):
        term = -term * x / n
        total = total + term / (a + n)
        moved = moved - term / (a + n) ** 2
        bent = bent + 2.0 * term / (a + n) ** 3
    exponent = a * np.log(x) - _log_gamma_of_next(a)
    power = np.exp(exponent)
    q = -np.expm1(exponent) - a * power * total
    if not order:
        return 1.0 - q, q
    along = np.log(x) - _digamma(a + 1.0)
    whole, whole_a = 1.0 + a * total, total + a * moved
    by_a = power * (along * whole + whole_a)
    twice = (along * along - _trigamma(a + 1.0)) * whole + 2.0 * along * whole_a
    return 1.0 - q, q, by_a, power * (twice + 2.0 * moved + a * bent)


def _log_gamma_of_next(a: Any) -> Any:
    """Return gammaln(a + 1) for a up to 2, exact in the small ones."""
    low = np.minimum(a, 0.5)
    near = low * (low - 1.0) * chebyshev(NEAR_ONE, 2.0 * low)
    return np.where(a <= 0.5, near, np.log(_gamma(a + 1.0)))


def _incomplete(a: Any, x: Any, *, order: int) -> Any:
    """Return P, Q, and the derivatives of P by a, up to `order`."""
    a, x = np.broadcast_arrays(a, x)
    shape, a, x = x.shape, np.ravel(a), np.ravel(x)
    out = np.full((2 + order, x.size), math.nan)
    inside = (a > 0) & (x > 0) & np.isfinite(a) & np.isfinite(x)
    above = inside & (x > 1.1) & (x >= a)
    tiny = np.where(
        inside & (x <= 0.5), -0.4 / np.log(np.where(inside & (x <= 0.5), x, 0.5)), 1.1 * x
    )
    zero = inside & (x <= 1.1) & (tiny >= a)
    below = inside & ~above & ~zero
    for mask, function in ((below, _from_below), (above, _from_above), (zero, _from_zero)):
        where_needed(mask, lambda a, x, f=function: f(a, x, order=order), out, a, x)
    for mask, p in (
        ((a > 0) & (x == 0), 0.0), ((a >= 0) & (x == np.inf) & np.isfinite(a), 1.0),
        ((a == 0) & (x > 0), 1.0), ((a == np.inf) & (x >= 0) & np.isfinite(x), 0.0),
    ):  # fmt: skip
        out[0][mask], out[1][mask] = p, 1.0 - p
        out[2:, mask & (a > 0)] = 0.0
    return out.reshape(len(out), *shape)


def _density(a: Any, x: Any) -> Any:
    """The derivative of P by x (DLMF 8.8.13)."""
    a, x = np.broadcast_arrays(a, x)
    inside = (a > 0) & (x > 0) & np.isfinite(a) & np.isfinite(x)
    u, v = np.where(inside, a, 1.0), np.where(inside, x, 1.0)
    edge = np.where(a < 1, np.inf, np.where(a == 1, 1.0, 0.0))
    edge = np.where((x == 0) & (a > 0), edge, np.where((x == np.inf) & (a >= 0), 0.0, math.nan))
    return np.where(inside, _weight(u, v) * (u / v), edge)


gamma_density_p: Primitive = own(
    "gamma_density", _density, "x**(a - 1) * exp(-x) / gamma(a)",
    "The derivative of gammainc by its second argument.",
    lambda g, y, a, x: g * y * _log_ratio(a, x),
    lambda g, y, a, x: g * y * ((a - 1.0) / x - 1.0),
).primitive  # fmt: skip


def _dense(a: Any, x: Any) -> Any:
    return bind(gamma_density_p, a, x)


def _log_ratio(a: Any, x: Any) -> Any:
    """The derivative of the logarithm of the density by a."""
    return np.log(x) - bind(digamma.primitive, a)


#: The second derivative of gammainc by its first argument; by that, it has none.
gammainc_bend_p: Primitive = own(
    "gammainc_bend", lambda a, x: _incomplete(a, x, order=2)[3], "d^2 gammainc / da^2",
    "The second derivative of gammainc by its first argument.",
    unknown("gammainc", "its first argument"),
    lambda g, y, a, x: g * _dense(a, x) * (
        _log_ratio(a, x) ** 2 - bind(polygamma.primitive, 1.0, a)
    ),
).primitive  # fmt: skip
gammainc_slope_p: Primitive = own(
    "gammainc_slope", lambda a, x: _incomplete(a, x, order=1)[2], "d gammainc / da",
    "The derivative of gammainc by its first argument.",
    lambda g, y, a, x: g * bind(gammainc_bend_p, a, x),
    lambda g, y, a, x: g * _dense(a, x) * _log_ratio(a, x),
).primitive  # fmt: skip


def _slope(a: Any, x: Any) -> Any:
    return bind(gammainc_slope_p, a, x)


gammainc: Special = own(
    "gammainc", lambda a, x: _incomplete(a, x, order=0)[0],
    "integral of t**(a - 1) * exp(-t) from 0 to x / gamma(a)",
    "The regularised lower incomplete gamma function, for a and x from 0 on; nan elsewhere.",
    lambda g, y, a, x: g * _slope(a, x),
    lambda g, y, a, x: g * _dense(a, x),
)  # fmt: skip
gammaincc: Special = own(
    "gammaincc", lambda a, x: _incomplete(a, x, order=0)[1], "1 - gammainc(a, x)",
    "The regularised upper incomplete gamma function, for a and x from 0 on; nan elsewhere.",
    lambda g, y, a, x: -g * _slope(a, x),
    lambda g, y, a, x: -g * _dense(a, x),
)  # fmt: skip
