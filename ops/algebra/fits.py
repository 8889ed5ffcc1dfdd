"""Polynomials by their roots, their roots, their quotients, and fits of them.

>>> import numpy as np
>>> import tapegrad as tg
>>> x = np.array([0.0, 1.0, 2.0])
>>> tg.jacobian(lambda y: np.polyfit(x, y, 2))(x**2).round(4) + 0.0
array([[ 0.5, -1. ,  0.5],
       [-1.5,  2. , -0.5],
       [ 1. ,  0. ,  0. ]])
>>> tg.jacobian(np.roots)(np.array([1.0, -3.0, 2.0])).round(4)
array([[-4., -2., -1.],
       [ 1.,  1.,  1.]])
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from tapegrad.ops.algebra.eigenvalues import eigvals
from tapegrad.ops.algebra.systems import inv, lstsq
from tapegrad.ops.declare.ufunc import as_tensor, data_of, operand
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.primitive import functions, implements
from tapegrad.tape.core.types import ArrayLike

__all__: list[str] = []


def _floats(a: ArrayLike) -> Any:
    a = as_tensor(a)
    return a if a.dtype.kind in CONTINUOUS else functions["cast"](a, np.dtype(float))


@implements(np.poly)
def _poly(seq_of_zeros: ArrayLike) -> Any:
    """The coefficients of a polynomial with these roots, or a matrix's characteristic polynomial."""
    zeros = _floats(np.atleast_1d(operand(seq_of_zeros)))
    if zeros.ndim == 2 and zeros.shape[0] == zeros.shape[1] != 0:
        zeros = eigvals(zeros)
    elif zeros.ndim != 1:
        raise ValueError("input must be 1d or non-empty square 2d array.")
    if not zeros.size:
        return 1.0
    none: Any = np.zeros(1, zeros.dtype)
    a: Any = np.ones(1, zeros.dtype)
    for k in range(zeros.shape[0]):
        a = np.concatenate((a, none)) - zeros[k] * np.concatenate((none, a))
    if zeros.dtype.kind == "c" and np.all(np.sort(zeros) == np.sort(np.conj(zeros))):
        return np.real(a)
    return a


@implements(np.polydiv)
def _polydiv(u: Any, v: Any) -> tuple[Any, Any]:
    """The quotient and the remainder."""
    u, v = (_floats(np.atleast_1d(operand(a))) for a in (u, v))
    many, few = u.shape[0], v.shape[0]
    rest, quotient = u, []
    for k in range(max(many - few + 1, 0)):
        digit = rest[k] / v[0]
        quotient.append(digit)
        part = np.concatenate((np.zeros(k), digit * v, np.zeros(many - few - k)))
        rest = rest - part
    whole: Any = np.stack(quotient) if quotient else np.zeros(1)
    values = np.asarray(data_of(rest, "polydiv"))
    start = 0
    while np.allclose(values[start], 0, rtol=1e-14) and start < many - 1:
        start += 1
    return whole, rest[start:]


@implements(np.roots)
def _roots(p: ArrayLike) -> Any:
    """The roots of a polynomial; those that coincide have no derivative."""
    p = _floats(np.atleast_1d(operand(p)))
    if p.ndim != 1:
        raise ValueError("Input must be a rank-1 array.")
    places = np.flatnonzero(data_of(p, "roots"))
    if not len(places):
        return np.array([])
    first, last = int(places[0]), int(places[-1])
    trailing: Any = np.zeros(p.shape[0] - last - 1, p.dtype)
    p = p[first : last + 1]
    degree = last - first
    if not degree:
        return trailing
    below: Any = np.eye(degree - 1, degree, dtype=p.dtype)
    companion = np.concatenate((np.reshape(-p[1:] / p[0], (1, degree)), below))
    return np.concatenate((eigvals(companion), trailing))


@implements(np.polyfit)
def _polyfit(
    x: Any, y: Any, deg: Any, rcond: Any = None, full: bool = False, w: Any = None, cov: Any = False
) -> Any:
    """Least squares by a polynomial, differentiated by points, values and weights."""
    order = int(deg) + 1
    x, y = _floats(x), _floats(y)
    if order < 1:
        raise ValueError("expected deg >= 0")
    for wrong, words in (
        (x.ndim != 1, "expected 1D vector for x"),
        (x.size == 0, "expected non-empty vector for x"),
        (not 1 <= y.ndim <= 2, "expected 1D or 2D array for y"),
        (x.shape[0] != y.shape[0], "expected x and y to have same length"),
    ):
        if wrong:
            raise TypeError(words)
    rcond = x.shape[0] * float(np.finfo(x.dtype).eps) if rcond is None else rcond
    left, right = np.vander(x, order), y
    if w is not None:
        w = _floats(w)
        if w.ndim != 1:
            raise TypeError("expected a 1-d array for weights")
        if w.shape[0] != y.shape[0]:
            raise TypeError("expected w and y to have the same length")
        left = left * w[:, None]
        right = right * (w if y.ndim == 1 else w[:, None])
    scale = np.sqrt(np.sum(left * left, axis=0))
    left = left / scale
    c, residuals, rank, values = lstsq(left, right, rcond)
    c = (c.T / scale).T
    if full:
        return c, residuals, rank, values, rcond
    if rank != order:
        warnings.warn("Polyfit may be poorly conditioned", np.exceptions.RankWarning, stacklevel=4)
    if not cov:
        return c
    base = inv(np.matmul(left.T, left)) / np.outer(scale, scale)
    factor: Any = 1
    if cov != "unscaled":
        if x.shape[0] <= order:
            raise ValueError(
                "the number of data points must exceed order to scale the covariance matrix"
            )
        factor = residuals / (x.shape[0] - order)
    return c, base * factor if y.ndim == 1 else base[:, :, None] * factor
