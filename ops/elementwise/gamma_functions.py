"""Special functions without SciPy: the logarithm of the gamma function and its derivatives.

>>> from tapegrad import special
>>> special.gammaln([1.0, 5.0])
Tensor([0.        , 3.17805383])
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.ops.elementwise.error_functions import chebyshev
from tapegrad.ops.elementwise.special_own import Special, own
from tapegrad.tape.array.application import bind

__all__ = ["NEAR_ONE", "STIRLING", "digamma", "gammaln", "polygamma", "zeta"]

#: Chebyshev coefficients of gammaln(x) / ((x - 1) (x - 2)) on [1/2, 3/2], and on [3/2, 5/2].
NEAR_ONE = (
    0.5992017652562684,
    -0.13523864407505012,
    0.022912123058847742,
    -0.0045425014892086875,
    0.0009737657453887527,
    -0.0002183918976031625,
    5.042759968846042e-05,
    -1.188348476697295e-05,
    2.843082441768888e-06,
    -6.882434580587778e-07,
    1.681901981132224e-07,
    -4.142337251877978e-08,
    1.0269232482208628e-08,
    -2.5601340515332235e-09,
    6.413436775129348e-10,
    -1.6134553928150004e-10,
    4.074210753908471e-11,
    -1.0322133272009862e-11,
    2.6229060193036037e-12,
    -6.682732659532457e-13,
    1.7067615710175653e-13,
    -4.368612159379254e-14,
    1.1204253833781605e-14,
    -2.8788468114442426e-15,
    7.40945781329903e-16,
    -1.9099853682358576e-16,
    4.930593074707631e-17,
    -1.2745267653723452e-17,
    3.2986728995664887e-18,
)
_NEAR_TWO = (
    0.42702679007974553,
    -0.05136266063271509,
    0.004283865121771959,
    -0.00040868943087787814,
    4.189889214014742e-05,
    -4.4884162278409e-06,
    4.950359592304836e-07,
    -5.572882261152328e-08,
    6.369038926367588e-09,
    -7.363280290999341e-10,
    8.590324630704468e-11,
    -1.0095630921452502e-11,
    1.1936859013748236e-12,
    -1.4186121794476558e-13,
    1.693301639270074e-14,
    -2.0288519799922935e-15,
    2.43899034401661e-16,
    -2.940688354710887e-17,
    3.554929051822112e-18,
)
#: Of x times the remainder of Stirling's formula, as a function of 128 / x^2 - 1.
STIRLING = (
    0.08331170390906488,
    -2.160555080544604e-05,
    2.3805130306661256e-08,
    -6.796982741412554e-11,
    3.598298746801337e-13,
    -3.006641868307273e-15,
    3.6007359769416715e-17,
    -5.791695393592681e-19,
)
_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
#: The digamma function has its positive root at the sum of these.
_ROOT, _ROOT_REST = 1.4616321449683622, 9.549995429965697e-17
#: Chebyshev coefficients of digamma(x) / (x - root) on [1, 2].
_AT_ROOT = (
    0.983570260441567,
    -0.2270640863346444,
    0.03336889902393011,
    -0.005320077271596548,
    0.0008788656937820505,
    -0.00014773492650606044,
    2.5060543468359146e-05,
    -4.2721034029993324e-06,
    7.302769272465923e-07,
    -1.2502886813559594e-07,
    2.1425009322359472e-08,
    -3.673295918565179e-09,
    6.299717236108931e-10,
    -1.080593028883266e-10,
    1.853735192053638e-11,
    -3.18023536582553e-12,
    5.456147570322795e-13,
    -9.360993131036438e-14,
    1.606064636295075e-14,
    -2.7555431377438815e-15,
    4.727736178601912e-16,
    -8.11148420346509e-17,
    1.391707769474154e-17,
    -2.3877901082188625e-18,
)
#: B(2k) / (2k)!, of the formula of Euler and Maclaurin.
_BERNOULLI = (
    8.333333333333333e-02, -1.388888888888889e-03, 3.306878306878307e-05, -8.267195767195768e-07,
    2.08767569878681e-08, -5.284190138687493e-10, 1.3382536530684679e-11, -3.3896802963225827e-13,
    8.586062056277845e-15, -2.174868698558062e-16,
)  # fmt: skip
_TERMS = 10


def _of_positive(x: Any) -> Any:
    """Return gammaln(x) for x > 0."""
    small = x < 0.5
    raised = np.where(small, np.log(np.where(small, x, 1.0)), 0.0)
    x = np.where(small, x + 1.0, x)
    middle = np.clip(x, 0.5, 8.0)
    steps = np.where(middle < 2.5, 0.0, np.floor(middle - 1.5))
    z = middle - steps
    factors: Any = 1.0
    for k in range(1, 7):
        factors = factors * np.where(steps >= k, middle - k, 1.0)
    near = (z - 1.0) * (z - 2.0)
    first = chebyshev(NEAR_ONE, 2.0 * np.minimum(z, 1.5) - 2.0)
    second = chebyshev(_NEAR_TWO, 2.0 * np.maximum(z, 1.5) - 4.0)
    low = near * np.where(z < 1.5, first, second) + np.log(factors) - raised
    large = np.maximum(x, 8.0)
    rest = chebyshev(STIRLING, 128.0 / large / large - 1.0) / large
    with np.errstate(over="ignore"):
        high = (large - 0.5) * (np.log(large) - 1.0) + (_HALF_LOG_2PI - 0.5 + rest)
    return np.where(x < 8.0, low, high)


def _sin_pi(x: Any) -> Any:
    """Return the magnitude of sin(pi x)."""
    return np.abs(np.sin(np.pi * (x - np.rint(x))))


def _gammaln(x: Any) -> Any:
    left = x < 0
    size = np.where(left, 1.0 - x, x)
    value = _of_positive(np.where((size > 0) & (size < np.inf), size, 1.0))
    value = np.where(left, np.log(np.pi / _sin_pi(np.where(left, x, 0.5))) - value, value)
    pole = (x <= 0) & (x == np.floor(x))
    value = np.where(pole, np.inf, np.where(np.isnan(x), x, value))
    return np.where(np.isinf(x), x, value)


def _digamma(x: Any) -> Any:
    """Arguments are reflected to the right, and brought to [1, 2] or expanded (DLMF 5.5, 5.11)."""
    left = x <= 0
    right = np.where(left, 1.0 - x, x)
    low = np.clip(right, 5e-324, 10.0)
    small = low < 1.0
    steps = np.where(small, 0.0, np.floor(low) - 1.0)
    z = np.where(small, low + 1.0, low - steps)
    sums = np.where(small, -1.0 / low, 0.0)
    for k in range(1, 10):
        sums = sums + np.where(steps >= k, 1.0 / np.where(steps >= k, low - k, 1.0), 0.0)
    near = (z - _ROOT) - _ROOT_REST
    middle = near * chebyshev(_AT_ROOT, 2.0 * z - 3.0) + sums
    large = np.maximum(right, 10.0)
    w = (1.0 / large) ** 2
    tail: Any = 0.0
    for c in (1 / 12, -691 / 32760, 1 / 132, -1 / 240, 1 / 252, -1 / 120, 1 / 12):
        tail = (tail + c) * w
    value = np.where(right < 10.0, middle, np.log(large) - (0.5 / large + tail))
    angle = np.pi * np.where(left, x - np.rint(x), 0.25)
    reflected = value - np.pi * np.cos(angle) / np.sin(angle)
    pole = (x < 0) & (x == np.floor(x)) | (x == -np.inf)
    value = np.where(pole, np.nan, np.where(left, reflected, value))
    value = np.where(np.isnan(x), x, value)
    return np.where(x == 0, np.copysign(np.inf, -x), np.where(x == np.inf, np.inf, value))


def _zeta(x: Any, q: Any) -> Any:
    """The first terms, and Euler and Maclaurin's formula for the others (DLMF 25.11.28)."""
    inside = (x > 1) & (q > 0)
    s, a = np.where(inside, x, 2.0), np.where(inside, q, 1.0)
    total = np.zeros_like(s + a)
    for k in range(_TERMS):
        total = total + (a + k) ** -s
    end = a + _TERMS
    power = end**-s
    term = power / end * s
    rest = power * (end / (s - 1.0) + 0.5)
    for k, c in enumerate(_BERNOULLI):
        rest = rest + c * term
        term = term * (s + 2 * k + 1) * (s + 2 * k + 2) / (end * end)
    edge = np.where((x == 1) | ((x > 1) & (q <= 0) & (q == np.floor(q))), np.inf, np.nan)
    return np.where(inside, total + rest, edge)


