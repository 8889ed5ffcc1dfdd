"""Reductions by NumPy's signatures (``np.sum(t, 0, dtype)``), and those composed of others.

The documented functions of :mod:`tapegrad.ops.reduce.reductions` have their parameters in another order;
these adapters add ``out``, ``where`` and ``initial``, all of them compositions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.declare.ufunc import as_tensor, delivered, flagged, operand
from tapegrad.ops.elementwise.comparisons import all_axes
from tapegrad.ops.reduce import reductions
from tapegrad.ops.reduce.reductions import _NONE, _given
from tapegrad.tape.array.application import apply
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import Primitive, functions, implements

__all__ = ["average", "median", "ptp", "trace"]


def _masked(a: Any, where: Any, neutral: Any) -> Any:
    """Replace what ``where`` switches off by a number that does not count."""
    if where is True or where is _NONE:
        return a
    a = as_tensor(a)
    neutral = functions["cast"](as_tensor(neutral), a.dtype)
    return functions[np.where](operand(where), a, neutral)


def _folding(function: Any, primitive: Primitive, ufunc: np.ufunc, neutral: float) -> Any:
    """Adapt ``sum`` or ``prod`` to NumPy's signature."""

    def reduce(
        a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = _NONE,
        initial: Any = _NONE, where: Any = True, *, constant: bool | None = None,
    ) -> Any:  # fmt: skip
        if where is True and out is None and initial is _NONE:  # the common call, undelayed
            if not isinstance(a, Tensor) or dtype is not None or constant is not None:
                return function(a, axis, keepdims, dtype=dtype, constant=constant)
            axes = all_axes(axis, len(a.shape))
            params = {"axis": axes, "keepdims": keepdims is not _NONE and bool(keepdims)}
            return apply(primitive, (a,), params)
        a = _masked(a, where, neutral)
        result = function(a, axis, keepdims, dtype=dtype, constant=constant)
        if _given(initial):
            initial = functions["cast"](as_tensor(initial), result.dtype)
            result = functions[ufunc](result, initial, constant=constant)
        return delivered(result, out, function.__name__)

    functions["reduce", ufunc] = reduce
    return reduce


implements(np.sum)(_folding(reductions.sum, reductions.sum_p, np.add, 0))
implements(np.prod)(_folding(reductions.prod, reductions.prod_p, np.multiply, 1))


def _choosing(function: Any, ufunc: np.ufunc) -> Any:
    """Adapt ``max`` or ``min`` to NumPy's signature."""

    def reduce(
        a: Any, axis: Any = None, out: Any = None, keepdims: Any = _NONE, initial: Any = _NONE,
        where: Any = True, *, constant: bool | None = None,
    ) -> Any:  # fmt: skip
        if where is not True and where is not _NONE and not _given(initial):
            raise ValueError(
                f"reduction operation '{ufunc.__name__}' does not have an identity, so to use a "
                "where mask one has to specify 'initial'"
            )
        if _given(initial):
            a = as_tensor(a)
            initial = functions["cast"](as_tensor(initial), a.dtype)
            a = _masked(a, where, initial)
            if not a.size:  # NumPy reduces nothing to `initial`
                axes = all_axes(axis, a.ndim)
                keep = keepdims is not _NONE and bool(keepdims)
                block = np.broadcast_to(initial, _one_more(a.shape, axes))
                a = np.concatenate([a, block], axes[0])
                return delivered(function(a, axes, keep, constant=constant), out, ufunc.__name__)
        result = function(a, axis, keepdims, constant=constant)
        if _given(initial):
            result = functions[ufunc](result, initial, constant=constant)
        return delivered(result, out, ufunc.__name__)

    def reduce_ufunc(a: Any, axis: Any, dtype: Any, out: Any, *rest: Any) -> Any:
        if dtype is not None:
            a = functions["cast"](as_tensor(a), np.dtype(dtype))
        return reduce(a, axis, out, *rest)

    functions["reduce", ufunc] = reduce_ufunc
    return reduce


