"""Special functions without SciPy: the beta function, and the incomplete one with its derivatives.

>>> from tapegrad import special
>>> special.beta(2.0, [1.0, 3.0])
Tensor([0.5       , 0.08333333])
>>> special.betainc(2.0, 3.0, [0.0, 0.5, 1.0])
Tensor([0.    , 0.6875, 1.    ])
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.ops.elementwise.continued import (
    digamma_rest,
    fraction,
    less_log1p,
    stirling_rest,
    where_needed,
)
from tapegrad.ops.elementwise.gamma_function import gamma
from tapegrad.ops.elementwise.gamma_functions import digamma, gammaln, polygamma
from tapegrad.ops.elementwise.special_own import Special, own, unknown
from tapegrad.tape.array.application import bind
from tapegrad.tape.core.primitive import Primitive

__all__ = ["beta", "beta_density_p", "betainc", "betainc_slopes", "betaln"]

_gamma: Any = gamma.primitive.forward
_gammaln: Any = gammaln.primitive.forward
_polygamma: Any = polygamma.primitive.forward
_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
_MOST_TERMS = 200_000


# The beta function -------------------------------------------------------------------------------


def _rests(a: Any, b: Any) -> Any:
    """What Stirling's formula leaves out of betaln, for a and b from 8 on."""
    return stirling_rest(a) + stirling_rest(b) - stirling_rest(a + b)


def _betaln(a: Any, b: Any) -> Any:
    """By Stirling's formula where one or both are large, without differences of large numbers."""
    a, b = np.minimum(a, b), np.maximum(a, b)
    inside = (a > 0) & np.isfinite(b)
    a, b, edge = np.where(inside, a, 1.0), np.where(inside, b, 1.0), _edge(a, b, np.inf, -np.inf)
    large = np.maximum(b, 8.0)
    small = np.minimum(a, 8.0)
    with_one = _gammaln(small) - (large + small - 0.5) * np.log1p(small / large)
    with_one = with_one - small * (np.log(large) - 1.0)
    with_one = with_one + stirling_rest(large) - stirling_rest(large + small)
    p, q = np.maximum(a, 8.0), large
    ratio = p / q
    with_both = _HALF_LOG_2PI - 0.5 * np.log(q) + _rests(p, q)
    with_both = with_both + (p - 0.5) * np.log(ratio / (1.0 + ratio)) - q * np.log1p(ratio)
    low = np.minimum(b, 8.0)
    with_none = _gammaln(small) + _gammaln(low) - _gammaln(small + low)
    value = np.where(b < 8.0, with_none, np.where(a < 8.0, with_one, with_both))
    return np.where(inside, value, edge)


def _edge(a: Any, b: Any, pole: float, end: float) -> Any:
    """Where the smaller parameter is 0 or the greater one infinite."""
    return np.where((a == 0) & (b < np.inf), pole, np.where((a > 0) & (b == np.inf), end, math.nan))


def _beta(a: Any, b: Any) -> Any:
    inside = (np.minimum(a, b) > 1e-300) & (np.maximum(a, b) < 8.0)
    p, q = np.where(inside, a, 1.0), np.where(inside, b, 1.0)
    p, q = np.minimum(p, q), np.maximum(p, q)
    return np.where(inside, _gamma(p) * (_gamma(q) / _gamma(p + q)), np.exp(_betaln(a, b)))


def _share(a: Any, b: Any) -> Any:
    """The derivative of betaln by `a`."""
    return bind(digamma.primitive, a) - bind(digamma.primitive, a + b)


betaln: Special = own(
    "betaln", _betaln, "log(beta(a, b))",
    "The logarithm of the beta function, for a and b from 0 on; nan elsewhere.",
    lambda g, y, a, b: g * _share(a, b),
    lambda g, y, a, b: g * _share(b, a),
)  # fmt: skip
beta: Special = own(
    "beta", _beta, "gamma(a) * gamma(b) / gamma(a + b)",
    "The beta function, for a and b from 0 on; nan elsewhere.",
    lambda g, y, a, b: g * y * _share(a, b),
    lambda g, y, a, b: g * y * _share(b, a),
)  # fmt: skip


# The incomplete one ------------------------------------------------------------------------------


def _weight(a: Any, b: Any, x: Any) -> Any:
    """Return ``x**a (1 - x)**b / beta(a, b)``."""
    both = (a >= 8.0) & (b >= 8.0)
    p, q = np.where(both, a, 8.0), np.where(both, b, 8.0)
    away = np.where(both, p * (1.0 - x) - q * x, 0.0)  # (p + q) times the distance from the mean
    near = (np.abs(away) < 0.5 * p) & (np.abs(away) < 0.5 * q)
    t = np.where(near, away, 0.0)
    close = -(p * less_log1p(-t / p) + q * less_log1p(t / q))
    far = np.where(near, 0.5, x)
    mean = p + q
    apart = p * np.log(far * (mean / p)) + q * (np.log1p(-far) + np.log(mean / q))
    large = np.exp(np.where(near, close, apart) - _rests(p, q))
    large = large * np.sqrt(p / mean * (q / (2.0 * math.pi)))
    u, v = np.where(both, 1.0, a), np.where(both, 1.0, b)
    small = np.exp(u * np.log(x) + v * np.log1p(-x) - _betaln(u, v))
    return np.where(both, large, small)


