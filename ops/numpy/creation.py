"""Creating tensors. The documented defaults are float32 for ``ones``, ``zeros`` and ``empty``."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from tapegrad.ops.declare.ufunc import as_tensor, common_dtype, data_of, flagged, operand
from tapegrad.ops.shape.views import data_below
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.primitive import functions, implements
from tapegrad.tape.core.types import Array, ArrayLike, DTypeLike, ShapeLike

__all__ = [
    "arange", "empty", "empty_like", "eye", "full", "full_like", "geomspace", "identity",
    "linspace", "logspace", "ones", "ones_like", "zeros", "zeros_like",
]  # fmt: skip


def _new(array: Array, constant: bool | None) -> Tensor:
    return Tensor(array, constant=constant, copy=False)


def empty(
    shape: ShapeLike, dtype: DTypeLike = np.float32, *, constant: bool | None = None
) -> Tensor:
    """Return a tensor with undefined values.

    Parameters
    ----------
    shape : int or sequence of int
    dtype : dtype_like
        float32 by default.
    constant : bool, optional
        Whether the tensor is a constant; integers always are.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.empty((2, 3)).shape
    (2, 3)
    """
    return _new(np.empty(shape, dtype), constant)


def zeros(
    shape: ShapeLike, dtype: DTypeLike = np.float32, *, constant: bool | None = None
) -> Tensor:
    """Return a tensor of zeros.

    Parameters
    ----------
    shape : int or sequence of int
    dtype : dtype_like
        float32 by default.
    constant : bool, optional
        Whether the tensor is a constant; integers always are.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.zeros(2)
    Tensor([0., 0.], dtype=float32)
    """
    return _new(np.zeros(shape, dtype), constant)


def ones(
    shape: ShapeLike, dtype: DTypeLike = np.float32, *, constant: bool | None = None
) -> Tensor:
    """Return a tensor of ones.

    Parameters
    ----------
    shape : int or sequence of int
    dtype : dtype_like
        float32 by default.
    constant : bool, optional
        Whether the tensor is a constant; integers always are.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.ones(2)
    Tensor([1., 1.], dtype=float32)
    """
    return _new(np.ones(shape, dtype), constant)


def full(
    shape: ShapeLike, fill_value: ArrayLike, dtype: DTypeLike = None, *,
    constant: bool | None = None,
) -> Tensor:  # fmt: skip
    """Return a tensor filled with a value; no gradient flows to it, but inside transformations.

    Parameters
    ----------
    shape : int or sequence of int
    fill_value : array_like
        A scalar, or an array that is broadcast.
    dtype : dtype_like, optional
        By default that of `fill_value`.
    constant : bool, optional
        Whether the tensor is a constant; integers always are.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.full(2, 7.0)
    Tensor([7., 7.])
    """
    if constant is not True and _is_traced(fill_value):
        dtype = as_tensor(fill_value).dtype if dtype is None else dtype
        return _filled(np.empty(shape, dtype), fill_value)
    return _new(np.full(shape, data_of(fill_value, "full"), dtype), constant)


def eye(
    N: int, M: int | None = None, k: int = 0, dtype: DTypeLike = float, *,
    constant: bool | None = None,
) -> Tensor:  # fmt: skip
    """Return a matrix with ones on a diagonal and zeros elsewhere.

    Parameters
    ----------
    N, M : int
        Rows and columns (by default as many).
    k : int
        Which diagonal; positive is above the main one.
    dtype : dtype_like
        float64 by default.
    constant : bool, optional
        Whether the tensor is a constant; integers always are.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.eye(2)
    Tensor([[1., 0.],
            [0., 1.]])
    """
    return _new(np.eye(N, M, k, dtype), constant)


def identity(n: int, dtype: DTypeLike = float, *, constant: bool | None = None) -> Tensor:
    """Return the identity matrix.

    Parameters
    ----------
    n : int
        The number of rows and columns.
    dtype : dtype_like, optional
        The dtype of the result.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor, shape (n, n)

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.identity(1)
    Tensor([[1.]])
    """
    return _new(np.identity(n, dtype), constant)


def arange(*args: Any, constant: bool | None = None, **kwargs: Any) -> Tensor:
    """Return evenly spaced values: ``arange([start,] stop[, step,], dtype=None)``.

    Parameters
    ----------
    start, stop, step : number
        As in ``numpy.arange``; integers give a constant integer tensor.
    dtype : dtype_like, optional
    constant : bool, optional
        Whether the tensor is a constant; integers always are.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.arange(3.0)
    Tensor([0., 1., 2.])
    """
    values = [data_of(a, "arange") for a in args]
    named = {k: data_of(v, "arange") for k, v in kwargs.items()}
    return _new(np.arange(*values, **named), constant)


def linspace(
    start: ArrayLike, stop: ArrayLike, num: int = 50, endpoint: bool = True,
    dtype: DTypeLike = None, axis: int = 0, *, constant: bool | None = None,
) -> Tensor:  # fmt: skip
    """Return `num` evenly spaced values from `start` to `stop`; differentiable in both.

    Parameters
    ----------
    start, stop : array_like
    num : int
    endpoint : bool
        Whether `stop` is the last value.
    dtype : dtype_like, optional
    axis : int
        The axis of the values if `start` or `stop` is an array.
    constant : bool, optional
        Whether the tensor is a constant; integers always are.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.linspace(0, 1, 3)
    Tensor([0. , 0.5, 1. ])
    """
    start, stop = operand(start), operand(stop)
    if not _variable(start, stop):
        constant = _inherited(constant, start, stop)
        start, stop = data_of(start, "linspace"), data_of(stop, "linspace")
        return _new(np.linspace(start, stop, num, endpoint, False, dtype, axis), constant)
    start, stop, full = _ends(start, stop, num)
    fraction = _fractions(num, endpoint, full, np.ndim(stop - start))
    values = start + fraction * (stop - start)
    if endpoint and num > 1:
        values = _ended(values, stop)
    return _finished(values, full, dtype, axis, constant)


def _variable(*arguments: Any) -> bool:
    """Whether one of the arguments is a tensor through which a gradient flows."""
    return any(isinstance(a, Tensor) and not a.constant for a in arguments)


def _inherited(constant: bool | None, *arguments: Any) -> bool | None:
    """What is made of constant tensors is constant, unless something else is asked for."""
    return True if constant is None and any(isinstance(a, Tensor) for a in arguments) else constant


def _ends(start: Array, stop: Array, num: int) -> tuple[Any, Any, np.dtype[Any]]:
    """Return both ends as tensors, and the dtype of floats that NumPy computes in."""
    if index(num) < 0:
        raise ValueError(f"Number of samples, {num}, must be non-negative.")
    dtype = common_dtype(start, stop)
    dtype = dtype if dtype.kind in CONTINUOUS else np.dtype(float)
    start, stop = (functions["cast"](as_tensor(a), dtype) for a in (start, stop))
    return start, stop, dtype


def _fractions(num: int, endpoint: bool, dtype: DTypeLike, ndim: int) -> Any:
    """Return which fraction of the way each value has gone."""
    steps = num - 1 if endpoint else num
    fraction = np.arange(num, dtype=dtype) / max(steps, 1)
    return np.reshape(fraction, (-1, *(1,) * ndim))


def _ended(values: Array, last: Any) -> Any:
    """Replace the last value."""
    last = np.expand_dims(np.broadcast_to(last, values.shape[1:]), 0)
    return functions[np.concatenate]((values[:-1], last))


def _finished(
    values: Array, full: Any, dtype: DTypeLike, axis: int, constant: bool | None
) -> Tensor:
    if axis:
        values = np.moveaxis(values, 0, axis)
    if dtype is not None and np.dtype(dtype).kind in "iu":
        values = np.floor(values)
    values = as_tensor(values)
    return flagged(functions["cast"](values, np.dtype(full if dtype is None else dtype)), constant)  # type: ignore[no-any-return]


def logspace(
    start: ArrayLike, stop: ArrayLike, num: int = 50, endpoint: bool = True, base: ArrayLike = 10,
    dtype: DTypeLike = None, axis: int = 0, *, constant: bool | None = None,
) -> Tensor:  # fmt: skip
    """Return `num` powers of `base`, whose exponents are evenly spaced from `start` to `stop`.

    Parameters
    ----------
    start, stop : array_like
        The first and the last exponent.
    num : int
        How many values.
    endpoint : bool
        Whether `stop` is the last exponent.
    base : array_like
        What the powers are of.
    dtype : dtype_like, optional
        The dtype of the result.
    axis : int
        Where the values lie, if the exponents have axes.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.logspace(0, 2, 3)
    Tensor([  1.,  10., 100.])
    """
    start, stop, base = operand(start), operand(stop), operand(base)
    if not _variable(start, stop, base):
        constant = _inherited(constant, start, stop, base)
        start, stop, base = (data_of(a, "logspace") for a in (start, stop, base))
        return _new(np.logspace(start, stop, num, endpoint, base, dtype, axis), constant)
    if np.ndim(operand(base)):
        ndim = max(np.ndim(a) for a in (start, stop, base))
        start, stop, base = (
            np.reshape(as_tensor(a), (*(1,) * (ndim - np.ndim(a)), *np.shape(a)))
            for a in (start, stop, base)
        )
        base = np.expand_dims(base, axis)
    powers = functions[np.power](base, linspace(start, stop, num, endpoint, axis=axis))
    return _finished(powers, powers.dtype, dtype, 0, constant)


def geomspace(
    start: ArrayLike, stop: ArrayLike, num: int = 50, endpoint: bool = True,
    dtype: DTypeLike = None, axis: int = 0, *, constant: bool | None = None,
) -> Tensor:  # fmt: skip
    """Return `num` values from `start` to `stop` with a constant ratio.

    Parameters
    ----------
    start, stop : array_like
        The ends, of one sign.
    num : int
        How many values.
    endpoint : bool
        Whether `stop` is the last of them.
    dtype : dtype_like, optional
        The dtype of the result.
    axis : int
        Where the values lie, if the ends have axes.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.geomspace(1, 4, 3)
    Tensor([1., 2., 4.])
    """
    start, stop = operand(start), operand(stop)
    if not _variable(start, stop):
        constant = _inherited(constant, start, stop)
        start, stop = data_of(start, "geomspace"), data_of(stop, "geomspace")
        return _new(np.geomspace(start, stop, num, endpoint, dtype, axis), constant)
    start, stop, full = _ends(start, stop, num)
    full = np.result_type(full, np.float64 if dtype is None else dtype)  # as NumPy does
    start, stop = functions["cast"](start, full), functions["cast"](stop, full)
    if np.any(start == 0) or np.any(stop == 0):
        raise ValueError("Geometric sequence cannot include zero")
    ratio = stop / start
    fraction = _fractions(num, endpoint, full, ratio.ndim)
    values = start * functions[np.power](ratio, fraction)
    if endpoint and num > 1:
        values = _ended(values, stop)
    return _finished(values, full, dtype, axis, constant)


@implements(np.linspace)
def _np_linspace(
    start: ArrayLike, stop: ArrayLike, num: int = 50, endpoint: bool = True, retstep: bool = False,
    dtype: DTypeLike = None, axis: int = 0, *, device: Any = None,
) -> Array:  # fmt: skip
    values = linspace(start, stop, num, endpoint, dtype, axis)
    steps = num - 1 if endpoint else num
    if not retstep:
        return values
    return values, (as_tensor(stop) - start) / steps if steps > 0 else np.nan


implements(np.logspace)(logspace)
implements(np.geomspace)(geomspace)


def _like(
    function: Any, other: Array, dtype: DTypeLike, shape: ShapeLike, constant: bool | None,
    *fill: Any,
) -> Tensor:  # fmt: skip
    """Make an array like `other`; the flag is inherited: arrays are constants.

    Of a traced tensor the result is a plain constant, which an in-place write of a traced value
    draws into the trace.
    """
    inherited = True
    if isinstance(other, Tensor):
        inherited = bool(other.live_trace.level) or other.constant
        like = data_below(other)
        if like.shape != other.shape:  # they have a batch axis, which users do not see
            like = np.empty(other.shape, other.dtype)
    else:
        like = other
    array = function(like, *fill, dtype=dtype, order="K", shape=shape)
    if constant is None and array.dtype.kind in CONTINUOUS:
        constant = inherited
    return _new(array, constant)


def zeros_like(
    other: ArrayLike, dtype: DTypeLike = None, shape: ShapeLike = None, *,
    constant: bool | None = None,
) -> Tensor:  # fmt: skip
    """Return zeros of the shape and dtype of another array.

    Parameters
    ----------
    other : array_like
    dtype, shape : optional
        What differs from `other`.
    constant : bool, optional
        By default that of `other`; arrays and numbers are constants.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.zeros_like(tg.arange(2.0))
    Tensor([0., 0.])
    """
    return _like(np.zeros_like, other, dtype, shape, constant)


def ones_like(
    other: ArrayLike, dtype: DTypeLike = None, shape: ShapeLike = None, *,
    constant: bool | None = None,
) -> Tensor:  # fmt: skip
    """Return ones of the shape and dtype of another array.

    Parameters
    ----------
    other : array_like
    dtype, shape : optional
        What differs from `other`.
    constant : bool, optional
        By default that of `other`; arrays and numbers are constants.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.ones_like(tg.arange(2.0))
    Tensor([1., 1.])
    """
    return _like(np.ones_like, other, dtype, shape, constant)


def empty_like(
    other: ArrayLike, dtype: DTypeLike = None, shape: ShapeLike = None, *,
    constant: bool | None = None,
) -> Tensor:  # fmt: skip
    """Return undefined values of the shape and dtype of another array.

    Parameters
    ----------
    other : array_like
    dtype, shape : optional
        What differs from `other`.
    constant : bool, optional
        By default that of `other`; arrays and numbers are constants.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.empty_like(tg.arange(2.0)).shape
    (2,)
    """
    return _like(np.empty_like, other, dtype, shape, constant)


def full_like(
    other: ArrayLike, fill_value: ArrayLike, dtype: DTypeLike = None, shape: ShapeLike = None,
    constant: bool | None = None,
) -> Tensor:  # fmt: skip
    """Return a filled array of the shape and dtype of another.

    No gradient flows to the value, but inside transformations.

    Parameters
    ----------
    other : array_like
    fill_value : array_like
        Cast to the dtype of `other`.
    dtype, shape : optional
        What differs from `other`.
    constant : bool, optional
        By default that of `other`; arrays and numbers are constants.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.full_like(tg.arange(2), 7.9)
    Tensor([7, 7])
    """
    if constant is not True and _is_traced(fill_value):
        return _filled(_like(np.empty_like, other, dtype, shape, True).data, fill_value)
    return _like(np.full_like, other, dtype, shape, constant, data_of(fill_value, "full_like"))


def _is_traced(fill_value: Array) -> bool:
    """Whether a transformation follows the value; a tensor outside of them gives its data alone."""
    values = fill_value if type(fill_value) in (list, tuple) else (fill_value,)
    return any(isinstance(v, Tensor) and v.live_trace.level for v in values)


def _filled(array: Array, fill_value: Array) -> Tensor:
    new = Tensor(array, constant=True, copy=False)
    new[...] = fill_value
    return new


def _numpy_like(function: Any, ours: Any) -> None:
    """Adapt to NumPy's signature, which has ``order``, ``subok`` and ``device`` too."""

    def like(
        a: Array, dtype: DTypeLike = None, order: str = "K", subok: bool = True,
        shape: ShapeLike = None, *, device: Any = None, constant: bool | None = None,
    ) -> Tensor:  # fmt: skip
        return ours(a, dtype, shape, constant=constant)  # type: ignore[no-any-return]

    implements(function)(like)


_numpy_like(np.zeros_like, zeros_like)
_numpy_like(np.ones_like, ones_like)


@implements(np.empty_like)
def _np_empty_like(
    prototype: Any, dtype: DTypeLike = None, order: str = "K", subok: bool = True,
    shape: ShapeLike = None, *, device: Any = None,
) -> Tensor:  # fmt: skip
    return empty_like(prototype, dtype, shape)


@implements(np.full_like)
def _np_full_like(
    a: ArrayLike, fill_value: ArrayLike, dtype: DTypeLike = None, order: str = "K", subok: bool = True,
    shape: ShapeLike = None, *, device: Any = None, constant: bool | None = None,
) -> Tensor:  # fmt: skip
    return full_like(a, fill_value, dtype, shape, constant)
