"""Creating tensors. The documented defaults are float32 for ``ones``, ``zeros`` and ``empty``."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.ufunc import data_of
from tapegrad.tape.primitive import implements
from tapegrad.tape.tensor import Tensor

__all__ = [
    "arange", "empty", "empty_like", "eye", "full", "full_like", "geomspace", "identity",
    "linspace", "logspace", "ones", "ones_like", "zeros", "zeros_like",
]  # fmt: skip


def _new(array: Any, constant: bool | None) -> Tensor:
    return Tensor(array, constant=constant, copy=False)


def empty(shape: Any, dtype: Any = np.float32, *, constant: bool | None = None) -> Tensor:
    """Return a tensor with undefined values.

    Parameters
    ----------
    shape : int or sequence of int
    dtype : dtype_like
        float32 by default.
    constant : bool, optional
        Whether the tensor is a constant; integers always are.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.empty((2, 3)).shape
    (2, 3)
    """
    return _new(np.empty(shape, dtype), constant)


def zeros(shape: Any, dtype: Any = np.float32, *, constant: bool | None = None) -> Tensor:
    """Return a tensor of zeros.

    Parameters
    ----------
    shape : int or sequence of int
    dtype : dtype_like
        float32 by default.
    constant : bool, optional
        Whether the tensor is a constant; integers always are.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.zeros(2)
    Tensor([0., 0.], dtype=float32)
    """
    return _new(np.zeros(shape, dtype), constant)


def ones(shape: Any, dtype: Any = np.float32, *, constant: bool | None = None) -> Tensor:
    """Return a tensor of ones.

    Parameters
    ----------
    shape : int or sequence of int
    dtype : dtype_like
        float32 by default.
    constant : bool, optional
        Whether the tensor is a constant; integers always are.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.ones(2)
    Tensor([1., 1.], dtype=float32)
    """
    return _new(np.ones(shape, dtype), constant)


def full(shape: Any, fill_value: Any, dtype: Any = None, *, constant: bool | None = None) -> Tensor:
    """Return a tensor filled with a value; no gradient flows to it.

    Parameters
    ----------
    shape : int or sequence of int
    fill_value : array_like
        A scalar, or an array that is broadcast.
    dtype : dtype_like, optional
        By default that of `fill_value`.
    constant : bool, optional
        Whether the tensor is a constant; integers always are.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.full(2, 7.0)
    Tensor([7., 7.])
    """
    return _new(np.full(shape, data_of(fill_value, "full"), dtype), constant)


def eye(
    N: int, M: int | None = None, k: int = 0, dtype: Any = float, *, constant: bool | None = None
) -> Tensor:
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

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.eye(2)
    Tensor([[1., 0.],
            [0., 1.]])
    """
    return _new(np.eye(N, M, k, dtype), constant)


