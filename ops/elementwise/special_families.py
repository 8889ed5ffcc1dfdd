"""Derivatives of SciPy's special functions: Bessel functions and their kin, elliptic and other
integrals, polynomials, hypergeometric functions.

The table goes on where ``special_rules`` ends; see there. ``COMPONENTS`` has the functions with several
results, one tuple of rules for each result.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.ops.elementwise.special_rules import Rules, sc, series

__all__ = ["COMPONENTS", "RULES"]

_ROOT_PI = math.sqrt(math.pi)


def _differences(function: Any, v: Any, x: Any) -> Any:
    """The derivative of J, Y and their like (DLMF 10.6.1)."""
    return 0.5 * (function(v - 1, x) - function(v + 1, x))


def _sums(function: Any, v: Any, x: Any) -> Any:
    """The derivative of I, and of K but for the sign (DLMF 10.29.1)."""
    return 0.5 * (function(v - 1, x) + function(v + 1, x))


def _struve_part(v: Any, x: Any) -> Any:
    """What the derivatives of Struve functions add to those of Bessel functions (DLMF 11.4.27)."""
    return (0.5 * x) ** v * sc.rgamma(v + 1.5) / (2 * _ROOT_PI)


# Of the integral D(m) = (K - E) / m: exact below 0.1 (DLMF 19.5.1, 19.5.2).
_D = [math.pi / 2 * (math.comb(2 * k, k) / 4**k) ** 2 * (2 * k / (2 * k - 1)) for k in range(1, 20)]


def _elliptic_d(m: Any) -> Any:
    """Legendre's complete integral D; a power series where the closed form cancels."""
    near = np.abs(m) < 0.1
    far = np.where(near, 0.5, m)
    closed = (sc.ellipk(far) - sc.ellipe(far)) / far
    return np.where(near, series(_D, np.where(near, m, 0.0)), closed)


def _ellipk_slope(k: Any, m: Any) -> Any:
    """The derivative of K by the parameter (DLMF 19.4.1)."""
    return (k - _elliptic_d(m)) / (2 * (1 - m))


def _delta(phi: Any, m: Any) -> Any:
    return np.sqrt(1 - m * np.sin(phi) ** 2)


def _ellipkinc_slope(f: Any, phi: Any, m: Any) -> Any:
    """The derivative of F by the parameter (DLMF 19.4.5)."""
    part = (sc.ellipeinc(phi, m) - (1 - m) * f) / (2 * m * (1 - m))
    return part - np.sin(2 * phi) / (4 * (1 - m) * _delta(phi, m))


def _expn_slope(n: Any, x: Any) -> Any:
    """The derivative of the generalised exponential integral (DLMF 8.19.13)."""
    first = n == 0
    return -np.where(first, np.exp(-x) / x * (1 + 1 / x), sc.expn(np.where(first, 1, n) - 1, x))


def _hyperbolic_share(x: Any) -> Any:
    """``sinh(x) / x``, which is 1 at 0."""
    near = np.abs(x) < 1
    far = np.where(near, 1.0, x)
    small = np.where(near, x, 0.0)
    return np.where(near, series(_SINH, small * small), np.sinh(far) / far)


_SINH = [1 / math.factorial(2 * k + 1) for k in range(10)]


def _jacobi(n: Any, a: Any, b: Any, x: Any) -> Any:
    """The derivative of a Jacobi polynomial (DLMF 18.9.15)."""
    return (n + a + b + 1) / 2 * sc.eval_jacobi(n - 1, a + 1, b + 1, x)


def _gegenbauer(n: Any, a: Any, x: Any) -> Any:
    """The derivative of a Gegenbauer polynomial (DLMF 18.9.19)."""
    return 2 * a * sc.eval_gegenbauer(n - 1, a + 1, x)


def _lower(function: Any, factor: Any, n: Any, x: Any) -> Any:
    """``factor * function(n - 1, x)``, which is 0 for n = 0."""
    return factor * function(np.maximum(n - 1, 0), x)


