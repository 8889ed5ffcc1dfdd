"""power, cbrt and hypot, and the functions that are one or two instructions."""

from tapegrad.compile.backends.llvm.vecmath import intrinsics
from tapegrad.compile.backends.llvm.vecmath.emit import (
    Formula,
    Scalar,
    clamp,
    copysign,
    fma,
    number,
    polynomial,
    power_of_two,
    rint,
    sqrt,
    two_product,
    where,
)
from tapegrad.compile.backends.llvm.vecmath.exponential import LIMITS, exp_of_sum
from tapegrad.compile.backends.llvm.vecmath.logarithmic import log_parts, normalise

INF = float("inf")
NAN = float("nan")


def power(x: Scalar, y: Scalar) -> Scalar:
    """Return x**y with the special values of C's pow: 1**nan == nan**0 == 1 among them."""
    a = abs(x)
    high, low = log_parts(a)
    high = where(a == 0.0, -INF, where(a < INF, high, a))
    product, rest = two_product(high, y)
    rest = fma(low, y, rest)
    lowest, highest = LIMITS[x.format.bits]
    inside = (product > lowest) & (product < highest)
    result = exp_of_sum(clamp(product, lowest, highest), where(inside, rest, 0.0))
    # A negative base: the sign is that of an odd exponent, other exponents must be whole.
    half = y * 0.5
    whole = rint(y) == y
    odd = whole & (rint(half) != half)
    result = where((x < 0.0) & (a < INF) & ~whole, NAN, result)
    result = where(odd, copysign(result, x), result)
    one = (x == 1.0) | (y == 0.0) | ((x == -1.0) & (abs(y) == INF))
    return where(one, 1.0, result)


def cbrt(x: Scalar) -> Scalar:
    a = abs(x)
    k, m = normalise(a)
    third = rint(k * (1 / 3))
    y = m * power_of_two(k - third * 3.0)
    t = polynomial("cbrt", y)
    # One step of Halley, then one of Newton with the residual in two parts.
    cube = t * t * t
    t = t * fma(y, 2.0, cube) / fma(cube, 2.0, y)
    square, rest = two_product(t, t)
    t = t + fma(-rest, t, fma(-square, t, y)) / (square * 3.0)
    result = copysign(t * power_of_two(third), x)
    return where((a > 0.0) & (a < INF), result, x)


def hypot(x: Scalar, y: Scalar) -> Scalar:
    a, b = abs(x), abs(y)
    top = where(a > b, a, b)
    # Powers of two that keep the squares in range.
    high, low, down, up = {64: (500, -500, -600, 600), 32: (60, -40, -80, 100)}[x.format.bits]
    large, small = top > 2.0**high, top < 2.0**low
    factor = where(large, number(x, 2.0**down), where(small, number(x, 2.0**up), 1.0))
    inverse = where(large, number(x, 2.0**-down), where(small, number(x, 2.0**-up), 1.0))
    a, b = a * factor, b * factor
    result = sqrt(fma(a, a, b * b)) * inverse
    return where((a == INF) | (b == INF), INF, result)


def sign(x: Scalar) -> Scalar:
    positive = where(x > 0.0, number(x, 1.0), x)
    result = where(x < 0.0, -1.0, positive)
    return where(x == 0.0, 0.0, result)


FORMULAS: dict[str, tuple[Formula, int]] = {
    "power": (power, 2),
    "cbrt": (cbrt, 1),
    "hypot": (hypot, 2),
    "sign": (sign, 1),
    "sqrt": (sqrt, 1),
    "square": (lambda x: x * x, 1),
    "reciprocal": (lambda x: 1.0 / x, 1),
    "negative": (lambda x: -x, 1),
    "absolute": (abs, 1),
    "fabs": (abs, 1),
    "copysign": (copysign, 2),
    "maximum": (intrinsics.maximum, 2),
    "minimum": (intrinsics.minimum, 2),
    "fmax": (intrinsics.fmax, 2),
    "fmin": (intrinsics.fmin, 2),
    **{name: (intrinsics.rounding(name), 1) for name in ("rint", "floor", "ceil", "trunc")},
}
