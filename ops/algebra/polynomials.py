"""Polynomials by their coefficients, the highest power first: compositions."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tapegrad.ops.algebra.calculus import convolve
from tapegrad.ops.declare.ufunc import as_tensor, data_of
from tapegrad.ops.shape.joining import concatenate
from tapegrad.tape.core.primitive import functions, implements
from tapegrad.tape.core.types import Array, ArrayLike

__all__ = ["polyadd", "polyder", "polyint", "polymul", "polysub", "polyval", "vander"]


def _coefficients(p: Any) -> Any:
    p = as_tensor(p)
    return np.reshape(p, 1) if not p.ndim else p


@implements(np.polyval)
def polyval(p: Any, x: ArrayLike) -> Array:
    """Value of a polynomial; differentiable in coefficients and places.

    Parameters
    ----------
    p : array_like
        Coefficients.
    x : array_like
        Where to evaluate.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.polyval([1.0, 0.0, -1.0], tg.tensor([2.0, 3.0]))
    Tensor([3., 8.])
    """
    p, x = _coefficients(p), as_tensor(x)
    value: Any = functions[np.zeros_like](x)
    for k in range(p.shape[0]):
        value = value * x + p[k]
    return value


def _summed(a1: Array, a2: Array, ufunc: np.ufunc) -> Any:
    """Apply a ufunc to coefficients; the shorter get zeros in front."""
    a, b = _coefficients(a1), _coefficients(a2)
    missing = a.shape[0] - b.shape[0]
    if missing > 0:
        b = concatenate((np.zeros(missing, b.dtype), b))
    elif missing < 0:
        a = concatenate((np.zeros(-missing, a.dtype), a))
    return functions[ufunc](a, b)


@implements(np.polyadd)
def polyadd(a1: ArrayLike, a2: ArrayLike) -> Array:
    """Coefficients of the sum of two polynomials.

    Parameters
    ----------
    a1, a2 : array_like, one axis
        Coefficients, that of the highest power first.

    Returns
    -------
    Tensor, one axis

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.polyadd(tg.tensor([1.0, 2.0]), [5.0])
    Tensor([1., 7.])
    """
    return _summed(a1, a2, np.add)


@implements(np.polysub)
def polysub(a1: ArrayLike, a2: ArrayLike) -> Array:
    """Coefficients of the difference of two polynomials.

    Parameters
    ----------
    a1, a2 : array_like, one axis
        Coefficients, that of the highest power first.

    Returns
    -------
    Tensor, one axis

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.polysub(tg.tensor([1.0, 2.0]), [5.0])
    Tensor([ 1., -3.])
    """
    return _summed(a1, a2, np.subtract)


@implements(np.polymul)
def polymul(a1: ArrayLike, a2: ArrayLike) -> Array:
    """Coefficients of the product of two polynomials; leading zeros are dropped first, as in NumPy.

    Parameters
    ----------
    a1, a2 : array_like, one axis
        Coefficients, that of the highest power first.

    Returns
    -------
    Tensor, one axis

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.polymul(tg.tensor([1.0, 1.0]), [1.0, -1.0])
    Tensor([ 1.,  0., -1.])
    """
    return convolve(_trimmed(a1), _trimmed(a2))


def _trimmed(p: Any) -> Any:
    p = _coefficients(p)
    places = np.flatnonzero(data_of(p != 0, "polymul"))
    return p[places[0] :] if places.size else p[-1:]


def _order(m: Array, name: str) -> int:
    m = operator.index(m)
    if m < 0:
        raise ValueError(f"Order of {name} must be positive")
    return m


@implements(np.polyder)
def polyder(p: Any, m: int = 1) -> Array:
    """Coefficients of the `m`-th derivative of a polynomial.

    Parameters
    ----------
    p : array_like, one axis
        Coefficients, that of the highest power first.
    m : int

    Returns
    -------
    Tensor, one axis

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.polyder(tg.tensor([1.0, 5.0, 7.0]))
    Tensor([2., 5.])
    """
    p = _coefficients(p)
    for _ in range(_order(m, "derivative")):
        n = p.shape[0] - 1
        p = p[:-1] * np.arange(n, 0, -1)
    return p


@implements(np.polyint)
def polyint(p: Any, m: int = 1, k: Any = None) -> Array:
    """Coefficients of the `m`-th integral of a polynomial.

    Parameters
    ----------
    p : array_like
        Coefficients.
    m : int
        How often to integrate.
    k : array_like, optional
        Constants of integration, the first integral's first; one number for all of them.

    Returns
    -------
    Tensor, one axis

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.polyint(tg.tensor([2.0, 5.0]), k=7.0)
    Tensor([1., 5., 7.])
    """
    m = _order(m, "integral")
    p = _coefficients(p)
    constants = _coefficients(np.zeros(m) if k is None else k)
    if constants.shape[0] == 1 and m > 1:
        constants = np.broadcast_to(constants, (m,))
    if constants.shape[0] < m:
        raise ValueError("k must be a scalar or a rank-1 array of length 1 or >m.")
    for i in range(m):
        n = p.shape[0]
        p = concatenate((p / np.arange(n, 0, -1), constants[i : i + 1]))
    return p


@implements(np.vander)
def vander(x: ArrayLike, N: int | None = None, increasing: bool = False) -> Array:
    """Powers of a vector's elements, as the columns of a matrix.

    Parameters
    ----------
    x : array_like
        A vector.
    N : int, optional
        Number of columns; by default as many as rows.
    increasing : bool
        Whether the power 0 comes first.

    Returns
    -------
    Tensor, shape (x.size, N)

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.vander(tg.tensor([2.0, 3.0]), 3)
    Tensor([[4., 2., 1.],
            [9., 3., 1.]])
    """
    x = as_tensor(x)
    if x.ndim != 1:
        raise ValueError("x must be a one-dimensional array or sequence.")
    x = functions["cast"](x, np.promote_types(x.dtype, int))  # as NumPy does
    n = x.shape[0]
    count = n if N is None else N
    column = np.expand_dims(x, 1)
    ones = np.ones((n, min(count, 1)), x.dtype)
    factors = concatenate((ones, np.broadcast_to(column, (n, max(count - 1, 0)))), 1)
    powers = np.cumprod(factors, axis=1) if count else factors
    return powers if increasing else powers[:, ::-1]