def _laguerre(n: Any, a: Any, x: Any) -> Any:
    """The derivative of a Laguerre polynomial (DLMF 18.9.23)."""
    return np.where(n == 0, 0.0, -sc.eval_genlaguerre(np.maximum(n - 1, 0), a + 1, x))


RULES: dict[str, Rules] = {
    # Bessel functions (DLMF 10.6, 10.29), also scaled ones
    "j0": (lambda g, y, x: -g * sc.j1(x),),
    "j1": (lambda g, y, x: g * _differences(sc.jv, 1, x),),
    "y0": (lambda g, y, x: -g * sc.y1(x),),
    "y1": (lambda g, y, x: g * (sc.y0(x) - y / x),),
    "jv": (None, lambda g, y, v, x: g * _differences(sc.jv, v, x)),
    "jve": (None, lambda g, y, v, x: g * _differences(sc.jve, v, x)),
    "yn": (None, lambda g, y, n, x: g * _differences(sc.yn, n, x)),
    "yv": (None, lambda g, y, v, x: g * _differences(sc.yv, v, x)),
    "yve": (None, lambda g, y, v, x: g * _differences(sc.yve, v, x)),
    "i0": (lambda g, y, x: g * sc.i1(x),),
    "i0e": (lambda g, y, x: g * (sc.i1e(x) - np.sign(x) * y),),
    "i1": (lambda g, y, x: g * _sums(sc.iv, 1, x),),
    "i1e": (lambda g, y, x: g * (_sums(sc.ive, 1, x) - np.sign(x) * y),),
    "iv": (None, lambda g, y, v, x: g * _sums(sc.iv, v, x)),
    "ive": (None, lambda g, y, v, x: g * (_sums(sc.ive, v, x) - np.sign(x) * y)),
    "k0": (lambda g, y, x: -g * sc.k1(x),),
    "k0e": (lambda g, y, x: g * (y - sc.k1e(x)),),
    "k1": (lambda g, y, x: -g * (sc.k0(x) + y / x),),
    "k1e": (lambda g, y, x: g * (y - sc.k0e(x) - y / x),),
    "kn": (None, lambda g, y, n, x: -g * _sums(sc.kn, n, x)),
    "kv": (None, lambda g, y, v, x: -g * _sums(sc.kv, v, x)),
    "kve": (None, lambda g, y, v, x: g * (y - _sums(sc.kve, v, x))),
    # Struve and Kelvin functions (DLMF 11.4, 10.63)
    "struve": (None, lambda g, y, v, x: g * (_differences(sc.struve, v, x) + _struve_part(v, x))),
    "modstruve": (None, lambda g, y, v, x: g * (_sums(sc.modstruve, v, x) + _struve_part(v, x))),
    "ber": (lambda g, y, x: g * sc.berp(x),),
    "bei": (lambda g, y, x: g * sc.beip(x),),
    "ker": (lambda g, y, x: g * sc.kerp(x),),
    "kei": (lambda g, y, x: g * sc.keip(x),),
    "berp": (lambda g, y, x: -g * (y / x + sc.bei(x)),),
    "beip": (lambda g, y, x: g * (sc.ber(x) - y / x),),
    "kerp": (lambda g, y, x: -g * (y / x + sc.kei(x)),),
    "keip": (lambda g, y, x: g * (sc.ker(x) - y / x),),
    # Exponential integrals and the dilogarithm (DLMF 6.2, 8.19, 25.12)
    "exp1": (lambda g, y, x: -g * (np.exp(-x) / x),),
    "expi": (lambda g, y, x: g * (np.exp(x) / x),),
    "expn": (None, lambda g, y, n, x: g * _expn_slope(n, x)),
    "itstruve0": (lambda g, y, x: g * sc.struve(0, x),),
    "itmodstruve0": (lambda g, y, x: g * sc.modstruve(0, x),),
    # Elliptic integrals (DLMF 19.4, 19.18, 19.25)
    "ellipk": (lambda g, y, m: g * _ellipk_slope(y, m),),
    "ellipkm1": (lambda g, y, p: -g * _ellipk_slope(y, 1 - p),),
    "ellipe": (lambda g, y, m: g * (-0.5 * _elliptic_d(m)),),
    "ellipkinc": (
        lambda g, y, phi, m: g / _delta(phi, m),
        lambda g, y, phi, m: g * _ellipkinc_slope(y, phi, m),
    ),
    "ellipeinc": (
        lambda g, y, phi, m: g * _delta(phi, m),
        lambda g, y, phi, m: g * ((y - sc.ellipkinc(phi, m)) / (2 * m)),
    ),
    "elliprc": (
        lambda g, z, x, y: g * (sc.elliprd(y, y, x) / -6),
        lambda g, z, x, y: g * (sc.elliprd(x, y, y) / -3),
    ),
    "elliprf": (
        lambda g, r, x, y, z: g * (sc.elliprd(y, z, x) / -6),
        lambda g, r, x, y, z: g * (sc.elliprd(z, x, y) / -6),
        lambda g, r, x, y, z: g * (sc.elliprd(x, y, z) / -6),
    ),
    # Orthogonal polynomials, by their variable (DLMF 18.9)
    "eval_jacobi": (None, None, None, lambda g, y, n, a, b, x: g * _jacobi(n, a, b, x)),
    "eval_sh_jacobi": (
        None,
        None,
        None,
        lambda g, y, n, p, q, x: g * n * sc.eval_sh_jacobi(np.maximum(n - 1, 0), p + 2, q + 1, x),
    ),
    "eval_gegenbauer": (None, None, lambda g, y, n, a, x: g * _gegenbauer(n, a, x)),
    "eval_legendre": (None, lambda g, y, n, x: g * _jacobi(n, 0.0, 0.0, x)),
    "eval_sh_legendre": (None, lambda g, y, n, x: g * (2 * _jacobi(n, 0.0, 0.0, 2 * x - 1))),
    "eval_chebyt": (None, lambda g, y, n, x: g * _lower(sc.eval_chebyu, n, n, x)),
    "eval_chebyu": (None, lambda g, y, n, x: g * _gegenbauer(n, 1.0, x)),
    "eval_chebyc": (None, lambda g, y, n, x: g * _lower(sc.eval_chebyu, n, n, x / 2)),
    "eval_chebys": (None, lambda g, y, n, x: g * (_gegenbauer(n, 1.0, x / 2) / 2)),
    "eval_sh_chebyt": (None, lambda g, y, n, x: g * _lower(sc.eval_sh_chebyu, 2 * n, n, x)),
    "eval_sh_chebyu": (None, lambda g, y, n, x: g * (2 * _gegenbauer(n, 1.0, 2 * x - 1))),
    "eval_laguerre": (None, lambda g, y, n, x: g * _laguerre(n, 0.0, x)),
    "eval_genlaguerre": (None, None, lambda g, y, n, a, x: g * _laguerre(n, a, x)),
    "eval_hermite": (None, lambda g, y, n, x: g * _lower(sc.eval_hermite, 2 * n, n, x)),
    "eval_hermitenorm": (None, lambda g, y, n, x: g * _lower(sc.eval_hermitenorm, n, n, x)),
    "lpmv": (
        None,
        None,
        lambda g, y, m, v, x: g * ((v * x * y - (v + m) * sc.lpmv(m, v - 1, x)) / (x * x - 1)),
    ),
    # Hypergeometric functions, by their variable (DLMF 13.3, 15.5, 10.46)
    "hyp0f1": (None, lambda g, y, v, x: g * (sc.hyp0f1(v + 1.0, x) / v)),
    "hyp1f1": (None, None, lambda g, y, a, b, x: g * (a / b * sc.hyp1f1(a + 1.0, b + 1.0, x))),
    "hyp2f1": (
        None,
        None,
        None,
        lambda g, y, a, b, c, x: g * (a * b / c * sc.hyp2f1(a + 1.0, b + 1.0, c + 1.0, x)),
    ),
    "hyperu": (None, None, lambda g, y, a, b, x: -g * (a * sc.hyperu(a + 1.0, b + 1.0, x))),
    "wright_bessel": (None, None, lambda g, y, a, b, x: g * sc.wright_bessel(a, a + b, x)),
    "log_wright_bessel": (
        None,
        None,
        lambda g, y, a, b, x: g * np.exp(sc.log_wright_bessel(a, a + b, x) - y),
    ),
}  # fmt: skip


