"""Scalars under construction: ordinary Python arithmetic that writes LLVM instructions.

The functions of this package are plain formulas over `Scalar`. When Numba compiles a call, the
formula runs once and leaves straight-line code, without calls or branches, in the caller. One
text serves float64 and float32, because a Python number takes the type of the value it meets.
Nothing is typed or optimised apart from the caller, so that it compiles fast.

    def logistic(x):
        return 1.0 / (1.0 + exp(-x))
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tapegrad.compile.backends.numba.vecmath.coefficients import CONSTANTS, POLYNOMIALS


@dataclass(frozen=True)
class Format:
    """What the formulas need to know of a floating point type.

    Attributes
    ----------
    bits, mantissa, bias : int
        Width of the type, explicit bits of its mantissa, bias of its exponent.
    """

    bits: int
    mantissa: int
    bias: int

    @property
    def tiny(self) -> float:
        """The smallest positive normal number."""
        return 2.0 ** (1 - self.bias)

    @property
    def epsilon(self) -> float:
        """The distance from one to the next larger number."""
        return 2.0**-self.mantissa

    @property
    def shifter(self) -> float:
        """1.5 * 2**mantissa: adding it rounds to an integer, which stands in the lowest bits."""
        return 1.5 * 2.0**self.mantissa


FLOAT64 = Format(bits=64, mantissa=52, bias=1023)
FLOAT32 = Format(bits=32, mantissa=23, bias=127)
FORMATS = {ir.DoubleType(): FLOAT64, ir.FloatType(): FLOAT32}
TYPES = {64: ir.DoubleType(), 32: ir.FloatType()}


Operand: TypeAlias = "Scalar | float"
Formula: TypeAlias = Callable[..., "Scalar"]


class Scalar:
    """A number, the bits of one, or a truth value in the function being compiled."""

    __slots__ = ("builder", "code")

    def __init__(self, builder: ir.IRBuilder, code: ir.Value):
        self.builder = builder
        self.code = code

    @property
    def is_float(self) -> bool:
        """Whether this is a number, not bits or a truth value."""
        return self.code.type in FORMATS

    @property
    def format(self) -> Format:
        """The floating point type."""
        return FORMATS[self.code.type]

    def lift(self, other: Operand) -> ir.Value:
        """Return the other operand, a Python number as a constant of this value's type."""
        return other.code if isinstance(other, Scalar) else ir.Constant(self.code.type, other)

    def _binary(self, name: str, left: Operand, right: Operand) -> "Scalar":
        emit = getattr(self.builder, "f" + name if self.is_float else name)
        return Scalar(self.builder, emit(self.lift(left), self.lift(right)))

    def __add__(self, other: Operand) -> "Scalar":
        return self._binary("add", self, other)

    def __radd__(self, other: Operand) -> "Scalar":
        return self._binary("add", other, self)

    def __sub__(self, other: Operand) -> "Scalar":
        return self._binary("sub", self, other)

    def __rsub__(self, other: Operand) -> "Scalar":
        return self._binary("sub", other, self)

    def __mul__(self, other: Operand) -> "Scalar":
        return self._binary("mul", self, other)

    def __rmul__(self, other: Operand) -> "Scalar":
        return self._binary("mul", other, self)

    def __truediv__(self, other: Operand) -> "Scalar":
        return self._binary("div", self, other)

    def __rtruediv__(self, other: Operand) -> "Scalar":
        return self._binary("div", other, self)

    def __neg__(self) -> "Scalar":
        return Scalar(self.builder, self.builder.fneg(self.code))

    def __abs__(self) -> "Scalar":
        return call("llvm.fabs", self)

    # Bits and truth values.

    def __and__(self, other: Operand) -> "Scalar":
        return Scalar(self.builder, self.builder.and_(self.code, self.lift(other)))

    def __or__(self, other: Operand) -> "Scalar":
        return Scalar(self.builder, self.builder.or_(self.code, self.lift(other)))

    def __xor__(self, other: Operand) -> "Scalar":
        return Scalar(self.builder, self.builder.xor(self.code, self.lift(other)))

    def __invert__(self) -> "Scalar":
        return Scalar(self.builder, self.builder.not_(self.code))

    def __lshift__(self, count: Operand) -> "Scalar":
        return Scalar(self.builder, self.builder.shl(self.code, self.lift(count)))

    def __rshift__(self, count: Operand) -> "Scalar":
        """Shift in zeros: AVX2 has no packed 64-bit shift that keeps the sign."""
        return Scalar(self.builder, self.builder.lshr(self.code, self.lift(count)))

    def _compare(self, relation: str, other: Operand) -> "Scalar":
        if not self.is_float:
            emit = self.builder.icmp_unsigned
        else:  # As in NumPy, only != holds for a nan.
            emit = self.builder.fcmp_unordered if relation == "!=" else self.builder.fcmp_ordered
        return Scalar(self.builder, emit(relation, self.code, self.lift(other)))

    def __lt__(self, other: Operand) -> "Scalar":
        return self._compare("<", other)

    def __le__(self, other: Operand) -> "Scalar":
        return self._compare("<=", other)

    def __gt__(self, other: Operand) -> "Scalar":
        return self._compare(">", other)

    def __ge__(self, other: Operand) -> "Scalar":
        return self._compare(">=", other)

    def __eq__(self, other: Operand) -> "Scalar":  # type: ignore[override]
        return self._compare("==", other)

    def __ne__(self, other: Operand) -> "Scalar":  # type: ignore[override]
        return self._compare("!=", other)

    __hash__ = None  # type: ignore[assignment]


