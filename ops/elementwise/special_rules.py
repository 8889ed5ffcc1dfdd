"""Derivatives of SciPy's special functions: errors, exponentials, gamma and beta, distributions.

A table: the name of a ufunc in ``scipy.special``, and the partial derivative by each of its arguments
in plain NumPy and SciPy, as in :mod:`tapegrad.ops.elementwise.elementwise`; None where there is no
formula. The rest of the table is in ``special_families``. Formulas are those of the Digital Library of
Mathematical Functions (DLMF), whose sections are named.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

from tapegrad.ops.elementwise.beta_functions import betainc_slopes
from tapegrad.ops.elementwise.error_functions import erfcx_slope
from tapegrad.ops.elementwise.incomplete_gamma import gammainc_slope_p
from tapegrad.tape.array.application import bind
from tapegrad.tape.core.primitive import Rule
from tapegrad.tape.transforms.derivatives import vjp

__all__ = ["COMPLEX", "CONSTANT", "RULES", "sc", "series"]


class _SciPy:
    """``scipy.special``, which users have imported when a rule runs."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.modules.get("scipy.special"), name)


sc: Any = _SciPy()

_ROOT_PI = math.sqrt(math.pi)
_ROOT_2 = math.sqrt(2.0)
_ROOT_2PI = math.sqrt(2.0 * math.pi)
_ROOT_PI_HALVES = math.sqrt(math.pi / 2.0)
_LN2 = math.log(2.0)
_LN10 = math.log(10.0)
_DEGREE = math.pi / 180.0


def series(coefficients: list[float], x: Any) -> Any:
    """Return the power series with these coefficients, the constant one first."""
    result: Any = coefficients[-1]
    for c in coefficients[-2::-1]:
        result = result * x + c
    return result


# The derivative of (exp(t) - 1) / t, exact below 1; and log(1 + u) / u, exact below 0.1.
_EXPREL = [k / math.factorial(k + 1) for k in range(1, 20)]
_LOG1P = [(-1.0) ** k / (k + 1) for k in range(20)]


def _exprel_slope(t: Any) -> Any:
    """The derivative of exprel; a power series where the closed form cancels."""
    near = np.abs(t) < 1
    far = np.where(near, 1.0, t)
    return np.where(
        near, series(_EXPREL, np.where(near, t, 0.0)), (np.exp(far) - sc.exprel(far)) / far
    )


def _dilogarithm_slope(x: Any) -> Any:
    """``log(x) / (1 - x)``, which is -1 at 1."""
    near = np.abs(x - 1) < 0.1
    far = np.where(near, 0.5, x)
    return np.where(near, -series(_LOG1P, np.where(near, x - 1, 0.0)), np.log(far) / (1 - far))


def _rgamma_slope(x: Any) -> Any:
    """The derivative of ``1 / gamma(x)``; by reflection (DLMF 5.5.3) where gamma has poles."""
    left = x < 0.5
    low, high = np.where(left, x, 0.0), np.where(left, 1.0, x)
    turned = np.pi * np.cos(np.pi * low) - sc.psi(1.0 - low) * np.sin(np.pi * low)
    return np.where(left, sc.gamma(1.0 - low) * turned / np.pi, -sc.psi(high) * sc.rgamma(high))


#: Of the Euler-Maclaurin formula (DLMF 25.11.5): the number of terms, and B(2k) / (2k)!.
_TERMS = 12
_BERNOULLI = (
    1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000,
    1 / 74724249600, -3617 / 10670622842880000, 43867 / 5109094217170944000,
)  # fmt: skip


def _zeta(s: Any, q: Any) -> Any:
    """Hurwitz's zeta function as a sum that can be differentiated by both arguments."""
    total: Any = 0.0
    for k in range(_TERMS):
        total = total + (q + k) ** -s
    z = q + _TERMS
    power = z**-s
    total = total + z * power / (s - 1) + power / 2
    factor = s * power / z
    for k, c in enumerate(_BERNOULLI):
        total = total + c * factor
        factor = factor * ((s + 2 * k + 1) * (s + 2 * k + 2) / (z * z))
    return total


