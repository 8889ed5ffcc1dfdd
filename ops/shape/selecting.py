"""Selecting elements: diagonals, triangles, ``take``, sorting. All made of views and gathers."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.declare.axes import one_axis
from tapegrad.ops.declare.ufunc import as_tensor, data_of, delivered, flagged, operand, owned
from tapegrad.tape.array.application import apply
from tapegrad.tape.array.paths import HOLE
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import functions, implements, primitives
from tapegrad.tape.core.types import Array, ArrayLike

__all__ = [
    "bincount", "compress", "delete", "diag", "diagflat", "diagonal", "extract", "insert",
    "partition", "sort", "take", "take_along_axis", "tril", "triu",
]  # fmt: skip


@implements(np.diagonal)
def diagonal(a: ArrayLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """Return a diagonal of the matrices in two axes; a view, with the diagonal along its last axis.

    Parameters
    ----------
    a : array_like
        An array of two or more axes.
    offset : int
        Which diagonal; positive is above the main one.
    axis1, axis2 : int
        The axes of the matrices.

    Returns
    -------
    Tensor
        A view.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.diagonal(tg.arange(9.0).reshape(3, 3), 1)
    Tensor([1., 5.])
    """
    a = as_tensor(a)
    if a.ndim < 2:
        raise ValueError("diag requires an array of at least two dimensions")
    first, second = one_axis(axis1, a.ndim), one_axis(axis2, a.ndim)
    if first == second:
        raise ValueError("axis1 and axis2 cannot be the same")
    offset = int(offset)
    a = np.moveaxis(a, (first, second), (-2, -1))
    rows, columns = a.shape[-2:]
    down, right = max(-offset, 0), max(offset, 0)
    n = max(min(rows - down, columns - right), 0)
    return np.einsum("...ii->...i", a[..., down : down + n, right : right + n])


@implements(np.linalg.diagonal)
def _linalg_diagonal(x: ArrayLike, /, *, offset: int = 0) -> Array:
    return diagonal(x, offset, -2, -1)


@implements(np.diag)
def diag(v: ArrayLike, k: int = 0) -> Array:
    """Return the diagonal of a matrix (a copy), or the matrix with a vector on its diagonal.

    Parameters
    ----------
    v : array_like
        A matrix or a vector.
    k : int
        Which diagonal; positive ones are above the main one.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.diag(tg.tensor([1.0, 2.0]))
    Tensor([[1., 0.],
            [0., 2.]])
    """
    v = as_tensor(v)
    if v.ndim == 2:
        d = diagonal(v, k)
        return d if v.live_trace.level else np.copy(d)  # inside transformations a view, as in NumPy
    if v.ndim != 1:
        raise ValueError("Input must be 1- or 2-d.")
    k = int(k)
    n = v.shape[0] + abs(k)
    before = (max(-k, 0), max(k, 0))
    column = np.pad(np.reshape(v, (-1, 1)), ((before[0], before[1]), (0, 0)))
    return np.where(np.eye(n, k=k, dtype=bool), column, np.zeros((), v.dtype))


@implements(np.diagflat)
def diagflat(v: ArrayLike, k: int = 0) -> Array:
    """Return the matrix with the flattened values on its diagonal.

    Parameters
    ----------
    v : array_like
    k : int
        Which diagonal.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.diagflat(tg.tensor([[1.0, 2.0]])).shape
    (2, 2)
    """
    return diag(np.ravel(as_tensor(v)), k)


def _triangle(shape: tuple[int, ...], k: int) -> Any:
    """Mark the elements on and below the `k`-th diagonal; a vector counts as rows of a matrix."""
    rows, columns = shape[-2:] if len(shape) > 1 else (*shape, *shape)
    return np.tri(rows, columns, k, bool)


@implements(np.tril)
def tril(m: ArrayLike, k: int = 0) -> Array:
    """Return a copy with zeros above the `k`-th diagonal.

    Parameters
    ----------
    m : array_like, shape (..., m, n)
    k : int
        The last diagonal that is kept; positive ones are above the main one.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.tril(tg.ones((2, 2), dtype=float))
    Tensor([[1., 0.],
            [1., 1.]])
    """
    m = as_tensor(m)
    return np.where(_triangle(m.shape, k), m, np.zeros((), m.dtype))


@implements(np.triu)
def triu(m: ArrayLike, k: int = 0) -> Array:
    """Return a copy with zeros below the `k`-th diagonal.

    Parameters
    ----------
    m : array_like, shape (..., m, n)
    k : int
        The first diagonal that is kept; positive ones are above the main one.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.triu(tg.ones((2, 2), dtype=float))
    Tensor([[1., 1.],
            [0., 1.]])
    """
    m = as_tensor(m)
    return np.where(_triangle(m.shape, k - 1), np.zeros((), m.dtype), m)


@implements(np.take)
def take(
    a: ArrayLike, indices: ArrayLike, axis: int | None = None, out: Any = None, mode: str = "raise", *,
    constant: bool | None = None,
) -> Array:  # fmt: skip
    """Take elements by their index along an axis, or of the flattened array.

    Parameters
    ----------
    a : array_like
        Values.
    indices : array_like of int
        Which; an element may be taken several times.
    axis : int, optional
        By default the array is flattened.
    out : Tensor or ndarray, optional
        Where the result is written to.
    mode : {'raise', 'wrap', 'clip'}
        What is done about indices outside.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.take(tg.tensor([1.0, 2.0, 3.0]), [2, 0])
    Tensor([3., 1.])
    """
    a = as_tensor(a)
    if axis is None:
        a, axis = np.ravel(a), 0
    axis = one_axis(axis, a.ndim)
    index = operand(indices)
    if not isinstance(index, Tensor):
        index = np.asarray(index)
        if not index.size and index.dtype.kind == "f" and isinstance(indices, list | tuple):
            index = index.astype(np.intp)
    n = a.shape[axis]
    if mode == "wrap":
        index = index % n
    elif mode == "clip":
        index = np.minimum(np.maximum(index, 0), n - 1)
    elif mode != "raise":
        raise ValueError(f"clipmode must be one of 'clip', 'raise', or 'wrap' (got {mode!r})")
    result = a[(slice(None),) * axis + (index,)]
    return delivered(flagged(owned(result, a), constant), out, "take")


@implements(np.take_along_axis)
def take_along_axis(arr: ArrayLike, indices: ArrayLike, axis: int | None = -1) -> Array:
    """Take, along an axis, the elements that an array of indices of as many axes names.

    Parameters
    ----------
    arr : array_like
    indices : array_like of int
        With as many axes as `arr`.
    axis : int, optional
        None flattens `arr`.

    Returns
    -------
    Tensor, in the shape of the indices

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.take_along_axis(tg.tensor([[3.0, 1.0]]), [[1]], axis=1)
    Tensor([[1.]])
    """
    arr = as_tensor(arr)
    indices = operand(indices)
    if axis is None:
        if np.ndim(indices) != 1:
            raise ValueError("when axis=None, `indices` must have a single dimension.")
        arr, axis = np.ravel(arr), 0
    return arr[along_axis(arr, indices, one_axis(axis, arr.ndim))]


def along_axis(arr: Array, indices: ArrayLike, axis: int) -> tuple[Any, ...]:
    """Return the index of the elements that `indices` names along an axis."""
    ndim = np.ndim(indices)
    if ndim != arr.ndim:
        raise ValueError("`indices` and `arr` must have the same number of dimensions")
    grid = [
        indices
        if i == axis
        else np.reshape(np.arange(n), [-1 if k == i else 1 for k in range(ndim)])
        for i, n in enumerate(arr.shape)
    ]
    return tuple(grid)


@implements(np.sort)
def sort(
    a: ArrayLike, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: Any = None,
    descending: Any = None, constant: bool | None = None,
) -> Array:  # fmt: skip
    """Sort along an axis; the gradient goes to where each value came from.

    With `descending` the greatest comes first; nan are last all the same.

    Parameters
    ----------
    a : array_like
    axis : int, optional
        None flattens the array.
    kind : str, optional
    order : None
        As in NumPy.
    stable : bool, optional
        Whether equal elements keep their order.
    descending : bool, optional
        Whether the greatest come first.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.sort(tg.tensor([3.0, 1.0, 2.0]))
    Tensor([1., 2., 3.])
    """
    a = as_tensor(a)
    if axis is None:
        a, axis = np.ravel(a), 0
    axis = one_axis(axis, a.ndim)
    permutation = functions[np.argsort](a, axis, kind, order, stable=stable, descending=descending)
    return flagged(take_along_axis(a, permutation, axis), constant)


@implements(np.partition)
def partition(
    a: ArrayLike, kth: Any, axis: int | None = -1, kind: str = "introselect", order: Any = None
) -> Array:
    """Put the elements at places `kth` where sorting would; here the whole axis is sorted.

    Parameters
    ----------
    a : array_like
    kth : int or sequence of int
        The places that are right.
    axis : int, optional
        None flattens the array.
    kind : str
    order : None
        As in NumPy.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> float(tg.partition(tg.tensor([3.0, 1.0, 2.0]), 0)[0])
    1.0
    """
    a = as_tensor(a)
    if axis is None:
        a, axis = np.ravel(a), 0
    n = a.shape[one_axis(axis, a.ndim)]
    for k in np.ravel(np.asarray(data_of(kth, "partition"))).tolist():
        if not -n <= k < n:
            raise ValueError(f"kth(={k}) out of bounds ({n})")
    return sort(a, axis, order=order)


@implements(np.compress)
def compress(condition: ArrayLike, a: ArrayLike, axis: int | None = None, out: Any = None) -> Array:
    """Take the elements along an axis where a condition holds.

    Parameters
    ----------
    condition : array_like of bool, one axis
    a : array_like
    axis : int, optional
        Along which axis; by default the array is flattened.
    out : Tensor or ndarray, optional
        Where the result is written to.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.compress([True, False], tg.tensor([1.0, 2.0]))
    Tensor([1.])
    """
    index = np.flatnonzero(data_of(condition, "compress"))
    return take(a, index, axis, out)


@implements(np.extract)
def extract(condition: ArrayLike, arr: ArrayLike) -> Array:
    """Take the elements of the flattened array where a condition holds.

    Parameters
    ----------
    condition : array_like of bool
        As many elements as `arr`.
    arr : array_like

    Returns
    -------
    Tensor, one axis

    Examples
    --------
    >>> import tapegrad as tg
    >>> x = tg.tensor([1.0, 2.0])
    >>> tg.extract(x > 1, x)
    Tensor([2.])
    """
    return take(np.ravel(as_tensor(arr)), np.flatnonzero(data_of(condition, "extract")), 0)


@implements(np.delete)
def delete(arr: ArrayLike, obj: Any, axis: int | None = None) -> Array:
    """Return a copy without some of the elements along an axis.

    Parameters
    ----------
    arr : array_like
    obj : int, slice or array_like of int or bool
        Which are left out.
    axis : int, optional
        Along which axis; by default the array is flattened.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.delete(tg.tensor([1.0, 2.0, 3.0]), 1)
    Tensor([1., 3.])
    """
    arr = as_tensor(arr)
    if axis is None:
        arr, axis = np.ravel(arr), 0
    axis = one_axis(axis, arr.ndim)
    kept = np.delete(np.arange(arr.shape[axis]), data_of(obj, "delete"))
    return take(arr, kept, axis)


@implements(np.insert)
def insert(arr: ArrayLike, obj: Any, values: ArrayLike, axis: int | None = None) -> Array:
    """Insert values before given indices along an axis.

    Parameters
    ----------
    arr : array_like
    obj : int, slice or array_like of int
        Before which indices of `arr`.
    values : array_like
    axis : int, optional
        Along which axis; by default the array is flattened.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.insert(tg.tensor([1.0, 3.0]), 1, 2.0)
    Tensor([1., 2., 3.])
    """
    arr, values = as_tensor(arr), as_tensor(values)
    if axis is None:
        arr, axis = np.ravel(arr), 0
    axis = one_axis(axis, arr.ndim)
    index = data_of(obj, "insert")
    n = arr.shape[axis]
    # NumPy inserts numbers for us: 0 to n-1 for the old entries, and for the new ones what follows.
    single = not isinstance(index, slice) and np.ndim(index) == 0
    if single and values.ndim == arr.ndim:  # the block goes in as it is, with its own first axis
        values = np.moveaxis(values, 0, axis)
    count = values.shape[axis] if values.ndim == arr.ndim else 1
    if not single:
        count = len(np.insert(np.arange(n), index, -1)) - n
    order = np.insert(np.arange(n), index, n + np.arange(count))
    if single and 0 < values.ndim < arr.ndim:
        values = np.expand_dims(values, axis)
    block = np.broadcast_to(values, (*arr.shape[:axis], count, *arr.shape[axis + 1 :]))
    return take(np.concatenate([arr, functions["cast"](block, arr.dtype)], axis), order, axis)


@implements(np.bincount)
def bincount(x: ArrayLike, /, weights: ArrayLike = None, minlength: int = 0) -> Array:
    """Count how often each non-negative integer occurs, or sum weights; differentiable in those.

    Parameters
    ----------
    x : array_like of int
        Where each weight goes.
    weights : array_like, optional
        Without them the result is an array of counts.
    minlength : int
        The least length of the result.

    Returns
    -------
    ndarray of int, or Tensor
        Counts, or sums of weights.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.bincount([0, 1, 1], weights=tg.tensor([1.0, 2.0, 3.0]))
    Tensor([1., 5.])
    """
    x = data_of(x, "bincount")
    counts = np.bincount(x, minlength=minlength)
    if weights is None:
        return counts
    weights = functions["cast"](as_tensor(weights), np.dtype(float))
    x = np.asarray(x)
    if weights.shape != x.shape:
        raise ValueError("The weights and list don't have the same length.")
    params = {"shape": counts.shape, "spec": (HOLE,)}
    return apply(primitives["scatter_add"], (weights, x), params)