#: Of which parameters there are second derivatives: by a twice, by a and b, by b twice.
_PAIRS = ((0, 0), (0, 1), (1, 1))


def _factor(
    n: int, a: Any, b: Any, x: Any, still: Any
) -> tuple[Any, tuple[Any, ...], tuple[Any, ...]]:
    """Return a term of the fraction, its first and its second derivatives.

    It is ``+-x`` times a quotient of polynomials of second degree in a and b.
    """
    m = n // 2
    if n % 2:  # a(2m + 1), by its factors and their derivatives
        top, low = (a + m) * (a + b + m), (a + 2 * m) * (a + 2 * m + 1)
        top_a, top_b, low_a = 2 * a + b + 2 * m, a + m, 2 * a + 4 * m + 1
        top_aa, top_ab, sign = still + 2.0, still + 1.0, -x
    else:
        top, low = m * (b - m), (a + 2 * m - 1) * (a + 2 * m)
        top_a, top_b, low_a = still, still + m, 2 * a + 4 * m - 1
        top_aa, top_ab, sign = still, still, x
    value = sign * top / low
    by_a, by_b = sign * top_a / low - value * low_a / low, sign * top_b / low
    by_aa = sign * top_aa / low - (2.0 * by_a * low_a + 2.0 * value) / low
    by_ab = sign * top_ab / low - by_b * low_a / low
    return value, (by_a, by_b), (by_aa, by_ab, still)


def _from_below(a: Any, b: Any, x: Any, *, order: int) -> tuple[Any, ...]:
    """I by its continued fraction (DLMF 8.17.22), and its derivatives by a and b."""
    still = np.zeros_like(x)
    rows = (1, 3, 6)[order]

    def term(n: int) -> tuple[Any, Any]:
        value, slopes, bends = _factor(n, a, b, x, still)
        return np.stack([value, *slopes, *bends][:rows]), first

    first = np.stack([still + 1.0] + [still] * (rows - 1))
    below = fraction(term, first, _MOST_TERMS, _PAIRS if order > 1 else ())
    value = _weight(a, b, x) / (a * below[0])
    if not order:
        return (value,)
    away = a * (1.0 - x) - b * x
    ratios = [row / below[0] for row in below]
    by_a = _moved(a, b, np.log(x), -away, 1) - ratios[1]
    by_b = _moved(b, a, np.log1p(-x), away, 0) - ratios[2]
    if order < 2:
        return value, value * by_a, value * by_b
    both = _polygamma(1.0, a + b)
    of_weight = both - _polygamma(1.0, a) + 1.0 / a**2, both, both - _polygamma(1.0, b)
    logs, bends = (by_a, by_b), []
    for (i, j), weight, row in zip(_PAIRS, of_weight, ratios[3:]):
        bends.append(value * (logs[i] * logs[j] + weight - row + ratios[1 + i] * ratios[1 + j]))
    return value, value * by_a, value * by_b, *bends


def _moved(a: Any, b: Any, log_x: Any, away: Any, less: int) -> Any:
    """Return ``log(x) + digamma(a + b) - digamma(a) - less / a``, without cancellation.

    `away` is ``(a + b) x - a``. Small parameters are raised by recurrence (DLMF 5.5.2).
    """
    p = np.maximum(a, 10.0)
    near = np.abs(away) < 0.5 * a
    log = np.where(near, np.log1p(np.where(near, away, 0.0) / p), log_x + np.log1p(b / p))
    large = log + _digamma_step(p, b) - less / p
    q = np.minimum(a, 10.0)
    sums = -1.0 / (q + b) if less else b / (q * (q + b))
    for k in range(1, 10):
        sums = sums + b / ((q + k) * (q + b + k))
    q = q + 10.0
    small = log_x + (sums + np.log1p(b / q) + _digamma_step(q, b))
    return np.where(a < 10.0, small, large)


def _digamma_step(p: Any, b: Any) -> Any:
    """Return ``digamma(p + b) - digamma(p) - log1p(b / p)``, for p from 10 on."""
    return 0.5 * b / (p * (p + b)) + digamma_rest(p) - digamma_rest(p + b)


