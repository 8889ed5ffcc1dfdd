"""exp and its relatives: x = n ln2 + r with |r| <= ln2 / 2, a polynomial in r, times 2**n.

The first product of the reduction is exact and the second rounds once, by fused multiply-add.
Results below the normal range are rounded once, by a scaling in two steps.
"""

from tapegrad.compile.backends.llvm.vecmath.emit import (
    Formula,
    Scalar,
    clamp,
    constant,
    copysign,
    divide_sums,
    fast_two_sum,
    fma,
    polynomial,
    power_of_two,
    rint,
    scale,
    where,
)

# Beyond these the result is 0 or inf, also with the margin that the scaled forms below take.
LIMITS = {64: (-746.0, 711.0), 32: (-105.0, 90.0)}


def reduce(x: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """Return n, a whole number, then r with x = n ln2 + r, and the rounding error of r."""
    high, low = constant("ln2", x)
    n = rint(x * constant("1/ln2", x)[0])
    exact = fma(n, -high, x)
    r = fma(n, -low, exact)
    return n, r, fma(n, -low, exact - r)


def exp(x: Scalar) -> Scalar:
    n, r, _ = reduce(clamp(x, *LIMITS[x.format.bits]))
    return scale(fma(r * r, polynomial("exp", r), r) + 1.0, n)


def exp_of_sum(x: Scalar, rest: Scalar) -> Scalar:
    """Return exp(x + rest) for a rest of about the rounding error of x, and x in range."""
    n, r, _ = reduce(x)
    r = r + rest
    return scale(fma(r * r, polynomial("exp", r), r) + 1.0, n)


def exp2(x: Scalar) -> Scalar:
    if x.format.bits == 64:
        x = clamp(x, -1080.0, 1030.0)
    else:
        x = clamp(x, -155.0, 130.0)
    n = rint(x)
    r = x - n
    p = fma(r, 0.6931471805599453, r * r * polynomial("exp2", r))
    return scale(p + 1.0, n)


def expm1_parts(x: Scalar, halvings: int) -> tuple[Scalar, Scalar]:
    """Return expm1(x) / 2**halvings, which cannot overflow then, as a sum; x is in range."""
    n, r, r_rest = reduce(x)
    s = power_of_two(n - float(halvings))
    offset = s - 0.5**halvings
    head = fma(s, r, offset)
    tail = fma(s, fma(r * r, polynomial("exp", r), r_rest), fma(s, r, offset - head))
    return fast_two_sum(head, tail)


def expm1(x: Scalar) -> Scalar:
    high = LIMITS[x.format.bits][1]
    result = expm1_parts(clamp(x, -40.0, high), 3)[0] * 8.0
    # For tiny x the scaling would lose bits, and the sign of zero.
    return where(abs(x) < x.format.epsilon / 4, x, result)


def tanh(x: Scalar) -> Scalar:
    a = abs(x)
    e, rest = expm1_parts(where(a > 20.0, 20.0, a) * 2.0, 0)
    d = e + 2.0
    # The rounding error of d is exact for e < 2 and small beside d otherwise.
    return copysign(divide_sums(e, rest, d, e - (d - 2.0) + rest), x)


def sinh(x: Scalar) -> Scalar:
    a = abs(x)
    high = LIMITS[x.format.bits][1]
    e, rest = expm1_parts(where(a > high, high, a), 3)
    # The weight of the rest lies between 1 for large and 2 for small x.
    result = (e + fma(rest, 1.5, e / fma(e, 8.0, 1.0))) * 4.0
    return where(a < x.format.epsilon, x, copysign(result, x))


def cosh(x: Scalar) -> Scalar:
    a = abs(x)
    high = LIMITS[x.format.bits][1]
    n, r, _ = reduce(where(a > high, high, a))
    e = fma(r * r, polynomial("exp", r), r) + 1.0
    e = e * power_of_two(n - 3.0)
    return (e + 1.0 / (e * 64.0)) * 4.0


FORMULAS: dict[str, tuple[Formula, int]] = {
    "exp": (exp, 1),
    "exp2": (exp2, 1),
    "expm1": (expm1, 1),
    "tanh": (tanh, 1),
    "sinh": (sinh, 1),
    "cosh": (cosh, 1),
}
