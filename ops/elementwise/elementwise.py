"""Elementwise operations with derivatives: one declaration each.

A declaration gives NumPy's ufunc, its partial derivatives in the letters ``g`` (cotangent), ``y``
or ``z`` (result) and ``x``, ``y`` (operands), the scalar text that the compiler fuses, and a
sentence for the docstring. Shapes, dtypes, broadcasting, both modes, batching and lowering follow.

Rules are written so that they save little (``tanh`` keeps its result only), stay finite where the
derivative has a sane value, and can be differentiated again there.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.ops.declare.kinks import kinked
from tapegrad.ops.declare.ufunc import Ufunc, delivered, numpy_source
from tapegrad.ops.elementwise import pairs
from tapegrad.ops.elementwise.powers import by_base, by_exponent, of_products
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.primitive import Primitive, Rule, implements
from tapegrad.tape.core.types import Array

__all__ = [
    "abs", "absolute", "add", "arccos", "arccosh", "arcsin", "arcsinh", "arctan",
    "arctan2", "arctanh", "cbrt", "copysign", "cos", "cosh", "deg2rad",
    "degrees", "divide", "exp", "exp2", "expm1", "fabs", "float_power", "fmod",
    "heaviside", "hypot", "ldexp", "log", "log1p", "log2", "log10", "logaddexp",
    "logaddexp2", "mod", "multiply", "negative", "positive", "pow",
    "power", "rad2deg", "radians", "reciprocal", "remainder", "sin", "sinh", "sqrt",
    "square", "subtract", "tan", "tanh", "true_divide",
]  # fmt: skip

_LN2, _LN10 = math.log(2.0), math.log(10.0)
_DEGREE = math.pi / 180.0
_TO_RADIANS, _TO_DEGREES = f"x * {_DEGREE!r}", f"x * {180.0 / math.pi!r}"


def elementwise(
    name: str, ufunc: Any, rules: tuple[Rule | None, ...], kernel: str | None, **slots: Any
) -> Primitive:
    """Declare an elementwise primitive."""
    return Primitive(
        name,
        slots.pop("forward", ufunc),
        rules,
        jvp="elementwise",
        family="elementwise",
        kernel=kernel,
        ufunc=ufunc if isinstance(ufunc, np.ufunc) else None,
        **slots,
    )


def unary(
    ufunc: np.ufunc, rule: Rule, kernel: str, doc: str, *, takes_complex: bool = False,
    pairs: Any = None, **options: Any,
) -> Ufunc:  # fmt: skip
    """Declare a function of one operand and what tensors do for NumPy's ufunc."""
    slots = {"takes_complex": takes_complex, "pairs": pairs}
    primitive = elementwise(ufunc.__name__, ufunc, (rule,), kernel, **slots)
    return implements(ufunc)(Ufunc(primitive, doc, **options))  # type: ignore[return-value]


def analytic(ufunc: np.ufunc, rule: Rule, kernel: str, doc: str, **options: Any) -> Ufunc:
    """Declare a function of one operand whose rule holds for complex numbers as it stands."""
    return unary(ufunc, rule, kernel, doc, takes_complex=True, **options)


def binary(
    ufunc: np.ufunc, first: Rule | None, second: Rule | None, kernel: str, doc: str, *,
    expansion: Any = None, takes_complex: bool = False, pairs: Any = None, **options: Any,
) -> Ufunc:  # fmt: skip
    """Declare a function of two operands and what tensors do for NumPy's ufunc."""
    primitive = elementwise(
        ufunc.__name__, ufunc, (first, second), kernel, expansion=expansion,
        takes_complex=takes_complex, pairs=pairs,
    )  # fmt: skip
    return implements(ufunc)(Ufunc(primitive, doc, **options))  # type: ignore[return-value]


# Arithmetic --------------------------------------------------------------------------------------

