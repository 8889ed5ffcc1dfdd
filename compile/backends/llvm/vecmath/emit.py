"""What the formulas are made of, besides arithmetic: rounding, bits, polynomials, sums of two numbers.

The functions of this package are plain formulas over :class:`Scalar`. Where a kernel calls one, the
formula runs once and leaves straight-line code, without calls or branches. One text serves float64 and
float32, because a Python number takes the kind of the value it meets.

    def logistic(x):
        return 1.0 / (1.0 + exp(-x))
"""

from collections.abc import Callable
from typing import TypeAlias

from tapegrad.compile.backends.llvm.scalars import Operand, Scalar, call, where
from tapegrad.compile.backends.llvm.vecmath.coefficients import CONSTANTS, POLYNOMIALS

Formula: TypeAlias = Callable[..., Scalar]


def fma(a: Scalar, b: Operand, c: Operand) -> Scalar:
    """Return a * b + c, rounded once."""
    return call("llvm.fma", a, b, c)


def sqrt(x: Scalar) -> Scalar:
    """Return the square root, nan for a negative number."""
    return call("llvm.sqrt", x)


def rint(x: Scalar) -> Scalar:
    """Round to the nearest integer, ties to even."""
    return call("llvm.rint", x)


def copysign(magnitude: Scalar, sign: Operand) -> Scalar:
    """Return |magnitude| with the sign of the other number."""
    return call("llvm.copysign", magnitude, sign)


def number(like: Scalar, value: float) -> Scalar:
    """Return a constant of the kind of `like`, where a formula needs a `Scalar`."""
    return like.lift(value)


def bits(x: Scalar) -> Scalar:
    """Return the representation of a number as an integer of the same width."""
    return x.new(f"bitcast {x.typed} to i{x.width}", f"uint{x.width}")


def from_bits(n: Scalar) -> Scalar:
    """Return the number with this representation."""
    return n.new(
        f"bitcast {n.typed} to {'double' if n.width == 64 else 'float'}", f"float{n.width}"
    )


def constant(name: str, x: Scalar) -> tuple[float, ...]:
    """Return a constant as an unevaluated sum of numbers of the type of `x`."""
    return CONSTANTS[name, x.format.bits]


def polynomial(name: str, x: Scalar) -> Scalar:
    """Evaluate a polynomial of `coefficients.py` by Horner's rule."""
    *rest, second, first = POLYNOMIALS[name, x.format.bits]
    result = fma(x, first, second)
    for coefficient in reversed(rest):
        result = fma(result, x, coefficient)
    return result


def nearest_integer(x: Scalar) -> tuple[Scalar, Scalar]:
    """Round to an integer; return it as a number and in the lowest bits of an integer.

    Unlike a conversion this is defined for nan and inf, and AVX2 can do it in packed form. It
    relies on (x + c) - c not being simplified: no fast-math flag may reach these instructions.
    """
    shifted = x + x.format.shifter
    return shifted - x.format.shifter, bits(shifted)


def power_of_two(n: Scalar) -> Scalar:
    """Return 2**n for a whole number within the exponents of normal numbers."""
    shifted = n + (n.format.shifter + n.format.bias)
    return from_bits(bits(shifted) << n.format.mantissa)


def scale(x: Scalar, n: Scalar) -> Scalar:
    """Return x * 2**n, rounded once, also where 2**n itself is not a normal number."""
    half = rint(n * 0.5)
    return x * power_of_two(half) * power_of_two(n - half)


def clamp(x: Scalar, low: float, high: float) -> Scalar:
    """Limit x to a range; a nan stays."""
    return where(x > high, high, where(x < low, low, x))


def two_sum(a: Scalar, b: Operand) -> tuple[Scalar, Scalar]:
    """Return a + b and its rounding error."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def fast_two_sum(a: Scalar, b: Operand) -> tuple[Scalar, Scalar]:
    """Return a + b and its rounding error, where |a| >= |b|."""
    total = a + b
    return total, b - (total - a)


def two_product(a: Scalar, b: Operand) -> tuple[Scalar, Scalar]:
    """Return a * b and its rounding error."""
    product = a * b
    return product, fma(a, b, -product)


def divide_sums(a: Scalar, a_rest: Scalar, b: Scalar, b_rest: Scalar) -> Scalar:
    """Return (a + a_rest) / (b + b_rest), rounded almost correctly, for the price of a / b."""
    inverse = 1.0 / b
    quotient = a * inverse
    rest = fma(-quotient, b, a) + fma(-quotient, b_rest, a_rest)
    return fma(rest, inverse, quotient)
