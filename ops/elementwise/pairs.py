"""Complex operations in real numbers: what kernels compute, which know no others.

A number is a pair of its parts; a real operand has the part 0, for NumPy computes with it too: an
infinity times it is nan. The formulas are those of NumPy's loops.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

__all__ = [
    "Pair", "added", "chosen", "conjugated", "divided", "exponential", "kept", "magnitude",
    "multiplied", "negated", "reciprocal", "squared", "subtracted",
]  # fmt: skip

#: Real and imaginary part.
Pair: TypeAlias = tuple[Any, Any]

_where: Any = np.where  # of whose tuples stubs say too much


def kept(x: Pair, *rest: Any, **params: Any) -> Pair:
    """Return the first operand."""
    return x


def added(x: Pair, y: Pair) -> Pair:
    """Add."""
    return x[0] + y[0], x[1] + y[1]


def subtracted(x: Pair, y: Pair) -> Pair:
    """Subtract."""
    return x[0] - y[0], x[1] - y[1]


def multiplied(x: Pair, y: Pair) -> Pair:
    """Multiply."""
    return x[0] * y[0] - x[1] * y[1], x[0] * y[1] + x[1] * y[0]


def squared(x: Pair) -> Pair:
    """Multiply by itself."""
    product = x[0] * x[1]
    return x[0] * x[0] - x[1] * x[1], product + product


def negated(x: Pair) -> Pair:
    """Change the sign."""
    return -x[0], -x[1]


def conjugated(x: Pair) -> Pair:
    """Change the sign of the imaginary part."""
    return x[0], -x[1]


def divided(x: Pair, y: Pair) -> Pair:
    """Divide by the greater part of the divisor first, whose square might overflow."""
    a, b = x
    c, d = y
    turned = np.abs(c) < np.abs(d)
    great, small = _where(turned, d, c), _where(turned, c, d)
    ratio = small / great
    scale = 1.0 / (great + small * ratio)
    first, second = _where(turned, b, a), _where(turned, a, b)
    re, im = (first + second * ratio) * scale, (second - first * ratio) * scale
    im = _where(turned, -im, im)
    nothing = great == 0  # infinities and nan, as of the parts alone
    size = np.abs(great)
    return _where(nothing, a / size, re), _where(nothing, b / size, im)


def reciprocal(x: Pair) -> Pair:
    """One over a number."""
    c, d = x
    turned = np.abs(c) < np.abs(d)
    great, small = _where(turned, d, c), _where(turned, c, d)
    ratio = small / great
    scale = 1.0 / (great + small * ratio)
    scaled = ratio * scale
    return _where(turned, scaled, scale), -_where(turned, scale, scaled)


def magnitude(x: Pair) -> Any:
    """Absolute value."""
    return np.hypot(x[0], x[1])


def exponential(x: Pair) -> Pair:
    """Exponential function, in two factors: one of them does not overflow before the product does."""
    a, b = x
    half = np.exp(0.5 * a)
    number = np.isfinite(b)
    # Where the angle is no number, the limits: 0 for a = -inf, an infinity without angle for inf.
    limit = _where(a == -np.inf, 0.0, np.nan)
    cosine = _where(number, np.cos(b), _where(a == np.inf, 1.0, limit))
    sine = _where(number, np.sin(b), limit)
    return half * cosine * half, _where(b == 0, b, half * sine * half)


def chosen(condition: Any, x: Pair, y: Pair) -> Pair:
    """Choose."""
    return _where(condition[0], x[0], y[0]), _where(condition[0], x[1], y[1])