def _incomplete(a: Any, b: Any, x: Any, *, order: int) -> Any:
    """Return I, and its derivatives by a and b; up to `order`."""
    a, b, x = np.broadcast_arrays(a, b, x)
    shape = x.shape
    a, b, x = (np.ravel(v) for v in (a, b, x))
    out = np.full(((1, 3, 6)[order], x.size), math.nan)
    valid = (a > 0) & (b > 0) & np.isfinite(a + b)
    inside = valid & (x > 0) & (x < 1)
    p, q = np.where(inside, a, 1.0), np.where(inside, b, 1.0)
    below = inside & (x <= (p + 1.0) / (p + q + 2.0))
    where_needed(below, lambda a, b, x: _from_below(a, b, x, order=order), out, a, b, x)

    def above(a: Any, b: Any, x: Any) -> Any:
        rest, *more = _from_below(b, a, 1.0 - x, order=order)
        return [1.0 - rest, *(-s for s in more[1::-1]), *(-s for s in more[:1:-1])]

    where_needed(inside & ~below, above, out, a, b, x)
    for end in (0.0, 1.0):
        out[0][valid & (x == end)] = end
        out[1:, valid & (x == end)] = 0.0
    return out.reshape(len(out), *shape)


def _density(a: Any, b: Any, x: Any) -> Any:
    """The derivative of I by x (DLMF 8.17.1)."""
    a, b, x = np.broadcast_arrays(a, b, x)
    valid = (a > 0) & (b > 0) & np.isfinite(a + b)
    inside = valid & (x > 0) & (x < 1)
    p, q = np.where(inside, a, 1.0), np.where(inside, b, 1.0)
    z = np.where(inside, x, 0.5)
    power, other = np.where(x == 0, a, b), np.where(x == 0, b, a)
    edge = np.where(power < 1, np.inf, np.where(power == 1, other, 0.0))
    edge = np.where(valid & ((x == 0) | (x == 1)), edge, math.nan)
    return np.where(inside, _weight(p, q, z) / (z * (1.0 - z)), edge)


beta_density_p: Primitive = own(
    "beta_density", _density, "x**(a - 1) * (1 - x)**(b - 1) / beta(a, b)",
    "The derivative of betainc by its last argument.",
    lambda g, y, a, b, x: g * y * (np.log(x) - _share(a, b)),
    lambda g, y, a, b, x: g * y * (np.log1p(-x) - _share(b, a)),
    lambda g, y, a, b, x: g * y * ((a - 1.0) / x - (b - 1.0) / (1.0 - x)),
).primitive  # fmt: skip


def _dense(a: Any, b: Any, x: Any) -> Any:
    return bind(beta_density_p, a, b, x)


def _logs(a: Any, b: Any, x: Any) -> tuple[Any, Any]:
    """The derivatives of the logarithm of the density by a and b."""
    return np.log(x) - _share(a, b), np.log1p(-x) - _share(b, a)


def _bent(a: Any, b: Any, x: Any, k: int) -> Any:
    """The second derivatives of the density, divided by it."""
    i, j = _PAIRS[k]
    logs = _logs(a, b, x)
    own = bind(polygamma.primitive, 1.0, (a, b)[i]) if i == j else 0.0
    return logs[i] * logs[j] + bind(polygamma.primitive, 1.0, a + b) - own


#: The second derivatives of betainc by its parameters; by those, they have none.
betainc_bends: tuple[Primitive, ...] = tuple(
    own(
        f"betainc_bend_{name}", lambda a, b, x, k=k: _incomplete(a, b, x, order=2)[k + 3],
        f"d^2 betainc / d{name[0]} d{name[1]}", "A second derivative of betainc by its parameters.",
        unknown("betainc", "its parameters"),
        unknown("betainc", "its parameters"),
        lambda g, y, a, b, x, k=k: g * _dense(a, b, x) * _bent(a, b, x, k),
    ).primitive
    for k, name in enumerate(("aa", "ab", "bb"))
)  # fmt: skip
betainc_slopes: tuple[Primitive, ...] = tuple(
    own(
        f"betainc_slope_{name}", lambda a, b, x, k=k: _incomplete(a, b, x, order=1)[k + 1],
        f"d betainc / d{name}", "The derivative of betainc by a parameter.",
        lambda g, y, a, b, x, k=k: g * bind(betainc_bends[k], a, b, x),
        lambda g, y, a, b, x, k=k: g * bind(betainc_bends[k + 1], a, b, x),
        lambda g, y, a, b, x, k=k: g * _dense(a, b, x) * _logs(a, b, x)[k],
    ).primitive
    for k, name in enumerate("ab")
)  # fmt: skip


def _slope(a: Any, b: Any, x: Any, k: int) -> Any:
    return bind(betainc_slopes[k], a, b, x)


betainc: Special = own(
    "betainc", lambda a, b, x: _incomplete(a, b, x, order=0)[0],
    "integral of t**(a - 1) * (1 - t)**(b - 1) from 0 to x / beta(a, b)",
    "The regularised incomplete beta function, for a and b above 0, and x from 0 to 1; nan elsewhere.",
    lambda g, y, a, b, x: g * _slope(a, b, x, 0),
    lambda g, y, a, b, x: g * _slope(a, b, x, 1),
    lambda g, y, a, b, x: g * _dense(a, b, x),
)  # fmt: skip
