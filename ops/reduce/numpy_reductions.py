"""Reductions by NumPy's signatures (``np.sum(t, 0, dtype)``), and those composed of others.

The documented functions of :mod:`tapegrad.ops.reduce.reductions` have their parameters in another order;
these adapters add ``out``, ``where`` and ``initial``, all of them compositions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.declare.axes import NOT_GIVEN, all_axes, is_given, to_back
from tapegrad.ops.declare.fields import magnitudes_squared
from tapegrad.ops.declare.ufunc import as_tensor, delivered, flagged, operand
from tapegrad.ops.reduce import reductions
from tapegrad.tape.array.application import apply
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.primitive import Primitive, functions, implements
from tapegrad.tape.core.types import Array, ArrayLike, AxisLike, DTypeLike

__all__ = ["average", "median", "ptp", "trace"]


def _masked(a: Array, where: ArrayLike, neutral: Any) -> Any:
    """Replace what ``where`` switches off by a number that does not count."""
    if where is True or where is NOT_GIVEN:
        return a
    a = as_tensor(a)
    neutral = functions["cast"](as_tensor(neutral), a.dtype)
    return functions[np.where](operand(where), a, neutral)


def _total(function: Any, primitive: Primitive, ufunc: np.ufunc, neutral: float) -> Any:
    """Adapt ``sum`` or ``prod`` to NumPy's signature."""

    def reduce(
        a: Array, axis: AxisLike = None, dtype: DTypeLike = None, out: Any = None,
        keepdims: Any = NOT_GIVEN, initial: Array = NOT_GIVEN, where: ArrayLike = True, *,
        constant: bool | None = None,
    ) -> Any:  # fmt: skip
        if (
            where is True and out is None and initial is NOT_GIVEN
        ):  # the common call, without detours
            if not isinstance(a, Tensor) or dtype is not None or constant is not None:
                return function(a, axis, keepdims, dtype=dtype, constant=constant)
            axes = all_axes(axis, len(a.shape))
            params = {"axis": axes, "keepdims": keepdims is not NOT_GIVEN and bool(keepdims)}
            return apply(primitive, (a,), params)
        a = _masked(a, where, neutral)
        result = function(a, axis, keepdims, dtype=dtype, constant=constant)
        if is_given(initial):
            initial = functions["cast"](as_tensor(initial), result.dtype)
            result = functions[ufunc](result, initial, constant=constant)
        return delivered(result, out, function.__name__)

    functions["reduce", ufunc] = reduce
    return reduce


implements(np.sum)(_total(reductions.sum, reductions.sum_p, np.add, 0))
implements(np.prod)(_total(reductions.prod, reductions.prod_p, np.multiply, 1))


def _extreme(function: Any, ufunc: np.ufunc) -> Any:
    """Adapt ``max`` or ``min`` to NumPy's signature."""

    def reduce(
        a: Array, axis: AxisLike = None, out: Any = None, keepdims: Any = NOT_GIVEN,
        initial: Array = NOT_GIVEN, where: ArrayLike = True, *, constant: bool | None = None,
    ) -> Any:  # fmt: skip
        if where is not True and where is not NOT_GIVEN and not is_given(initial):
            raise ValueError(
                f"reduction operation '{ufunc.__name__}' does not have an identity, so to use a "
                "where mask one has to specify 'initial'"
            )
        if is_given(initial):
            a = as_tensor(a)
            initial = functions["cast"](as_tensor(initial), a.dtype)
            a = _masked(a, where, initial)
            axes = all_axes(axis, a.ndim)
            if not a.size and axes:  # NumPy reduces nothing to `initial`
                keep = keepdims is not NOT_GIVEN and bool(keepdims)
                block = np.broadcast_to(initial, _in_places(a.shape, axes, 1))
                a = np.reshape(a, _in_places(block.shape, axes[:1], 0))
                a = np.concatenate([a, block], axes[0])
                return delivered(function(a, axes, keep, constant=constant), out, ufunc.__name__)
        result = function(a, axis, keepdims, constant=constant)
        if is_given(initial):
            result = functions[ufunc](result, initial, constant=constant)
        return delivered(result, out, ufunc.__name__)

    def reduce_ufunc(a: Array, axis: AxisLike, dtype: DTypeLike, out: Any, *rest: Any) -> Any:
        if dtype is not None:
            a = functions["cast"](as_tensor(a), np.dtype(dtype))
        return reduce(a, axis, out, *rest)

    functions["reduce", ufunc] = reduce_ufunc
    return reduce


