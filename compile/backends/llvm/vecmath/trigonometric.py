"""sin, cos and tan: x = n pi/2 + r with |r| <= pi/4, then two polynomials and a choice by n.

pi/2 is taken in three parts. The first subtraction is exact with a fused multiply-add, as long
as |r| < 1; the second keeps its rounding error. That holds for |x| up to the limits of the package,
beyond which n is not known well enough. When a kernel uses both sin and cos of one value, LLVM merges
the work.
"""

from tapegrad.compile.backends.llvm.vecmath import LIMITS
from tapegrad.compile.backends.llvm.vecmath.emit import (
    Formula,
    Scalar,
    bits,
    constant,
    divide_sums,
    fast_two_sum,
    fma,
    from_bits,
    nearest_integer,
    polynomial,
    where,
)


def reduce(x: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """Return n as an integer (its low bits count) and r in two parts."""
    first, second, third = constant("pi/2", x)
    n, integer = nearest_integer(x * 0.6366197723675814)
    r = fma(n, -first, x)
    high = fma(n, -second, r)
    # r - high is exact only if the step was small beside r. A smaller r needs no second part.
    largest_step = LIMITS["sin", f"float{x.format.bits}"] * abs(second)
    low = where(abs(r) > 2.0 * largest_step, fma(n, -second, r - high), 0.0)
    return integer, high, fma(n, -third, low)


def sine_parts(r: Scalar, low: Scalar) -> tuple[Scalar, Scalar]:
    """Return the sine of r + low as a sum, the larger part first."""
    z = r * r
    return r, fma(r * z, polynomial("sin", z), low)


def cosine_parts(r: Scalar, low: Scalar) -> tuple[Scalar, Scalar]:
    """Return the cosine of r + low as a sum, the larger part first."""
    z = r * r
    w = fma(z, -0.5, 1.0)
    return w, fma(z, -0.5, 1.0 - w) + fma(z * z, polynomial("cos", z), -(r * low))


def both(x: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """Return n as an integer, and the sine and the cosine of r."""
    n, r, low = reduce(x)
    sine, sine_rest = sine_parts(r, low)
    cosine, cosine_rest = cosine_parts(r, low)
    return n, sine + sine_rest, cosine + cosine_rest


def _odd(n: Scalar) -> Scalar:
    return (n & 1) != 0


def _sign(n: Scalar) -> Scalar:
    """Return the second lowest bit in the place of the sign."""
    return (n & 2) << (n.width - 2)


def sin(x: Scalar) -> Scalar:
    n, sine, cosine = both(x)
    result = from_bits(bits(where(_odd(n), cosine, sine)) ^ _sign(n))
    return where(x == 0.0, x, result)


def cos(x: Scalar) -> Scalar:
    n, sine, cosine = both(x)
    return from_bits(bits(where(_odd(n), sine, cosine)) ^ _sign(n + 1))


def tan(x: Scalar) -> Scalar:
    n, r, low = reduce(x)
    sine, sine_rest = fast_two_sum(*sine_parts(r, low))
    cosine, cosine_rest = fast_two_sum(*cosine_parts(r, low))
    odd = _odd(n)
    result = divide_sums(
        where(odd, -cosine, sine),
        where(odd, -cosine_rest, sine_rest),
        where(odd, sine, cosine),
        where(odd, sine_rest, cosine_rest),
    )
    return where(x == 0.0, x, result)


FORMULAS: dict[str, tuple[Formula, int]] = {"sin": (sin, 1), "cos": (cos, 1), "tan": (tan, 1)}