add = binary(
    np.add,
    lambda g, z, x, y: g,
    lambda g, z, x, y: g,
    "x + y",
    "Sum of two operands.",
    takes_complex=True,
    pairs=pairs.added,
)
subtract = binary(
    np.subtract,
    lambda g, z, x, y: g,
    lambda g, z, x, y: -g,
    "x - y",
    "Difference.",
    takes_complex=True,
    pairs=pairs.subtracted,
)
multiply = binary(
    np.multiply,
    lambda g, z, x, y: g * y,
    lambda g, z, x, y: g * x,
    "x * y",
    "Product.",
    takes_complex=True,
    pairs=pairs.multiplied,
)
divide = binary(
    np.divide,
    lambda g, z, x, y: g / y,
    lambda g, z, x, y: -g * (z / y),
    "x / y",
    "Quotient; the same as ``true_divide``, which is its documented name.",
    name="true_divide",
    takes_complex=True,
    pairs=pairs.divided,
)
positive = analytic(np.positive, lambda g, y, x: g, "x", "A copy of the operand.", pairs=pairs.kept)
negative = analytic(
    np.negative, lambda g, y, x: -g, "-x", "The operand with its sign changed.", pairs=pairs.negated
)
reciprocal = analytic(
    np.reciprocal,
    lambda g, y, x: -g * (y * y),
    "1 / x",
    "One over the operand.",
    pairs=pairs.reciprocal,
)
square = analytic(
    np.square,
    lambda g, y, x: g * (2 * x),
    "x * x",
    "The operand times itself.",
    pairs=pairs.squared,
)
sqrt = analytic(
    np.sqrt, lambda g, y, x: 0.5 * g / y, "sqrt(x)", "Square root; its gradient at 0 is inf."
)
cbrt = unary(
    np.cbrt, lambda g, y, x: g / (3 * (y * y)), "cbrt(x)", "Cube root; its gradient at 0 is inf."
)


def _signed(g: Any, x: Any, at_zero: float = 0.0) -> Any:
    """``g * sign(x)``, with a kink at 0; of complex numbers, the conjugate of the sign."""
    if x.dtype.kind == "c":
        size = np.abs(x)
        slope = np.where(size == 0, at_zero, np.conjugate(x) / np.where(size == 0, 1.0, size))
        return kinked(g * slope, g, x, x)
    sign = np.sign(x)
    return kinked(g * (sign if at_zero == 0 else np.where(x == 0, at_zero, sign)), g, x, x)


absolute_strict_p = elementwise(
    "absolute_strict",
    np.absolute,
    (lambda g, y, x: _signed(g, x, np.nan),),
    "abs(x)",
    source=lambda args, params: f"np.absolute({args[0]})",
    takes_complex=True,
    pairs=pairs.magnitude,
)
absolute = unary(
    np.absolute,
    lambda g, y, x: _signed(g, x),
    "abs(x)",
    "Absolute value. Its gradient at 0 is 0, or nan with ``nan_to_num=False``.",
    strict=absolute_strict_p,
    takes_complex=True,
    pairs=pairs.magnitude,
)
fabs = unary(np.fabs, lambda g, y, x: _signed(g, x), "abs(x)", "Absolute value, as a float.")


def _power_rewrite(args: tuple[Any, ...]) -> tuple[Primitive, tuple[Any, ...]]:
    x, y = args
    known = (type(y) is int or type(y) is float) and (y == 2 or y == 1)
    if known and (type(x) is float or (hasattr(x, "dtype") and x.dtype.kind in CONTINUOUS)):
        return (square if y == 2 else positive).primitive, (x,)
    return power.primitive, args


power = binary(
    np.power,
    by_base,
    by_exponent,
    "x ** y",
    "The first operand to the power of the second. ``x ** 0`` has gradient 0 in x, and ``0 ** y`` "
    "in y;\nfor a negative x the gradient in y is nan.",
    rewrite=_power_rewrite,
    expansion=of_products,
    takes_complex=True,
)
float_power = binary(
    np.float_power,
    by_base,
    by_exponent,
    "float_power(x, y)",
    "Power, computed in float64.",
    takes_complex=True,
)
remainder = binary(
    np.remainder,
    lambda g, z, x, y: g,
    lambda g, z, x, y: -g * np.floor_divide(x, y),
    "remainder(x, y)",
    "Remainder with the sign of the divisor, as Python's ``%``. Of constants, an ndarray.",
    arrays=True,
)
fmod = binary(
    np.fmod,
    lambda g, z, x, y: g,
    lambda g, z, x, y: -g * np.trunc(x / y),
    "fmod(x, y)",
    "Remainder with the sign of the dividend. Of constants, an ndarray.",
    arrays=True,
)

# Exponentials and logarithms ---------------------------------------------------------------------