def identity(n: int, dtype: Any = float, *, constant: bool | None = None) -> Tensor:
    """Return the identity matrix.

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
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0,
    *, constant: bool | None = None,
) -> Tensor:  # fmt: skip
    """Return `num` evenly spaced values from `start` to `stop`.

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

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.linspace(0, 1, 3)
    Tensor([0. , 0.5, 1. ])
    """
    start, stop = _plain(start, "linspace"), _plain(stop, "linspace")
    return _new(np.linspace(start, stop, num, endpoint, False, dtype, axis), constant)


def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10,
    dtype: Any = None, axis: int = 0, *, constant: bool | None = None,
) -> Tensor:  # fmt: skip
    """Return `num` powers of `base`, whose exponents are evenly spaced from `start` to `stop`.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.logspace(0, 2, 3)
    Tensor([  1.,  10., 100.])
    """
    start, stop = _plain(start, "logspace"), _plain(stop, "logspace")
    return _new(np.logspace(start, stop, num, endpoint, base, dtype, axis), constant)


def geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0,
    *, constant: bool | None = None,
) -> Tensor:  # fmt: skip
    """Return `num` values from `start` to `stop` with a constant ratio.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.geomspace(1, 4, 3)
    Tensor([1., 2., 4.])
    """
    start, stop = _plain(start, "geomspace"), _plain(stop, "geomspace")
    return _new(np.geomspace(start, stop, num, endpoint, dtype, axis), constant)


def _plain(a: Any, name: str) -> Any:
    """Return the values of a constant; a variable would lose its gradient here."""
    if type(a) is Tensor and not a.constant:
        raise TypeError(
            f"{name} does not differentiate: its arguments must be numbers, arrays or constant "
            "tensors. Compute start + (stop - start) * tg.linspace(0, 1) instead"
        )
    return data_of(a, name)


def _like(
    function: Any, other: Any, dtype: Any, shape: Any, constant: bool | None, *fill: Any
) -> Tensor:
    """Make an array like `other`; the flag is inherited from a tensor.

    Of a traced tensor the result is a plain constant, which an in-place write of a traced value
    draws into the trace.
    """
    inherited = None
    if type(other) is Tensor:
        inherited = bool(other._trace.level) or other.constant
        like: Any = np.broadcast_to(np.empty((), other.dtype), other.shape)
        if shape is None:
            shape = other.shape
    else:
        like = other
    array = function(like, *fill, dtype=dtype, order="C", shape=shape)
    if constant is None and array.dtype.kind == "f":
        constant = inherited
    return _new(array, constant)


def zeros_like(
    other: Any, dtype: Any = None, shape: Any = None, *, constant: bool | None = None
) -> Tensor:
    """Return zeros of the shape and dtype of another array.

    Parameters
    ----------
    other : array_like
    dtype, shape : optional
        What differs from `other`.
    constant : bool, optional
        By default that of `other`, if it is a tensor.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.zeros_like(tg.arange(2.0))
    Tensor([0., 0.])
    """
    return _like(np.zeros_like, other, dtype, shape, constant)


def ones_like(
    other: Any, dtype: Any = None, shape: Any = None, *, constant: bool | None = None
) -> Tensor:
    """Return ones of the shape and dtype of another array.

    Parameters
    ----------
    other : array_like
    dtype, shape : optional
        What differs from `other`.
    constant : bool, optional
        By default that of `other`, if it is a tensor.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.ones_like(tg.arange(2.0))
    Tensor([1., 1.])
    """
    return _like(np.ones_like, other, dtype, shape, constant)


def empty_like(
    other: Any, dtype: Any = None, shape: Any = None, *, constant: bool | None = None
) -> Tensor:
    """Return undefined values of the shape and dtype of another array.

    Parameters
    ----------
    other : array_like
    dtype, shape : optional
        What differs from `other`.
    constant : bool, optional
        By default that of `other`, if it is a tensor.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.empty_like(tg.arange(2.0)).shape
    (2,)
    """
    return _like(np.empty_like, other, dtype, shape, constant)


def full_like(
    other: Any, fill_value: Any, dtype: Any = None, shape: Any = None, constant: bool | None = None
) -> Tensor:
    """Return a filled array of the shape and dtype of another; no gradient flows to the value.

    Parameters
    ----------
    other : array_like
    fill_value : array_like
        Cast to the dtype of `other`.
    dtype, shape : optional
        What differs from `other`.
    constant : bool, optional
        By default that of `other`, if it is a tensor.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.full_like(tg.arange(2), 7.9)
    Tensor([7, 7])
    """
    return _like(np.full_like, other, dtype, shape, constant, data_of(fill_value, "full_like"))


def _numpy_like(function: Any, ours: Any) -> None:
    """Adapt to NumPy's signature, which has ``order``, ``subok`` and ``device`` too."""

    def like(
        a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *,
        device: Any = None, constant: bool | None = None,
    ) -> Tensor:  # fmt: skip
        return ours(a, dtype, shape, constant=constant)  # type: ignore[no-any-return]

    implements(function)(like)


_numpy_like(np.zeros_like, zeros_like)
_numpy_like(np.ones_like, ones_like)
_numpy_like(np.empty_like, empty_like)


@implements(np.full_like)
def _np_full_like(
    a: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: bool = True,
    shape: Any = None, *, device: Any = None, constant: bool | None = None,
) -> Tensor:  # fmt: skip
    return full_like(a, fill_value, dtype, shape, constant)
