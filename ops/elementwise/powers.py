"""Powers: their rules, and the small whole ones as products."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.declare.kinks import differentiated, kinked
from tapegrad.tape.core.types import Array

_REAL = np.dtype(float)

__all__ = ["by_base", "by_exponent", "of_products"]


def by_base(g: Array, z: Array, x: Array, y: Array) -> Any:
    """``y * x ** (y - 1)``, which is 0 for ``x ** 0`` at x = 0 too."""
    if isinstance(y, int | float):
        return g * (y * x ** (y - 1)) if y else g * 0.0
    zero, smooth = y == 0, None
    if differentiated(y):  # where x is not 0, the derivative by y is a number: at y = 0 it is 1 / x
        usual = np.abs(x) > float(np.finfo(x.dtype).tiny)
        zero, smooth = (
            np.logical_and(zero, np.logical_not(usual)),
            np.logical_or(usual, np.real(y) > 1),
        )
    value = g * np.where(zero, 0.0, y * x ** np.where(zero, 1, y - 1))
    return value if smooth is None else kinked(value, g, y, smooth)


def by_exponent(g: Array, z: Array, x: Array, y: Array) -> Any:
    """``z * log(x)``, which is 0 at x = 0 (``0 ** y`` does not depend on y)."""
    if z.dtype.kind == "c" and getattr(x, "dtype", _REAL).kind != "c":
        x = x + 0j  # whose logarithm is that of complex numbers, for negative numbers too
    zero = x == 0
    value = g * np.where(zero, 0.0, z * np.log(np.where(zero, 1.0, x)))
    if differentiated(x):  # the derivative at 0 is -inf up to a first power, and 0 beyond
        value = kinked(value, g, x, np.logical_not(np.logical_and(zero, np.real(y) <= 1)))
    if differentiated(y):
        value = kinked(value, g, y, np.logical_not(np.logical_and(zero, np.real(y) <= 0)))
    return value


def of_products(x: Array, y: Any) -> Any:
    """Write small whole powers as products, which take a tenth of the time."""
    alike = isinstance(y, np.ndarray) and y.size and not any(y.strides)
    exponent = y.flat[0] if alike else y
    if not isinstance(exponent, int | float | np.generic):
        return NotImplemented
    if exponent == 3:
        return x * x * x
    return np.square(np.square(x)) if exponent == 4 else NotImplemented