def _trigamma(x: Any) -> Any:
    """The derivative of digamma; of complex numbers by reflection (DLMF 5.15.6) to the left."""
    if x.dtype.kind != "c":
        return sc.zeta(2.0, x)
    left = np.real(x) < 0.5
    right = _zeta(2.0, np.where(left, 1.0 - x, x))
    low = np.where(left, x, 0.5)
    return np.where(left, (np.pi / np.sin(np.pi * low)) ** 2 - right, right)


def _riemann_zeta(s: Any) -> Any:
    """Riemann's zeta function; by reflection (DLMF 25.4.1) to the left."""
    left = s < 0
    t = np.where(left, 1 - s, s)
    right = _zeta(t, 1.0)
    low, high = np.where(left, s, -0.5), np.where(left, t, 2.0)
    factor = 2.0**low * np.pi ** (low - 1) * np.sin(np.pi / 2 * low) * sc.gamma(high)
    return np.where(left, factor * right, right)


def _by_composition(g: Any, function: Any, x: Any, like: Any) -> Any:
    """The derivative of an elementwise composition at x, times g, in the shape of a result."""
    x, g = np.broadcast_to(x, like.shape), np.broadcast_to(g, like.shape)
    return vjp(function, x)[1](g)[0]


def _over(x: Any, y: Any) -> Any:
    """``x / y``, which is 0 where x is, whatever y."""
    zero = x == 0
    return np.where(zero, 0.0, x / np.where(zero, 1.0, y))


# Densities ---------------------------------------------------------------------------------------


def _normal(x: Any) -> Any:
    return np.exp(-0.5 * (x * x)) / _ROOT_2PI


def _hazard(x: Any) -> Any:
    """The normal density over the normal distribution function, which both vanish far to the left."""
    return 1.0 / (_ROOT_PI_HALVES * sc.erfcx(x / -_ROOT_2))


def _gamma_density(a: Any, x: Any) -> Any:
    """The derivative of gammainc by x (DLMF 8.8.13)."""
    return np.exp(sc.xlogy(a - 1.0, x) - x - sc.gammaln(a))


def _beta_density(a: Any, b: Any, x: Any) -> Any:
    """The derivative of betainc by x (DLMF 8.17.1)."""
    return np.exp(sc.xlogy(a - 1.0, x) + sc.xlog1py(b - 1.0, -x) - sc.betaln(a, b))


def _student_density(v: Any, t: Any) -> Any:
    scale = sc.gammaln((v + 1.0) / 2) - sc.gammaln(v / 2) - 0.5 * np.log(v * np.pi)
    return np.exp(scale - (v + 1.0) / 2 * np.log1p(t * t / v))


def _fisher_density(m: Any, n: Any, x: Any) -> Any:
    power = sc.xlogy(m / 2, m) + sc.xlogy(n / 2, n) + sc.xlogy(m / 2 - 1.0, x)
    return np.exp(power - (m + n) / 2 * np.log(m * x + n) - sc.betaln(m / 2, n / 2))


def _boxcox_slope(log: Any, power: Any) -> Any:
    """The derivative of ``(exp(power * log) - 1) / power`` by the power."""
    return log * log * _exprel_slope(power * log)


_BY_A, _BY_B = betainc_slopes

Rules = tuple[Rule | None, ...]

#: Functions that jump and are constant elsewhere.
CONSTANT = frozenset({"gammasgn", "round"})

#: Functions that SciPy computes for complex numbers, and whose rules hold for them.
COMPLEX = frozenset({
    "airy", "dawsn", "elliprc", "elliprf", "erf", "erfc", "erfi", "eval_chebyc", "eval_chebys",
    "eval_chebyt", "eval_chebyu", "eval_gegenbauer", "eval_genlaguerre", "eval_jacobi",
    "eval_laguerre", "eval_legendre", "eval_sh_chebyt", "eval_sh_chebyu", "eval_sh_jacobi",
    "eval_sh_legendre", "exp1", "expi", "expm1", "fresnel", "gamma", "hyp0f1", "hyp1f1", "hyp2f1",
    "iv", "jv", "kv", "kve", "log1p", "loggamma", "ndtr", "psi", "rgamma", "shichi", "sici", "spence",
    "wrightomega", "xlog1py", "xlogy", "yv",
})  # fmt: skip

