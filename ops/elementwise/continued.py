"""What incomplete gamma and beta functions are computed with: continued fractions, careful logarithms.

Derivatives by parameters come out of the same recurrences, differentiated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from tapegrad.ops.elementwise.error_functions import chebyshev
from tapegrad.ops.elementwise.gamma_functions import STIRLING

__all__ = [
    "EPS",
    "Pairs",
    "digamma_rest",
    "fraction",
    "less_log1p",
    "stirling_rest",
    "where_needed",
]

#: Pairs of parameters, by their numbers.
Pairs: TypeAlias = Sequence[tuple[int, int]]

EPS = float(np.finfo(float).eps)
_TINY = 1e-300
_SERIES = [1 / (2 * k + 3) for k in range(18)]


def less_log1p(t: Any) -> Any:
    """Return ``t - log1p(t)``, which is nearly ``t**2 / 2``, without cancellation."""
    near = np.abs(t) < 0.5
    small = np.where(near, t, 0.0)
    r = small / (2.0 + small)
    square = r * r
    total: Any = 0.0
    for c in _SERIES[::-1]:
        total = total * square + c
    far = np.where(near, 0.5, t)
    return np.where(near, r * (small - 2.0 * square * total), far - np.log1p(far))


def stirling_rest(x: Any) -> Any:
    """Return what Stirling's formula for gammaln leaves out, for x from 8 on."""
    return chebyshev(STIRLING, 128.0 / x / x - 1.0) / x


def digamma_rest(x: Any) -> Any:
    """Return ``log(x) - 0.5 / x - digamma(x)``, for x from 10 on (DLMF 5.11.2)."""
    w = (1.0 / x) ** 2
    tail: Any = 0.0
    for c in (1 / 12, -691 / 32760, 1 / 132, -1 / 240, 1 / 252, -1 / 120, 1 / 12):
        tail = (tail + c) * w
    return tail


def where_needed(mask: Any, function: Callable[..., Any], out: Any, *args: Any) -> None:
    """Write ``function(*args)``, of the places in a mask, into the rows of `out`."""
    if mask.any():
        for row, value in zip(out, function(*(a[mask] for a in args))):
            row[mask] = value


def _product(x: Any, y: Any, pairs: Pairs) -> Any:
    """Multiply two values with their derivatives."""
    out = x * y[0]
    out[1:] += x[0] * y[1:]
    for row, (i, j) in enumerate(pairs, len(x) - len(pairs)):
        out[row] += x[1 + i] * y[1 + j] + x[1 + j] * y[1 + i]
    return out


def _quotient(x: Any, y: Any, pairs: Pairs) -> Any:
    """Divide a value with its derivatives by another one."""
    out = x / y[0]
    out[1:] -= x[0] * y[1:] / y[0] ** 2
    for row, (i, j) in enumerate(pairs, len(x) - len(pairs)):
        out[row] -= (x[1 + i] * y[1 + j] + x[1 + j] * y[1 + i]) / y[0] ** 2
        out[row] += 2 * x[0] * y[1 + i] * y[1 + j] / y[0] ** 3
    return out


def fraction(
    term: Callable[[int], tuple[Any, Any]], first: Any, most: int, pairs: Pairs = ()
) -> Any:
    """Return the continued fraction ``first + a(1) / (b(1) + a(2) / (b(2) + ...))`` and derivatives.

    By Lentz's algorithm. Everything is an array whose first axis holds a value, its derivatives by
    parameters, and its second derivatives by pairs of these. What does not converge within `most` terms
    is nan.

    Parameters
    ----------
    term : callable
        ``term(n)`` returns a(n) and b(n).
    first : array
    most : int
    pairs : sequence of pair of int
        Of which parameters there are second derivatives.
    """
    one = np.zeros_like(first)
    one[0] = 1.0
    c, d = np.array(first), np.zeros_like(first)
    c[0] = np.where(c[0] == 0, _TINY, c[0])
    f, left = c.copy(), np.ones(first.shape[1:], bool)
    for n in range(1, most):
        a, b = term(n)
        below = b + _product(a, d, pairs)
        below[0] = np.where(below[0] == 0, _TINY, below[0])
        d = _quotient(one, below, pairs)
        c = b + _quotient(a, c, pairs)
        c[0] = np.where(c[0] == 0, _TINY, c[0])
        factor = _product(c, d, pairs)
        change = f[0] * factor[1:]
        for row, (i, j) in enumerate(pairs, len(change) - len(pairs)):
            change[row] += f[1 + i] * factor[1 + j] + f[1 + j] * factor[1 + i]
        f[1:] = np.where(left, f[1:] * factor[0] + change, f[1:])
        f[0] = np.where(left, f[0] * factor[0], f[0])
        moving = np.abs(factor[0] - 1.0) > EPS
        if len(f) > 1:
            size = np.abs(f[1:]) + _TINY
            moving |= np.any(np.abs(change) > EPS * size, axis=0)
        left &= moving
        if not left.any():
            return f
    return np.where(left, math.nan, f)