def _in_places(shape: tuple[int, ...], axes: tuple[int, ...], size: int) -> tuple[int, ...]:
    """Return a shape with a size at some axes."""
    return tuple(size if i in axes else n for i, n in enumerate(shape))


implements(np.max, np.amax)(_extreme(reductions.max, np.maximum))
implements(np.min, np.amin)(_extreme(reductions.min, np.minimum))


@implements(np.mean)
def _mean(
    a: ArrayLike, axis: AxisLike = None, dtype: DTypeLike = None, out: Any = None,
    keepdims: Any = NOT_GIVEN, *, where: ArrayLike = True, constant: bool | None = None,
) -> Array:  # fmt: skip
    if where is True or where is NOT_GIVEN:
        result = reductions.mean(a, axis, keepdims, dtype=dtype, constant=constant)
        return delivered(result, out, "mean")
    a = as_tensor(a)
    total = np.sum(_masked(a, where, 0), axis=axis, dtype=dtype, keepdims=keepdims)
    count = np.sum(
        np.broadcast_to(operand(where), a.shape), axis=axis, dtype=float, keepdims=keepdims
    )
    result = functions[np.divide](total, functions["cast"](count, _float_of(total)))
    return delivered(flagged(result, constant), out, "mean")


def _float_of(a: Array) -> np.dtype[Any]:
    return a.dtype if a.dtype.kind in CONTINUOUS else np.dtype(float)


def _deviation(function: Any, root: bool) -> Any:
    """Adapt ``var`` or ``std`` to NumPy's signature."""

    def reduce(
        a: Array, axis: AxisLike = None, dtype: DTypeLike = None, out: Any = None, ddof: float = 0,
        keepdims: Any = NOT_GIVEN, *, where: ArrayLike = True, mean: Array = NOT_GIVEN,
        correction: Any = NOT_GIVEN, constant: bool | None = None,
    ) -> Any:  # fmt: skip
        name = function.__name__
        ddof = reductions.ddof_of(ddof, correction)
        if (where is True or where is NOT_GIVEN) and not is_given(mean):
            result = function(a, axis, ddof, keepdims, dtype=dtype, constant=constant)
            return delivered(result, out, name)
        a = as_tensor(a)
        if not is_given(mean):
            mean = _mean(a, axis, dtype, keepdims=True, where=where)
        centred = _masked(a - mean, where, 0)  # what is off may be nan
        inside = np.broadcast_to(True if where is NOT_GIVEN else operand(where), a.shape)
        if root:  # a norm knows its derivatives where nothing varies
            keep = keepdims is not NOT_GIVEN and bool(keepdims)
            of = centred if dtype is None else functions["cast"](centred, np.dtype(dtype))
            total = functions[np.linalg.vector_norm](of, axis=axis, keepdims=keep)
        else:
            squared = magnitudes_squared(centred)
            total = np.sum(squared, axis=axis, dtype=dtype, keepdims=keepdims)
        count = np.sum(inside, axis=axis, dtype=_float_of(total), keepdims=keepdims)
        free = np.maximum(count - ddof, 0)
        result = total / (np.sqrt(free) if root else free)
        return delivered(flagged(result, constant), out, name)

    return reduce


implements(np.var)(_deviation(reductions.var, root=False))
implements(np.std)(_deviation(reductions.std, root=True))


@implements(np.ptp)
def ptp(a: ArrayLike, axis: AxisLike = None, out: Any = None, keepdims: Any = NOT_GIVEN) -> Array:
    """Range of the values over axes: the greatest less the least.

    Parameters
    ----------
    a : array_like
    axis : int or tuple of int, optional
        Axes to reduce; by default all.
    out : Tensor or ndarray, optional
        Where the result is written to.
    keepdims : bool
        Whether the reduced axes stay, with size 1.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.ptp(tg.tensor([1.0, 5.0, 2.0]))
    Tensor(4.)
    """
    a = as_tensor(a)
    result = reductions.max(a, axis, keepdims) - reductions.min(a, axis, keepdims)
    return delivered(result, out, "ptp")