exp = analytic(
    np.exp, lambda g, y, x: g * y, "exp(x)", "Exponential function.", pairs=pairs.exponential
)
exp2 = analytic(
    np.exp2, lambda g, y, x: g * (_LN2 * y), "exp2(x)", "Two to the power of the operand."
)
expm1 = analytic(
    np.expm1, lambda g, y, x: g * np.exp(x), "expm1(x)", "``exp(x) - 1``, exact for small x."
)
log = analytic(np.log, lambda g, y, x: g / x, "log(x)", "Natural logarithm; gradient inf at 0.")
log2 = analytic(np.log2, lambda g, y, x: g / (_LN2 * x), "log2(x)", "Logarithm to base 2.")
log10 = analytic(np.log10, lambda g, y, x: g / (_LN10 * x), "log10(x)", "Logarithm to base 10.")
log1p = analytic(
    np.log1p, lambda g, y, x: g / (1 + x), "log1p(x)", "``log(1 + x)``, exact for small x."
)


def _below(x: Array, z: Array) -> Any:
    """``x - z`` for z = logaddexp(x, y), without nan where both are infinite."""
    same = np.logical_and(x == z, np.isinf(z))
    return np.where(same, 0.0, x) - np.where(same, 0.0, z)


def _weight(exp: np.ufunc, x: Array, y: Array, z: Array) -> Any:
    """The weight of x in z = logaddexp(x, y); what is lost in rounding z cancels."""
    one, other = exp(_below(x, z)), exp(_below(y, z))
    return one / (one + other)


logaddexp = binary(
    np.logaddexp,
    lambda g, z, x, y: g * _weight(np.exp, x, y, z),
    lambda g, z, x, y: g * _weight(np.exp, y, x, z),
    "logaddexp(x, y)",
    "``log(exp(x1) + exp(x2))``; neither it nor its gradient overflows.",
)
logaddexp2 = binary(
    np.logaddexp2,
    lambda g, z, x, y: g * _weight(np.exp2, x, y, z),
    lambda g, z, x, y: g * _weight(np.exp2, y, x, z),
    "logaddexp2(x, y)",
    "``log2(2 ** x1 + 2 ** x2)``; neither it nor its gradient overflows.",
)

# Trigonometric and hyperbolic functions ----------------------------------------------------------

sin = analytic(np.sin, lambda g, y, x: g * np.cos(x), "sin(x)", "Sine.")
cos = analytic(np.cos, lambda g, y, x: -g * np.sin(x), "cos(x)", "Cosine.")
tan = analytic(np.tan, lambda g, y, x: g * (1 + y * y), "tan(x)", "Tangent.")


def _root(x: Any) -> Any:
    """``sqrt(1 - x * x)``; of complex numbers as on that side of a branch cut on which x lies.

    ``x + 1`` and ``1 - x`` would lose the sign of an imaginary part of 0, which tells the side.
    """
    if x.dtype.kind != "c":
        return np.sqrt((1 - x) * (1 + x))
    return np.sqrt(-(x - 1)) * np.sqrt(x - (-1))


arcsin = analytic(np.arcsin, lambda g, y, x: g / _root(x), "arcsin(x)", "Inverse sine.")
arccos = analytic(np.arccos, lambda g, y, x: -g / _root(x), "arccos(x)", "Inverse cosine.")
arctan = analytic(np.arctan, lambda g, y, x: g / (1 + x * x), "arctan(x)", "Inverse tangent.")


def _over_squares(part: Any, x: Array, y: Array) -> Any:
    """``part / (x * x + y * y)``, whose squares may neither overflow nor vanish."""
    with np.errstate(over="ignore", under="ignore"):
        squares = x * x + y * y
        if type(squares) is np.ndarray and squares.size:
            limits = np.finfo(squares.dtype)
            if squares.min() > limits.tiny / limits.eps and squares.max() < np.inf:
                return part / squares
    unit = np.maximum(np.abs(x), np.abs(y))
    limits = np.finfo(unit.dtype)
    one = 1.0 / np.minimum(np.maximum(unit, float(limits.tiny)), float(limits.max))
    u, v = x * one, y * one
    return (part * one) * (one / (u * u + v * v))


arctan2 = binary(
    np.arctan2,
    lambda g, z, x, y: g * _over_squares(y, x, y),
    lambda g, z, x, y: -g * _over_squares(x, x, y),
    "arctan2(x, y)",
    "Angle of the point with ordinate x1 and abscissa x2; its gradients at the origin are nan.",
)