def call(name: str, first: Scalar, *rest: Operand) -> Scalar:
    """Call an LLVM intrinsic whose arguments and result have the type of the first argument."""
    codes = [first.code, *(first.lift(argument) for argument in rest)]
    type_ = first.code.type
    function = first.builder.module.declare_intrinsic(
        name, [type_], ir.FunctionType(type_, [type_] * len(codes))
    )
    return Scalar(first.builder, first.builder.call(function, codes))


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
    """Return a constant of the type of `like`, where a formula needs a `Scalar`."""
    return Scalar(like.builder, like.lift(value))


def where(condition: Scalar, a: Operand, b: Operand) -> Scalar:
    """Choose without a branch; at least one of the two is a `Scalar`."""
    like = a if isinstance(a, Scalar) else b
    assert isinstance(like, Scalar)
    code = like.builder.select(condition.code, like.lift(a), like.lift(b))
    return Scalar(like.builder, code)


def bits(x: Scalar) -> Scalar:
    """Return the representation of a number as an integer of the same width."""
    return Scalar(x.builder, x.builder.bitcast(x.code, ir.IntType(x.format.bits)))


def from_bits(n: Scalar) -> Scalar:
    """Return the number with this representation."""
    return Scalar(n.builder, n.builder.bitcast(n.code, TYPES[n.code.type.width]))


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


def as_intrinsic(formula: Formula, arity: int, width: int, name: str) -> Callable:
    """Make a formula callable in compiled code, for arguments converted to one type.

    Parameters
    ----------
    formula : callable
        Takes and returns `Scalar`.
    arity : int
        Number of its arguments, 1 or 2.
    width : int
        64 for float64, 32 for float32.
    name : str
        What Numba calls it in its messages.

    Returns
    -------
    intrinsic
        To be called in a function compiled by Numba.
    """
    type_ = types.float64 if width == 64 else types.float32
    typed_as = type_(*[type_] * arity), generator(formula)

    # Numba counts the parameters.
    def unary(typing_context, x):  # type: ignore[no-untyped-def]
        return typed_as

    def binary(typing_context, x, y):  # type: ignore[no-untyped-def]
        return typed_as

    return named_intrinsic(unary if arity == 1 else binary, f"{name}_{width}", formula.__doc__)


def generator(formula: Formula) -> Callable:
    """Return the code generator of a formula, in the form that Numba calls."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return formula(*(Scalar(builder, argument) for argument in arguments)).code

    return generate


def named_intrinsic(typed: Callable, name: str, summary: str | None) -> Callable:
    """Return an intrinsic with this name and docstring."""
    typed.__name__ = typed.__qualname__ = name
    typed.__doc__ = summary
    return intrinsic(typed)
