"""NumPy's functions that write into their first argument: ``copyto``, ``put``, ``place`` and others.

They are in-place writes, so the gradient flows to the values that were written and to those that stayed.
A plain array as the target would lose the gradient of tensors that are written into it: that is
refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops.declare.axes import one_axis
from tapegrad.ops.declare.ufunc import as_tensor, data_of, operand
from tapegrad.ops.shape.selecting import along_axis, take
from tapegrad.tape.array.mutation import promoted
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import functions, implements
from tapegrad.tape.core.types import Array, ArrayLike

__all__ = ["copyto", "fill_diagonal", "place", "put", "put_along_axis", "putmask"]


def _writes(numpys: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function that writes into its first argument, if that is a tensor."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        def write(target: Any, *args: Any, **kwargs: Any) -> None:
            if isinstance(target, Tensor):
                function(target, *args, **kwargs)
            else:
                _into_array(numpys, target, args, kwargs)

        write.__name__ = write.__qualname__ = numpys.__name__
        write.__doc__ = function.__doc__
        write.__wrapped__ = function  # type: ignore[attr-defined]  # for its signature
        return implements(numpys)(write)

    return register


def _into_array(numpys: Any, target: Any, args: Any, kwargs: Any) -> None:
    """Let NumPy write into a plain array, unless a gradient would be lost."""
    name = numpys.__name__
    given = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)]
    inner = max(given, key=lambda a: a.live_trace.level)
    if inner.live_trace.level or any(not a.constant for a in given):
        tensor = promoted(target) if isinstance(target, np.ndarray) else None
        if tensor is not None:
            functions[numpys](tensor, *args, **kwargs)
            return
        inner.live_trace.appearance.apply_foreign(
            inner, f"numpy.{name}", numpys, (target, *args), kwargs,
            f"{name} writes into its first argument: make it a tensor, so that the gradient of the "
            "values is kept",
        )  # fmt: skip
        return
    numpys(target, *(data_of(a, name) for a in args),
           **{k: data_of(a, name) for k, a in kwargs.items()})  # fmt: skip


def _cycled(values: Array, count: int) -> Any:
    """Return `count` of the flattened values, which are repeated if they are fewer."""
    values = np.ravel(as_tensor(values))
    n = values.shape[0]
    if n == count:
        return values
    if n > count:
        return values[:count]
    if n == 1:
        return np.broadcast_to(values, (count,))
    return take(values, np.arange(count) % n)


@_writes(np.copyto)
def copyto(dst: Any, src: Any, casting: str = "same_kind", where: ArrayLike = True) -> None:
    """Write values into a tensor, in place; differentiable in both.

    Parameters
    ----------
    dst : Tensor
        What is written to.
    src : array_like
        Values; broadcast to the shape of `dst`.
    casting : str
        NumPy's rule for the change of dtype.
    where : array_like of bool
        Where it is false, `dst` keeps its values.

    Examples
    --------
    >>> import tapegrad as tg
    >>> x = tg.tensor([1.0, 2.0])
    >>> tg.copyto(x, 0.0, where=[True, False])
    >>> x
    Tensor([0., 2.])
    """
    src = as_tensor(src)
    if not np.can_cast(src.dtype, dst.dtype, casting):  # type: ignore[arg-type]
        raise TypeError(
            f"Cannot cast array data from {src.dtype!r} to {dst.dtype!r} according to the rule "
            f"{casting!r}"
        )
    where = operand(where)
    dst[...] = src if where is True else np.where(where, src, dst)


@_writes(np.put)
def put(a: ArrayLike, ind: Any, v: ArrayLike, mode: str = "raise") -> None:
    """Write values at indices of the flattened tensor, in place.

    Parameters
    ----------
    a : Tensor
        What is written to.
    ind : array_like of int
        Where; of an index that occurs twice, the last value stays.
    v : array_like
        Values; repeated if they are fewer than the indices.
    mode : {'raise', 'wrap', 'clip'}
        What is done about indices outside.

    Examples
    --------
    >>> import tapegrad as tg
    >>> x = tg.zeros(3)
    >>> tg.put(x, [0, 2], [1.0, 5.0])
    >>> x
    Tensor([1., 0., 5.], dtype=float32)
    """
    ind = np.ravel(np.asarray(data_of(ind, "put")))
    ind = ind if ind.size else ind.astype(np.intp)
    numbers = np.take(np.arange(a.size), ind, mode=mode)  # type: ignore[call-overload]
    v = as_tensor(v)
    if v.size and ind.size:
        _write_flat(a, numbers, v)


def _write_flat(a: Array, numbers: Array, values: Array) -> None:
    if not a.ndim:
        a[...] = _cycled(values, numbers.size)[-1]
    else:
        a[np.unravel_index(numbers, a.shape)] = _cycled(values, numbers.size)


@_writes(np.putmask)
def putmask(a: ArrayLike, mask: ArrayLike, values: ArrayLike) -> None:
    """Write values where a mask is true, in place: each at its own place in the flattened tensor.

    Parameters
    ----------
    a : Tensor
        What is written to.
    mask : array_like of bool
        Of the shape of `a`.
    values : array_like
        Repeated if they are fewer than the elements of `a`.

    Examples
    --------
    >>> import tapegrad as tg
    >>> x = tg.tensor([1.0, -2.0])
    >>> tg.putmask(x, x < 0, 0.0)
    >>> x
    Tensor([1., 0.])
    """
    mask = operand(mask)
    if np.size(mask) != a.size:
        raise ValueError("putmask: mask and data must be the same size")
    values = as_tensor(values)
    if values.size:
        full = np.reshape(_cycled(values, a.size), a.shape)
        a[...] = np.where(np.reshape(mask, a.shape), full, a)


@_writes(np.place)
def place(arr: ArrayLike, mask: ArrayLike, vals: Any) -> None:
    """Write values where a mask is true, in place: the first value at the first such place.

    Parameters
    ----------
    arr : Tensor
        What is written to.
    mask : array_like of bool
        Of the shape of `arr`.
    vals : array_like
        Repeated if they are fewer than the places.

    Examples
    --------
    >>> import tapegrad as tg
    >>> x = tg.tensor([1.0, -2.0, -3.0])
    >>> tg.place(x, x < 0, [5.0, 6.0])
    >>> x
    Tensor([1., 5., 6.])
    """
    mask = operand(mask)
    if np.size(mask) != arr.size:
        raise ValueError("place: mask and data must be the same size")
    values = np.ravel(as_tensor(vals))
    if not values.shape[0]:
        if np.any(mask):
            raise ValueError("Cannot insert from an empty array!")
        return
    mask = np.reshape(np.not_equal(mask, 0), -1)
    # The k-th true place gets value k; the others get any, and do not count.
    rank = np.maximum(np.cumsum(mask) - 1, 0) % values.shape[0]
    flat = np.where(mask, values[rank], np.ravel(arr))
    arr[...] = np.reshape(flat, arr.shape)


@_writes(np.put_along_axis)
def put_along_axis(arr: ArrayLike, indices: ArrayLike, values: ArrayLike, axis: int | None) -> None:
    """Write values, along an axis, at the places that an array of as many axes names, in place.

    Parameters
    ----------
    arr : Tensor
        What is written to.
    indices : array_like of int
        With as many axes as `arr`.
    values : array_like
    axis : int or None
        None flattens `arr`.

    Examples
    --------
    >>> import tapegrad as tg
    >>> x = tg.zeros((2, 2))
    >>> tg.put_along_axis(x, [[1], [0]], 3.0, axis=1)
    >>> x
    Tensor([[0., 3.],
            [3., 0.]], dtype=float32)
    """
    indices = operand(indices)
    if axis is None:
        if np.ndim(indices) != 1:
            raise ValueError("when axis=None, `indices` must have a single dimension.")
        put(arr, indices, values)
        return
    arr[along_axis(arr, indices, one_axis(axis, arr.ndim))] = values


@_writes(np.fill_diagonal)
def fill_diagonal(a: ArrayLike, val: ArrayLike, wrap: bool = False) -> None:
    """Write values on the main diagonal, in place.

    Parameters
    ----------
    a : Tensor
        A matrix; or more axes, of one length.
    val : array_like
        Repeated if they are fewer than the places.
    wrap : bool
        Whether the diagonal of a tall matrix begins anew after its end.

    Examples
    --------
    >>> import tapegrad as tg
    >>> x = tg.zeros((2, 2))
    >>> tg.fill_diagonal(x, 1.0)
    >>> x
    Tensor([[1., 0.],
            [0., 1.]], dtype=float32)
    """
    if a.ndim < 2:
        raise ValueError("array must be at least 2-d")
    if a.ndim > 2 and len(set(a.shape)) > 1:
        raise ValueError("All dimensions of input must be of equal length")
    columns = a.shape[1]
    step = columns + 1 if a.ndim == 2 else sum(columns**i for i in range(a.ndim))
    stop = a.size if wrap or a.ndim > 2 else min(a.size, columns * columns)
    numbers = np.arange(0, stop, step)
    val = as_tensor(val)
    if numbers.size and val.size:
        _write_flat(a, numbers, val)