def _leg(g: Any, z: Any, leg: Any, x: Any, y: Any) -> Any:
    """``g * leg / z``, and 0 at the origin."""
    value = g * (leg / np.where(z == 0, 1.0, z))
    return kinked(kinked(value, g, x, z), g, y, z)


hypot = binary(
    np.hypot,
    lambda g, z, x, y: _leg(g, z, x, x, y),
    lambda g, z, x, y: _leg(g, z, y, x, y),
    "hypot(x, y)",
    "``sqrt(x1 ** 2 + x2 ** 2)`` without overflow; its gradients at the origin are 0.",
)


def _over_root(g: Any, x: Any) -> Any:
    """``g / sqrt(1 + x * x)``, whose square may not overflow."""
    if x.dtype.kind != "c":
        return g / np.hypot(1.0, x)
    root = np.sqrt(1 - 1j * x) * np.sqrt(1 + 1j * x)
    # On a branch cut the root may be that of the other side.
    turned = np.real(np.conjugate(root) * np.cosh(np.arcsinh(x))) < 0
    return g / np.where(turned, -root, root)


sinh = analytic(np.sinh, lambda g, y, x: g * np.cosh(x), "sinh(x)", "Hyperbolic sine.")
cosh = analytic(np.cosh, lambda g, y, x: g * np.sinh(x), "cosh(x)", "Hyperbolic cosine.")
tanh = analytic(np.tanh, lambda g, y, x: g * (1 - y * y), "tanh(x)", "Hyperbolic tangent.")
arcsinh = analytic(
    np.arcsinh, lambda g, y, x: _over_root(g, x), "arcsinh(x)", "Inverse hyperbolic sine."
)
arccosh = analytic(
    np.arccosh,
    lambda g, y, x: g / (np.sqrt(x - 1) * np.sqrt(x - (-1))),
    "arccosh(x)",
    "Inverse hyperbolic cosine.",
    safe=2.0,
)
arctanh = analytic(
    np.arctanh,
    lambda g, y, x: g / ((1 - x) * (1 + x)),
    "arctanh(x)",
    "Inverse hyperbolic tangent.",
)
deg2rad = unary(np.deg2rad, lambda g, y, x: g * _DEGREE, _TO_RADIANS, "Degrees to radians.")
rad2deg = unary(np.rad2deg, lambda g, y, x: g / _DEGREE, _TO_DEGREES, "Radians to degrees.")
radians = unary(np.radians, lambda g, y, x: g * _DEGREE, _TO_RADIANS, "Degrees to radians.")
degrees = unary(np.degrees, lambda g, y, x: g / _DEGREE, _TO_DEGREES, "Radians to degrees.")

# Signs and choices -------------------------------------------------------------------------------

copysign = binary(
    np.copysign,
    lambda g, z, x, y: _signed(g * np.copysign(1.0, y), x),
    None,
    "copysign(x, y)",
    "The magnitude of the first operand with the sign of the second.",
)
heaviside = binary(
    np.heaviside,
    None,
    lambda g, z, x, y: np.where(x == 0, g, 0.0),
    "heaviside(x, y)",
    "0 for negative x1, 1 for positive x1, and x2 where x1 is 0.",
)
ldexp = binary(
    np.ldexp,
    lambda g, z, x, y: np.ldexp(g, y),
    None,
    "ldexp(x, y)",
    "``x1 * 2 ** x2`` for integers x2.",
)

where_p = elementwise(
    "where",
    np.where,
    (None, lambda g, z, c, x, y: np.where(c, g, 0.0), lambda g, z, c, x, y: np.where(c, 0.0, g)),
    "where(x, y, z)",
    source=numpy_source("where"),
    takes_complex=True,
    pairs=pairs.chosen,
)

MISSING: Any = object()

# Compositions ------------------------------------------------------------------------------------


def _both(results: tuple[Any, Any], out: Any, name: str) -> tuple[Any, Any]:
    """Write two results into the two arrays of ``out``, of which either may be None."""
    if out is None:
        return results
    if not isinstance(out, tuple) or len(out) != 2:
        raise TypeError(f"{name} has two results: out= takes a tuple of two arrays")
    first, second = (delivered(r, o, name) for r, o in zip(results, out))
    return first, second


true_divide = divide
abs = absolute
mod = remainder
pow = power