#: Functions with several results: the rules of each.
COMPONENTS: dict[str, tuple[Rules, ...]] = {
    # Airy functions and their derivatives (DLMF 9.2.1)
    "airy": (
        (lambda g, y, x: g * sc.airy(x)[1],),
        (lambda g, y, x: g * (x * sc.airy(x)[0]),),
        (lambda g, y, x: g * sc.airy(x)[3],),
        (lambda g, y, x: g * (x * sc.airy(x)[2]),),
    ),
    "itairy": (
        (lambda g, y, x: g * sc.airy(x)[0],),
        (lambda g, y, x: g * sc.airy(x)[2],),
        (lambda g, y, x: g * sc.airy(-x)[0],),
        (lambda g, y, x: g * sc.airy(-x)[2],),
    ),
    # Parabolic cylinder functions and their derivatives (DLMF 12.2)
    "pbdv": (
        (None, lambda g, y, v, x: g * sc.pbdv(v, x)[1]),
        (None, lambda g, y, v, x: g * ((x * x / 4 - v - 0.5) * sc.pbdv(v, x)[0])),
    ),
    "pbvv": (
        (None, lambda g, y, v, x: g * sc.pbvv(v, x)[1]),
        (None, lambda g, y, v, x: g * ((x * x / 4 - v - 0.5) * sc.pbvv(v, x)[0])),
    ),
    "pbwa": (
        (None, lambda g, y, a, x: g * sc.pbwa(a, x)[1]),
        (None, lambda g, y, a, x: g * ((a - x * x / 4) * sc.pbwa(a, x)[0])),
    ),
    # Integrals (DLMF 6.2, 7.2, 10.43)
    "sici": (
        (lambda g, y, x: g * np.sinc(x / np.pi),),
        (lambda g, y, x: g * (np.cos(x) / x),),
    ),
    "shichi": (
        (lambda g, y, x: g * _hyperbolic_share(x),),
        (lambda g, y, x: g * (np.cosh(x) / x),),
    ),
    "fresnel": (
        (lambda g, y, x: g * np.sin(np.pi / 2 * (x * x)),),
        (lambda g, y, x: g * np.cos(np.pi / 2 * (x * x)),),
    ),
    "itj0y0": ((lambda g, y, x: g * sc.j0(x),), (lambda g, y, x: g * sc.y0(x),)),
    "iti0k0": ((lambda g, y, x: g * sc.i0(x),), (lambda g, y, x: g * sc.k0(x),)),
    "it2j0y0": (
        (lambda g, y, x: g * ((1 - sc.j0(x)) / x),),
        (lambda g, y, x: -g * (sc.y0(x) / x),),
    ),
    "it2i0k0": (
        (lambda g, y, x: g * ((sc.i0(x) - 1) / x),),
        (lambda g, y, x: -g * (sc.k0(x) / x),),
    ),
    # Jacobi elliptic functions by their argument (DLMF 22.13.1)
    "ellipj": (
        (lambda g, y, u, m: g * (sc.ellipj(u, m)[1] * sc.ellipj(u, m)[2]), None),
        (lambda g, y, u, m: -g * (sc.ellipj(u, m)[0] * sc.ellipj(u, m)[2]), None),
        (lambda g, y, u, m: -g * (m * sc.ellipj(u, m)[0] * sc.ellipj(u, m)[1]), None),
        (lambda g, y, u, m: g * sc.ellipj(u, m)[2], None),
    ),
}