RULES: dict[str, Rules] = {
    # Error functions (DLMF 7.2, 7.10)
    "erf": (lambda g, y, x: g * (2 / _ROOT_PI * np.exp(-(x * x))),),
    "erfc": (lambda g, y, x: g * (-2 / _ROOT_PI * np.exp(-(x * x))),),
    "erfcx": (lambda g, y, x: g * erfcx_slope(x),),
    "erfi": (lambda g, y, x: g * (2 / _ROOT_PI * np.exp(x * x)),),
    "erfinv": (lambda g, y, x: g * (_ROOT_PI / 2 * np.exp(y * y)),),
    "erfcinv": (lambda g, y, x: g * (-_ROOT_PI / 2 * np.exp(y * y)),),
    "dawsn": (lambda g, y, x: g * (1 - 2 * (x * y)),),
    "ndtr": (lambda g, y, x: g * _normal(x),),
    "log_ndtr": (lambda g, y, x: g * _hazard(x),),
    "ndtri": (lambda g, y, x: g * (_ROOT_2PI * np.exp(0.5 * (y * y))),),
    "ndtri_exp": (lambda g, y, x: g / _hazard(y),),
    "owens_t": (
        lambda g, z, h, a: g * (-0.5 * _normal(h) * sc.erf(a * h / _ROOT_2)),
        lambda g, z, h, a: g * (np.exp(-0.5 * (h * h) * (1 + a * a)) / (2 * np.pi * (1 + a * a))),
    ),
    # Exponentials, logarithms, angles in degrees
    "exp2": (lambda g, y, x: g * (_LN2 * y),),
    "exp10": (lambda g, y, x: g * (_LN10 * y),),
    "expm1": (lambda g, y, x: g * np.exp(x),),
    "log1p": (lambda g, y, x: g / (1 + x),),
    "cbrt": (lambda g, y, x: g / (3 * (y * y)),),
    "exprel": (lambda g, y, x: g * _exprel_slope(x),),
    "cosm1": (lambda g, y, x: -g * np.sin(x),),
    "powm1": (
        lambda g, z, x, y: g * (y * x ** (y - 1.0)),
        lambda g, z, x, y: g * ((1 + z) * np.log(x)),
    ),
    "sindg": (lambda g, y, x: g * (_DEGREE * sc.cosdg(x)),),
    "cosdg": (lambda g, y, x: -g * (_DEGREE * sc.sindg(x)),),
    "tandg": (lambda g, y, x: g * (_DEGREE * (1 + y * y)),),
    "cotdg": (lambda g, y, x: -g * (_DEGREE * (1 + y * y)),),
    "radian": (
        lambda g, y, d, m, s: g * _DEGREE,
        lambda g, y, d, m, s: g * (_DEGREE / 60),
        lambda g, y, d, m, s: g * (_DEGREE / 3600),
    ),
    "spence": (lambda g, y, x: g * _dilogarithm_slope(x),),
    "wrightomega": (lambda g, y, x: g * (y / (1 + y)),),
    # Logistic functions, entropies, losses
    "expit": (lambda g, y, x: g * (y * sc.expit(-x)),),
    "log_expit": (lambda g, y, x: g * sc.expit(-x),),
    "logit": (lambda g, y, x: g / (x * (1 - x)),),
    "xlogy": (lambda g, z, x, y: g * np.log(y), lambda g, z, x, y: g * _over(x, y)),
    "xlog1py": (lambda g, z, x, y: g * np.log1p(y), lambda g, z, x, y: g * _over(x, 1 + y)),
    "entr": (lambda g, y, x: -g * (np.log(x) + 1),),
    "rel_entr": (
        lambda g, z, x, y: g * (np.log(x / y) + 1),
        lambda g, z, x, y: -g * _over(x, y),
    ),
    "kl_div": (lambda g, z, x, y: g * np.log(x / y), lambda g, z, x, y: g * (1 - _over(x, y))),
    "huber": (
        lambda g, z, d, r: g * np.where(np.abs(r) <= d, 0.0, np.abs(r) - d),
        lambda g, z, d, r: g * np.where(np.abs(r) <= d, r, d * np.sign(r)),
    ),
    "pseudo_huber": (
        lambda g, z, d, r: g * (2 * (z / d) - r * r / np.hypot(d, r)),
        lambda g, z, d, r: g * (d * r / np.hypot(d, r)),
    ),
    "boxcox": (
        lambda g, z, x, p: g * x ** (p - 1.0),
        lambda g, z, x, p: g * _boxcox_slope(np.log(x), p),
    ),
    "boxcox1p": (
        lambda g, z, x, p: g * (1 + x) ** (p - 1.0),
        lambda g, z, x, p: g * _boxcox_slope(np.log1p(x), p),
    ),
    "inv_boxcox": (
        lambda g, z, x, p: g * z ** (1.0 - p),
        lambda g, z, x, p: -g * (_boxcox_slope(np.log(z), p) * z ** (1.0 - p)),
    ),
    "inv_boxcox1p": (
        lambda g, z, x, p: g * (1 + z) ** (1.0 - p),
        lambda g, z, x, p: -g * (_boxcox_slope(np.log1p(z), p) * (1 + z) ** (1.0 - p)),
    ),
    # Gamma and beta functions (DLMF 5.2, 5.9, 5.12, 5.15, 25.11.17)
    "gamma": (lambda g, y, x: g * (y * sc.psi(x)),),
    "rgamma": (lambda g, y, x: g * _rgamma_slope(x),),
    "gammaln": (lambda g, y, x: g * sc.psi(x),),
    "loggamma": (lambda g, y, x: g * sc.psi(x),),
    "psi": (lambda g, y, x: g * _trigamma(x),),
    "_riemann_zeta": (lambda g, y, s: _by_composition(g, _riemann_zeta, s, y),),
    "_zeta": (
        lambda g, z, s, q: _by_composition(g, lambda s: _zeta(s, q), s, z),
        lambda g, z, s, q: -g * (s * sc.zeta(s + 1.0, q)),
    ),
    "beta": (
        lambda g, z, a, b: g * (z * (sc.psi(a) - sc.psi(a + b))),
        lambda g, z, a, b: g * (z * (sc.psi(b) - sc.psi(a + b))),
    ),
    "betaln": (
        lambda g, z, a, b: g * (sc.psi(a) - sc.psi(a + b)),
        lambda g, z, a, b: g * (sc.psi(b) - sc.psi(a + b)),
    ),
    "binom": (
        lambda g, z, n, k: g * (z * (sc.psi(n + 1.0) - sc.psi(n - k + 1.0))),
        lambda g, z, n, k: g * (z * (sc.psi(n - k + 1.0) - sc.psi(k + 1.0))),
    ),
    "poch": (
        lambda g, z, x, m: g * (z * (sc.psi(x + m) - sc.psi(x))),
        lambda g, z, x, m: g * (z * sc.psi(x + m)),
    ),
    "gammainc": (
        lambda g, z, a, x: g * bind(gammainc_slope_p, a, x),
        lambda g, z, a, x: g * _gamma_density(a, x),
    ),
    "gammaincc": (
        lambda g, z, a, x: -g * bind(gammainc_slope_p, a, x),
        lambda g, z, a, x: -g * _gamma_density(a, x),
    ),
    "gammaincinv": (
        lambda g, z, a, p: -g * bind(gammainc_slope_p, a, z) / _gamma_density(a, z),
        lambda g, z, a, p: g / _gamma_density(a, z),
    ),
    "gammainccinv": (
        lambda g, z, a, p: -g * bind(gammainc_slope_p, a, z) / _gamma_density(a, z),
        lambda g, z, a, p: -g / _gamma_density(a, z),
    ),
    "betainc": (
        lambda g, z, a, b, x: g * bind(_BY_A, a, b, x),
        lambda g, z, a, b, x: g * bind(_BY_B, a, b, x),
        lambda g, z, a, b, x: g * _beta_density(a, b, x),
    ),
    "betaincc": (
        lambda g, z, a, b, x: -g * bind(_BY_A, a, b, x),
        lambda g, z, a, b, x: -g * bind(_BY_B, a, b, x),
        lambda g, z, a, b, x: -g * _beta_density(a, b, x),
    ),
    "betaincinv": (
        lambda g, z, a, b, p: -g * bind(_BY_A, a, b, z) / _beta_density(a, b, z),
        lambda g, z, a, b, p: -g * bind(_BY_B, a, b, z) / _beta_density(a, b, z),
        lambda g, z, a, b, p: g / _beta_density(a, b, z),
    ),
    "betainccinv": (
        lambda g, z, a, b, p: -g * bind(_BY_A, a, b, z) / _beta_density(a, b, z),
        lambda g, z, a, b, p: -g * bind(_BY_B, a, b, z) / _beta_density(a, b, z),
        lambda g, z, a, b, p: -g / _beta_density(a, b, z),
    ),
    # Distributions: by their variable, not by their parameters
    "bdtr": (None, None, lambda g, y, k, n, p: -g * _beta_density(n - np.floor(k), k + 1.0, 1 - p)),
    "bdtrc": (None, None, lambda g, y, k, n, p: g * _beta_density(n - np.floor(k), k + 1.0, 1 - p)),
    "bdtri": (None, None, lambda g, y, k, n, p: -g / _beta_density(n - np.floor(k), k + 1.0, 1 - y)),
    "nbdtr": (None, None, lambda g, y, k, n, p: g * _beta_density(n, k + 1.0, p)),
    "nbdtrc": (None, None, lambda g, y, k, n, p: -g * _beta_density(n, k + 1.0, p)),
    "nbdtri": (None, None, lambda g, y, k, n, p: g / _beta_density(n, k + 1.0, y)),
    "pdtr": (None, lambda g, y, k, m: -g * _gamma_density(np.floor(k) + 1, m)),
    "pdtrc": (None, lambda g, y, k, m: g * _gamma_density(np.floor(k) + 1, m)),
    "pdtri": (None, lambda g, y, k, p: -g / _gamma_density(np.floor(k) + 1, y)),
    "chdtr": (
        lambda g, y, v, x: g * (0.5 * bind(gammainc_slope_p, v / 2, x / 2)),
        lambda g, y, v, x: g * (0.5 * _gamma_density(v / 2, x / 2)),
    ),
    "chdtrc": (
        lambda g, y, v, x: g * (-0.5 * bind(gammainc_slope_p, v / 2, x / 2)),
        lambda g, y, v, x: g * (-0.5 * _gamma_density(v / 2, x / 2)),
    ),
    "chdtri": (None, lambda g, y, v, p: g * (-2 / _gamma_density(v / 2, y / 2))),
    "gdtr": (
        lambda g, y, a, b, x: g * (x * _gamma_density(b, a * x)),
        lambda g, y, a, b, x: g * bind(gammainc_slope_p, b, a * x),
        lambda g, y, a, b, x: g * (a * _gamma_density(b, a * x)),
    ),
    "gdtrc": (
        lambda g, y, a, b, x: -g * (x * _gamma_density(b, a * x)),
        lambda g, y, a, b, x: -g * bind(gammainc_slope_p, b, a * x),
        lambda g, y, a, b, x: -g * (a * _gamma_density(b, a * x)),
    ),
    "gdtrix": (
        lambda g, y, a, b, p: -g * (y / a),
        None,
        lambda g, y, a, b, p: g / (a * _gamma_density(b, a * y)),
    ),
    "stdtr": (None, lambda g, y, v, t: g * _student_density(v, t)),
    "stdtrit": (None, lambda g, y, v, p: g / _student_density(v, y)),
    "fdtr": (None, None, lambda g, y, m, n, x: g * _fisher_density(m, n, x)),
    "fdtrc": (None, None, lambda g, y, m, n, x: -g * _fisher_density(m, n, x)),
    "fdtri": (None, None, lambda g, y, m, n, p: g / _fisher_density(m, n, y)),
    "nrdtrimn": (
        lambda g, y, p, s, x: -g * (s / _normal(sc.ndtri(p))),
        lambda g, y, p, s, x: -g * sc.ndtri(p),
        lambda g, y, p, s, x: g,
    ),
    "nrdtrisd": (
        lambda g, y, m, p, x: -g / sc.ndtri(p),
        lambda g, y, m, p, x: -g * (y / (sc.ndtri(p) * _normal(sc.ndtri(p)))),
        lambda g, y, m, p, x: g / sc.ndtri(p),
    ),
}  # fmt: skip