def aligned_weights(weights: Array, shape: tuple[int, ...], axis: AxisLike) -> Any:
    """Broadcast weights, of this shape or of that of the axes, to `shape`; NumPy's errors."""
    if weights.shape == shape:
        return weights
    if axis is None:
        raise TypeError("Axis must be specified when shapes of a and weights differ.")
    axes = all_axes(axis, len(shape))
    if weights.shape != tuple(shape[i] for i in axes):
        raise ValueError("Shape of weights must be consistent with shape of a along axis.")
    order = sorted(range(len(axes)), key=axes.__getitem__)
    spread = [n if i in axes else 1 for i, n in enumerate(shape)]
    return np.broadcast_to(np.reshape(np.transpose(weights, order), spread), shape)


@implements(np.average)
def average(
    a: ArrayLike, axis: AxisLike = None, weights: ArrayLike = None, returned: bool = False, *,
    keepdims: Any = NOT_GIVEN,
) -> Array:  # fmt: skip
    """Weighted mean over axes; differentiable in values and weights.

    Parameters
    ----------
    a : array_like
        Values.
    axis : int or tuple of int, optional
        Axes to average; by default all.
    weights : array_like, optional
        Of the shape of `a`, or of that of the averaged axes.
    returned : bool
        Whether the sum of the weights is returned too.
    keepdims : bool
        Whether the averaged axes stay, with size 1.

    Returns
    -------
    Tensor
        The mean; with `returned` a tuple of it and the sums of the weights.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.average(tg.tensor([1.0, 4.0]), weights=[2.0, 1.0])
    Tensor(2.)
    """
    a = as_tensor(a)
    if weights is None:
        result = reductions.mean(a, axis, keepdims)
        total: Any = np.full(result.shape, a.size / (result.size or 1), result.dtype)
    else:
        axes = all_axes(axis, a.ndim)
        weights = aligned_weights(as_tensor(weights), a.shape, axis)
        total = np.sum(weights, axis=axes, keepdims=keepdims)
        if np.any(total == 0):
            raise ZeroDivisionError("Weights sum to zero, can't be normalized")
        result = np.sum(a * weights, axis=axes, keepdims=keepdims) / total
    return (result, total) if returned else result


@implements(np.median)
def median(
    a: ArrayLike, axis: AxisLike = None, out: Any = None, overwrite_input: bool = False,
    keepdims: Any = False,
) -> Array:  # fmt: skip
    """Median over axes: the middle value, or the mean of the two in the middle.

    Parameters
    ----------
    a : array_like
    axis : int or tuple of int, optional
        Axes to reduce; by default all.
    out : Tensor or ndarray, optional
        Where the result is written to.
    overwrite_input : bool
        Nothing is overwritten.
    keepdims : bool
        Whether the reduced axes stay, with size 1.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.median(tg.tensor([3.0, 1.0, 2.0]))
    Tensor(2.)
    """
    a = as_tensor(a)
    shape = a.shape
    axes = tuple(sorted(all_axes(axis, len(shape))))
    flat = to_back(a, axes)
    flat = np.reshape(flat, flat.shape) if axes else np.expand_dims(a, -1)
    n = flat.shape[-1]
    if not n:
        result = np.mean(flat, axis=-1)
    else:
        ordered = np.sort(flat, axis=-1)
        result = np.mean(ordered[..., (n - 1) // 2 : n // 2 + 1], axis=-1)
        hole = np.any(np.isnan(flat), axis=-1)
        result = np.where(hole, np.asarray(np.nan, result.dtype), result)
    if keepdims and keepdims is not NOT_GIVEN:
        result = np.reshape(result, [1 if i in axes else m for i, m in enumerate(shape)])
    return delivered(result, out, "median")


@implements(np.trace)
def trace(
    a: ArrayLike, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: DTypeLike = None,
    out: Any = None,
) -> Array:  # fmt: skip
    """Sum of a diagonal.

    Parameters
    ----------
    a : array_like
    offset : int
        Which diagonal; 0 is the main one.
    axis1, axis2 : int
        The axes of the matrices.
    dtype : dtype_like, optional
        The dtype to compute in.
    out : Tensor or ndarray, optional
        Where the result is written to.

    Returns
    -------
    Tensor
        One number for each matrix.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.trace(tg.eye(3))
    Tensor(3.)
    """
    diagonal = functions[np.diagonal](a, offset, axis1, axis2)
    return np.sum(diagonal, axis=-1, dtype=dtype, out=out)


@implements(np.linalg.trace)
def _linalg_trace(x: ArrayLike, /, *, offset: int = 0, dtype: DTypeLike = None) -> Array:
    return trace(x, offset, -2, -1, dtype)