_FACTORIALS = np.array([float(math.factorial(n)) for n in range(171)])


def _polygamma(n: Any, x: Any) -> Any:
    """By Hurwitz's zeta function (DLMF 25.11.12)."""
    order = np.where((n >= 1) & (n <= 170) & (n == np.floor(n)), n, 1.0)
    sign = np.where(order % 2 == 1, 1.0, -1.0)
    value = sign * _FACTORIALS[order.astype(int)] * _zeta(order + 1.0, x)
    return np.where(n == 0, _digamma(x + 0.0 * n), np.where(order == n, value, np.nan))


# The functions -----------------------------------------------------------------------------------

gammaln: Special = own(
    "gammaln", _gammaln, "log(abs(gamma(x)))", "The logarithm of the magnitude of the gamma function.",
    lambda g, y, x: g * bind(digamma.primitive, x),
)  # fmt: skip
digamma: Special = own(
    "digamma", _digamma, "gamma'(x) / gamma(x)", "The derivative of gammaln.",
    lambda g, y, x: g * _trigamma(x),
)  # fmt: skip
polygamma: Special = own(
    "polygamma", _polygamma, "n-th derivative of digamma",
    "The derivatives of digamma for integers n, and x above 0; nan elsewhere.",
    None,
    lambda g, y, n, x: g * bind(polygamma.primitive, n + 1, x),
)  # fmt: skip
zeta: Special = own(
    "zeta", _zeta, "sum of (q + k)**-x for k = 0, 1, ...",
    "Hurwitz's zeta function for x above 1 and q above 0; nan elsewhere.",
    None,
    lambda g, y, x, q: -g * x * bind(zeta.primitive, x + 1, q),
)  # fmt: skip


def _trigamma(x: Any) -> Any:
    """The derivative of digamma, also to the left of 0 (DLMF 5.15.6)."""
    left = x <= 0
    right = bind(polygamma.primitive, 1.0, np.where(left, 1.0 - x, x))
    sine = np.sin(np.pi * np.where(left, x - np.rint(x), 0.5))
    return np.where(left, (np.pi / sine) ** 2 - right, right)
