"""Functions that become one or a few instructions: the sums that may be reordered, extremes, rounding.

total = add_reassoc(total, x[i])    # a sum that LLVM may reorder, and so vectorises
top = maximum(top, x[i])            # nan if any is nan
"""

from collections.abc import Callable

from tapegrad.compile.backends.llvm.scalars import Scalar, call, where
from tapegrad.compile.backends.llvm.vecmath.emit import copysign

__all__ = ["INTRINSICS", "fmax", "fmin", "maximum", "minimum", "rounding"]


def add_reassoc(x: Scalar, y: Scalar) -> Scalar:
    """Return x + y, in any order with others.

    The flag stands on this one instruction, so that it cannot reach the rounding tricks elsewhere.
    """
    return x.binary("add", x, y, "reassoc " if x.is_float else "")


def mul_reassoc(x: Scalar, y: Scalar) -> Scalar:
    """Return x * y, in any order with others."""
    return x.binary("mul", x, y, "reassoc " if x.is_float else "")


def maximum(x: Scalar, y: Scalar) -> Scalar:
    """Return the larger number, nan if one is nan."""
    return call("llvm.maximum", x, y)


def minimum(x: Scalar, y: Scalar) -> Scalar:
    """Return the smaller number, nan if one is nan."""
    return call("llvm.minimum", x, y)


def fmax(x: Scalar, y: Scalar) -> Scalar:
    """Return the larger number, nan only if both are nan."""
    return _but_nan("maximum", x, y)


def fmin(x: Scalar, y: Scalar) -> Scalar:
    """Return the smaller number, nan only if both are nan."""
    return _but_nan("minimum", x, y)


def _but_nan(name: str, x: Scalar, y: Scalar) -> Scalar:
    """Choose among two numbers; if one of them is nan, the other.

    LLVM has an instruction for it. What version 20 makes of it is wrong, and so is what version 22 makes
    of it where it sees that one of the two is no nan: another nan is then chosen. These here do not run
    as reductions over vectors.
    """
    return where(x != x, y, where(y != y, x, call(f"llvm.{name}", x, y)))


def rounding(name: str) -> Callable[[Scalar], Scalar]:
    """Return the formula of a rounding function: rint, floor, ceil or trunc."""
    return lambda x: call(f"llvm.{name}", x)


#: What a kernel calls by a name without a kind.
INTRINSICS: dict[str, Callable[..., Scalar]] = {
    "add_reassoc": add_reassoc,
    "mul_reassoc": mul_reassoc,
    "maximum": maximum,
    "minimum": minimum,
    "fmax": fmax,
    "fmin": fmin,
    "copysign": copysign,
    **{name: rounding(name) for name in ("rint", "floor", "ceil", "trunc")},
}
