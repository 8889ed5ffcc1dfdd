"""What the special functions are by Python's library, for the laws."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np

_NORMAL = NormalDist()
_ROOT_2 = math.sqrt(2.0)


def _each(function: Callable[..., float]) -> Callable[..., Any]:
    """Apply a function of numbers to the elements of arrays."""

    def apply(*xs: Any) -> Any:
        out = np.frompyfunc(function, len(xs), 1)(*(np.asarray(x, float) for x in xs))
        return np.asarray(out, float).astype(np.result_type(*xs))

    return apply


def _zeta(s: float, q: float) -> float:
    """Many terms, and the integral over the others."""
    end = q + 2000
    last = end ** (1 - s) / (s - 1) + 0.5 * end**-s + s * end ** (-s - 1) / 12
    return math.fsum((q + k) ** -s for k in range(2000)) + last


def _digamma(x: float) -> float:
    """By recurrence, and the first terms of the expansion."""
    z = x + 200
    return (
        math.log(z)
        - 0.5 / z
        - z**-2 / 12
        + z**-4 / 120
        - math.fsum(1 / (x + k) for k in range(200))
    )


def _erfc_integral(n: float, x: float) -> float:
    """By its integral (DLMF 7.18.2), by Gauss and Legendre's rule."""
    places, weights = np.polynomial.legendre.leggauss(200)
    t = 6 * (places + 1)
    whole = 6 * np.sum(weights * t**n * np.exp(-(t * t) - 2 * x * t))
    return float(whole * 2 / (math.sqrt(math.pi) * math.factorial(int(n))))


def _polygamma(n: float, x: float) -> float:
    return _digamma(x) if n == 0 else (-1) ** (n + 1) * math.factorial(int(n)) * _zeta(n + 1, x)


def _bessel(order: int, sign: float, x: float) -> float:
    """The power series (DLMF 10.2.2 and 10.25.2)."""
    terms = [
        (sign * x * x / 4) ** k / (math.factorial(k) * math.factorial(k + order)) for k in range(40)
    ]
    return (x / 2) ** order * math.fsum(terms)


def _betaln(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _gammainc(a: float, x: float) -> float:
    """The power series (DLMF 8.7.1)."""
    term = total = 1 / a
    for n in range(1, 200):
        term *= x / (a + n)
        total += term
    return total * math.exp(a * math.log(x) - x - math.lgamma(a))


def _betainc(a: float, b: float, x: float) -> float:
    """The power series (DLMF 8.17.8)."""
    term = total = 1 / a
    for n in range(1, 400):
        term *= (a + b + n - 1) / (a + n) * x
        total += term
    return total * math.exp(a * math.log(x) + b * math.log1p(-x) - _betaln(a, b))


REFERENCES = {
    "gammainc": _each(_gammainc),
    "gammaincc": _each(lambda a, x: 1 - _gammainc(a, x)),
    "betainc": _each(_betainc),
    "i0": _each(lambda x: _bessel(0, 1, x)),
    "i1": _each(lambda x: _bessel(1, 1, x)),
    "i0e": _each(lambda x: _bessel(0, 1, x) * math.exp(-abs(x))),
    "i1e": _each(lambda x: _bessel(1, 1, x) * math.exp(-abs(x))),
    "j0": _each(lambda x: _bessel(0, -1, x)),
    "j1": _each(lambda x: _bessel(1, -1, x)),
    "gamma": _each(math.gamma),
    "gammaln": _each(math.lgamma),
    "beta": _each(lambda a, b: math.exp(_betaln(a, b))),
    "betaln": _each(_betaln),
    "gamma_density": _each(lambda a, x: x ** (a - 1) * math.exp(-x) / math.gamma(a)),
    "beta_density": _each(
        lambda a, b, x: x ** (a - 1) * (1 - x) ** (b - 1) / math.exp(_betaln(a, b))
    ),
    "digamma": _each(_digamma),
    "zeta": _each(_zeta),
    "erfc_integral": _each(_erfc_integral),
    "polygamma": _each(_polygamma),
    "erf": _each(math.erf),
    "erfc": _each(math.erfc),
    "erfcx": _each(lambda x: math.exp(x * x) * math.erfc(x)),
    "erfinv": _each(lambda y: _NORMAL.inv_cdf((1 + y) / 2) / _ROOT_2),
    "erfcinv": _each(lambda y: -_NORMAL.inv_cdf(y / 2) / _ROOT_2),
    "ndtr": _each(lambda x: 0.5 * math.erfc(-x / _ROOT_2)),
    "log_ndtr": _each(lambda x: math.log(0.5 * math.erfc(-x / _ROOT_2))),
    "ndtri": _each(_NORMAL.inv_cdf),
    "expit": _each(lambda x: 1 / (1 + math.exp(-x))),
    "log_expit": _each(lambda x: -math.log1p(math.exp(-x))),
    "logit": _each(lambda p: math.log(p / (1 - p))),
    "xlogy": _each(lambda x, y: x * math.log(y)),
    "xlog1py": _each(lambda x, y: x * math.log1p(y)),
    "entr": _each(lambda x: -x * math.log(x)),
    "rel_entr": _each(lambda x, y: x * math.log(x / y)),
}