def _one_more(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a block that makes an array with an empty reduced axis non-empty."""
    return tuple(1 if i == axes[0] else max(n, 1) if i in axes else n for i, n in enumerate(shape))


implements(np.max, np.amax)(_choosing(reductions.max, np.maximum))
implements(np.min, np.amin)(_choosing(reductions.min, np.minimum))


@implements(np.mean)
def _mean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = _NONE, *,
    where: Any = True, constant: bool | None = None,
) -> Any:  # fmt: skip
    if where is True or where is _NONE:
        result = reductions.mean(a, axis, keepdims, dtype=dtype, constant=constant)
        return delivered(result, out, "mean")
    a = as_tensor(a)
    total = np.sum(_masked(a, where, 0), axis=axis, dtype=dtype, keepdims=keepdims)
    count = np.sum(
        np.broadcast_to(operand(where), a.shape), axis=axis, dtype=float, keepdims=keepdims
    )
    result = functions[np.divide](total, functions["cast"](count, _float_of(total)))
    return delivered(flagged(result, constant), out, "mean")


def _float_of(a: Any) -> np.dtype[Any]:
    return a.dtype if a.dtype.kind == "f" else np.dtype(float)


def _spreading(function: Any, root: bool) -> Any:
    """Adapt ``var`` or ``std`` to NumPy's signature."""

    def reduce(
        a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0,
        keepdims: Any = _NONE, *, where: Any = True, mean: Any = _NONE, correction: Any = _NONE,
        constant: bool | None = None,
    ) -> Any:  # fmt: skip
        name = function.__name__
        ddof = reductions._ddof(ddof, correction)
        if (where is True or where is _NONE) and not _given(mean):
            result = function(a, axis, ddof, keepdims, dtype=dtype, constant=constant)
            return delivered(result, out, name)
        a = as_tensor(a)
        if not _given(mean):
            mean = _mean(a, axis, dtype, keepdims=True, where=where)
        squares = np.square(_masked(a - mean, where, 0))  # what is off may be nan
        inside = np.broadcast_to(True if where is _NONE else operand(where), a.shape)
        total = np.sum(squares, axis=axis, dtype=dtype, keepdims=keepdims)
        count = np.sum(inside, axis=axis, dtype=_float_of(total), keepdims=keepdims)
        result = total / np.maximum(count - ddof, 0)
        if root:
            result = np.where(result == 0, 0.0, np.sqrt(np.where(result == 0, 1.0, result)))
        return delivered(flagged(result, constant), out, name)

    return reduce


implements(np.var)(_spreading(reductions.var, root=False))
implements(np.std)(_spreading(reductions.std, root=True))


@implements(np.ptp)
def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = _NONE) -> Any:
    """Range of the values over axes: the greatest less the least.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.ptp(tg.tensor([1.0, 5.0, 2.0]))
    Tensor(4.)
    """
    a = as_tensor(a)
    result = reductions.max(a, axis, keepdims) - reductions.min(a, axis, keepdims)
    return delivered(result, out, "ptp")


def aligned_weights(weights: Any, shape: tuple[int, ...], axis: Any) -> Any:
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
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *,
    keepdims: Any = _NONE,
) -> Any:  # fmt: skip
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
    a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False
) -> Any:
    """Median over axes: the middle value, or the mean of the two in the middle.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.median(tg.tensor([3.0, 1.0, 2.0]))
    Tensor(2.)
    """
    a = as_tensor(a)
    shape = a.shape
    axes = tuple(sorted(all_axes(axis, len(shape))))
    flat = reductions._to_back(a, axes)
    flat = np.reshape(flat, flat.shape) if axes else np.expand_dims(a, -1)
    n = flat.shape[-1]
    if not n:
        result = np.mean(flat, axis=-1)
    else:
        ordered = np.sort(flat, axis=-1)
        result = np.mean(ordered[..., (n - 1) // 2 : n // 2 + 1], axis=-1)
        hole = np.any(np.isnan(flat), axis=-1)
        result = np.where(hole, np.asarray(np.nan, result.dtype), result)
    if keepdims and keepdims is not _NONE:
        result = np.reshape(result, [1 if i in axes else m for i, m in enumerate(shape)])
    return delivered(result, out, "median")


@implements(np.trace)
def trace(
    a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None
) -> Any:
    """Sum of a diagonal.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.trace(tg.eye(3))
    Tensor(3.)
    """
    diagonal = functions[np.diagonal](a, offset, axis1, axis2)
    return np.sum(diagonal, axis=-1, dtype=dtype, out=out)


@implements(np.linalg.trace)
def _linalg_trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    return trace(x, offset, -2, -1, dtype)
