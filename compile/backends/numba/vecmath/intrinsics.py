"""Small functions for kernels that Numba has no name for; each becomes one or a few instructions.

They take float32 or float64 and return what they take; float32 with anything else gives float64.

    total = add_reassoc(total, x[i])    # a sum that LLVM may reorder, and so vectorises
    top = maximum(top, x[i])            # nan if any is nan
"""

from collections.abc import Callable

from llvmlite.binding import llvm_version_info
from numba import types
from numba.extending import intrinsic

from tapegrad.compile.backends.numba.vecmath import emit
from tapegrad.compile.backends.numba.vecmath.emit import (
    Scalar,
    call,
    generator,
    named_intrinsic,
    where,
)

__all__ = [
    "add_reassoc",
    "bits",
    "ceil",
    "copysign",
    "floor",
    "fma",
    "fmax",
    "fmin",
    "from_bits",
    "maximum",
    "minimum",
    "mul_reassoc",
    "rint",
    "trunc",
]


def _common(*argument_types: types.Type) -> types.Type | None:
    if all(type_ == types.float32 for type_ in argument_types):
        return types.float32
    if not all(isinstance(type_, (types.Float, types.Integer)) for type_ in argument_types):
        return None
    return types.float64 if any(isinstance(t, types.Float) for t in argument_types) else None


def _unary(name: str, formula: Callable, summary: str) -> Callable:
    def typed(typing_context, x):  # type: ignore[no-untyped-def]
        common = _common(x)
        return None if common is None else (common(common), generator(formula))

    return named_intrinsic(typed, name, summary)


def _binary(name: str, formula: Callable, summary: str) -> Callable:
    def typed(typing_context, x, y):  # type: ignore[no-untyped-def]
        common = _common(x, y)
        return None if common is None else (common(common, common), generator(formula))

    return named_intrinsic(typed, name, summary)


def _reassoc(operation: str) -> Callable:
    # The flag stands on this one instruction, so it cannot reach the rounding tricks elsewhere.
    def formula(x: Scalar, y: Scalar) -> Scalar:
        return Scalar(x.builder, getattr(x.builder, operation)(x.code, y.code, flags=("reassoc",)))

    return formula


def fmax_formula(x: Scalar, y: Scalar) -> Scalar:
    return _but_nan("maximum", x, y)


def fmin_formula(x: Scalar, y: Scalar) -> Scalar:
    return _but_nan("minimum", x, y)


def _but_nan(name: str, x: Scalar, y: Scalar) -> Scalar:
    """Choose among two numbers; if one of them is nan, the other."""
    if llvm_version_info >= (21,):
        return call(f"llvm.{name}num", x, y)
    # LLVM 20 has the instruction, but what it makes of it is wrong. These do not run as reductions
    # over vectors.
    return where(x != x, y, where(y != y, x, call(f"llvm.{name}", x, y)))


def maximum_formula(x: Scalar, y: Scalar) -> Scalar:
    return call("llvm.maximum", x, y)


def minimum_formula(x: Scalar, y: Scalar) -> Scalar:
    return call("llvm.minimum", x, y)


def rounding(name: str) -> Callable:
    """Return the formula of a rounding function: rint, floor, ceil or trunc."""
    return lambda x: call(f"llvm.{name}", x)


add_reassoc = _binary("add_reassoc", _reassoc("fadd"), "Return x + y, in any order with others.")
mul_reassoc = _binary("mul_reassoc", _reassoc("fmul"), "Return x * y, in any order with others.")
maximum = _binary("maximum", maximum_formula, "Return the larger number, nan if one is nan.")
minimum = _binary("minimum", minimum_formula, "Return the smaller number, nan if one is nan.")
fmax = _binary("fmax", fmax_formula, "Return the larger number, nan only if both are nan.")
fmin = _binary("fmin", fmin_formula, "Return the smaller number, nan only if both are nan.")
copysign = _binary("copysign", emit.copysign, "Return |x| with the sign of y.")
rint = _unary("rint", rounding("rint"), "Round to the nearest whole number, ties to even.")
floor = _unary("floor", rounding("floor"), "Round down.")
ceil = _unary("ceil", rounding("ceil"), "Round up.")
trunc = _unary("trunc", rounding("trunc"), "Round towards zero.")


@intrinsic
def fma(typing_context, x, y, z):  # type: ignore[no-untyped-def]
    """Return x * y + z, rounded once."""
    common = _common(x, y, z)
    if common is None:
        return None
    return common(common, common, common), generator(emit.fma)


def _bitcast(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
    return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))


@intrinsic
def bits(typing_context, x):  # type: ignore[no-untyped-def]
    """Return the representation of a float as an unsigned integer of the same width."""
    if not isinstance(x, types.Float):
        return None
    return (types.uint64 if x == types.float64 else types.uint32)(x), _bitcast


@intrinsic
def from_bits(typing_context, n):  # type: ignore[no-untyped-def]
    """Return the float whose representation is an integer of 64 or 32 bits."""
    if not isinstance(n, types.Integer) or n.bitwidth < 32:  # type: ignore[attr-defined]
        return None
    return (types.float64 if n.bitwidth == 64 else types.float32)(n), _bitcast  # type: ignore[attr-defined]
