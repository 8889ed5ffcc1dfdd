"""The gamma function without SciPy.

>>> from tapegrad import special
>>> special.gamma([0.5, 5.0])
Tensor([ 1.77245385, 24.        ])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.elementwise.error_functions import chebyshev
from tapegrad.ops.elementwise.gamma_functions import digamma
from tapegrad.ops.elementwise.special_own import Special, own
from tapegrad.tape.array.application import bind

__all__ = ["gamma"]

#: Chebyshev coefficients of the gamma function on [1, 2].
_GAMMA = (
    0.9417855977954946,
    0.004415381324841007,
    0.05685043681599363,
    -0.00421983539641856,
    0.0013268081812124603,
    -0.00018930245297988805,
    3.606925327441245e-05,
    -6.056761904460864e-06,
    1.0558295463022833e-06,
    -1.811967365542384e-07,
    3.117724964715322e-08,
    -5.354219639019687e-09,
    9.193275519859589e-10,
    -1.5779412802883398e-10,
    2.7079806229349544e-11,
    -4.64681865382573e-12,
    7.97335019200742e-13,
    -1.368078209830916e-13,
    2.3473194865638007e-14,
    -4.027432614949067e-15,
    6.910051747372101e-16,
    -1.185584500221993e-16,
    2.034148542496374e-17,
    -3.490054341717406e-18,
)
_SPLIT = 134217729.0  # 2^27 + 1, which cuts a float64 into halves
#: By how many powers of two products are kept smaller, so that cutting them does not overflow.
_SCALE = 64
#: Beyond these, the function is as good as infinite, and 0.
_LEAST, _GREATEST = -190.0, 180.0


def _halves(x: Any) -> tuple[Any, Any]:
    high = x * _SPLIT - (x * _SPLIT - x)
    return high, x - high


def _factors(z: Any, steps: Any, scale: Any) -> Any:
    """Return the product of z + k for k from 0 below steps, and of 2**-scale: as precisely as if it was
    computed with twice the digits, and rounded."""
    product, rest = np.ldexp(np.ones_like(z), -scale), np.zeros_like(z)
    for k in range(int(steps.max(initial=0))):
        factor = np.where(k < steps, z + k, 1.0)
        (a, b), (c, d) = _halves(product), _halves(factor)
        whole = product * factor
        rest = rest * factor + (((a * c - whole) + a * d + b * c) + b * d)
        product = whole
    return product + rest


def _gamma(x: Any) -> Any:
    """By recurrence from [1, 2]; all factors are exact."""
    inside = (x > _LEAST) & (x < _GREATEST) & (x != 0)
    near = np.where(inside, x, 1.0)
    steps = np.floor(near) - 1.0
    z = near - steps
    base = chebyshev(_GAMMA, 2.0 * z - 3.0)
    scale = np.where(np.abs(near) < 2.0, 0, _SCALE)
    product = _factors(np.where(steps < 0, near, z), np.abs(steps), scale)
    scaled = np.where(steps < 0, base / product, base * product)
    value = np.ldexp(scaled, np.where(steps < 0, -scale, scale))
    value = np.where((x < 0) & (x == np.floor(x)), np.nan, value)
    edge = np.where(x > 0, np.inf, np.where(x == 0, np.copysign(np.inf, x), 0.0))
    edge = np.where(np.isnan(x) | (x == -np.inf) | (x < 0) & (x == np.floor(x)), np.nan, edge)
    return np.where(inside, value, edge)


gamma: Special = own(
    "gamma", _gamma, "integral of t**(x - 1) * exp(-t)", "The gamma function.",
    lambda g, y, x: g * y * bind(digamma.primitive, x),
)  # fmt: skip
