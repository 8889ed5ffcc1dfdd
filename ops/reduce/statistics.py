"""Covariance and correlation: compositions, differentiable in data and weights."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from tapegrad.ops.declare.fields import conjugated
from tapegrad.ops.declare.ufunc import as_tensor, owned
from tapegrad.ops.shape.joining import concatenate
from tapegrad.tape.core.primitive import functions, implements
from tapegrad.tape.core.types import Array, ArrayLike, DTypeLike

__all__ = ["corrcoef", "cov"]


def _rows(m: Array, y: Array, rowvar: bool, dtype: DTypeLike) -> Any:
    """Return the variables as rows of one matrix of floats."""
    arrays = [as_tensor(m)] if y is None else [as_tensor(m), as_tensor(y)]
    for a, name in zip(arrays, "my"):
        if a.ndim > 2:
            raise ValueError(f"{name} has more than 2 dimensions")
    dtype = np.result_type(*(a.dtype for a in arrays), np.float64) if dtype is None else dtype
    rows: list[Any] = []
    for a in arrays:
        matrix = np.atleast_2d(functions["cast"](a, np.dtype(dtype)))
        lying = a.ndim < 2 or (bool(rows) and matrix.shape[0] == 1)
        rows.append(matrix if rowvar or lying else matrix.T)
    if not rows[0].shape[0]:
        return rows[0]
    return rows[0] if len(rows) == 1 else concatenate(rows, 0)


def _weights(weights: Array, count: int, name: str) -> Any:
    weights = as_tensor(weights)
    if weights.ndim > 1:
        raise RuntimeError(f"cannot handle multidimensional {name}")
    if weights.shape[0] != count:
        raise RuntimeError(f"incompatible numbers of samples and {name}")
    if np.any(weights < 0):
        raise ValueError(f"{name} cannot be negative")
    return weights


@implements(np.cov)
def cov(
    m: ArrayLike, y: ArrayLike = None, rowvar: bool = True, bias: bool = False, ddof: int | None = None,
    fweights: Any = None, aweights: Any = None, *, dtype: DTypeLike = None,
) -> Array:  # fmt: skip
    """Covariance matrix.

    Parameters
    ----------
    m : array_like
        Variables in rows, observations in columns.
    y : array_like, optional
        More variables.
    rowvar : bool
        ``False``: variables are in columns.
    bias : bool
        Whether the divisor is N, not N - 1.
    ddof : int, optional
        The divisor is N - `ddof`; takes precedence over `bias`.
    fweights : array_like of int, optional
        How often each observation counts.
    aweights : array_like, optional
        How important each observation is.
    dtype : dtype_like, optional
        The dtype to compute in, by default at least float64.

    Returns
    -------
    Tensor, shape (n, n)
        For n variables; a number for one.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.cov(tg.tensor([1.0, 2.0, 3.0]))
    Tensor(1.)
    """
    if ddof is not None and ddof != int(ddof):
        raise ValueError("ddof must be integer")
    x = _rows(m, y, bool(rowvar), dtype)
    if not x.shape[0]:
        return as_tensor(np.zeros((0, 0)))
    ddof = (0 if bias else 1) if ddof is None else int(ddof)
    count = x.shape[1]
    weights = importance = None
    if fweights is not None:
        weights = _weights(fweights, count, "fweights")
        if np.any(weights != np.rint(weights)):
            raise TypeError("fweights must be integer")
    if aweights is not None:
        importance = _weights(aweights, count, "aweights")
        weights = importance if weights is None else weights * importance
    if weights is None:
        free: Any = count - ddof
        centred = scaled = x - np.mean(x, axis=1, keepdims=True)
    else:
        total = np.sum(weights)
        free = total - ddof
        if importance is not None and ddof:
            free = total - ddof * np.sum(weights * importance) / total
        centred = x - np.sum(x * weights, axis=1, keepdims=True) / total
        scaled = centred * weights
    if free <= 0:
        warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=2)
        free = np.float64(0)
    result = np.matmul(centred, conjugated(scaled).T) / free
    return owned(np.squeeze(result))


@implements(np.corrcoef)
def corrcoef(
    x: ArrayLike, y: ArrayLike = None, rowvar: bool = True, *, dtype: DTypeLike = None
) -> Array:
    """Matrix of the correlation coefficients of variables.

    Parameters
    ----------
    x : array_like
        Variables in rows, observations in columns.
    y : array_like, optional
        More variables.
    rowvar : bool
        ``False``: variables are in columns.
    dtype : dtype_like, optional
        The dtype to compute in, by default at least float64.

    Returns
    -------
    Tensor, shape (n, n)
        For n variables; a number for one.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.corrcoef(tg.tensor([1.0, 2.0, 3.0]), [1.0, 2.0, 3.0])
    Tensor([[1., 1.],
            [1., 1.]])
    """
    c = cov(x, y, rowvar, dtype=dtype)
    if not c.ndim:
        return c / c
    spread = np.sqrt(np.real(np.diagonal(c)))
    c = c / np.expand_dims(spread, 1) / spread
    if c.dtype.kind == "c":
        return np.clip(np.real(c), -1, 1) + 1j * np.clip(np.imag(c), -1, 1)
    return np.clip(c, -1, 1)
