"""NumPy's reductions that leave out nan: compositions, in which no gradient flows to what is nan."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.declare.axes import NOT_GIVEN, is_given
from tapegrad.ops.declare.ufunc import as_tensor, delivered, operand
from tapegrad.ops.reduce import reductions
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.primitive import functions, implements
from tapegrad.tape.core.types import Array, ArrayLike, AxisLike, DTypeLike

__all__ = [
    "nancumprod", "nancumsum", "nanmax", "nanmean", "nanmin", "nanprod", "nanstd", "nansum",
    "nanvar",
]  # fmt: skip


def without_nan(a: Array, fill: float) -> tuple[Any, Any]:
    """Replace nan by a number that does not count, and say where it was."""
    a = as_tensor(a)
    hole = np.isnan(a)
    return np.where(
        hole, np.asarray(fill, dtype=a.dtype), a
    ) if a.dtype.kind in CONTINUOUS else a, hole


def _keep(a: Array, where: ArrayLike) -> Any:
    """Mark what is not nan, and not switched off."""
    keep = np.logical_not(np.isnan(a))
    return keep if where is True or where is NOT_GIVEN else np.logical_and(keep, operand(where))


@implements(np.nansum)
def nansum(
    a: ArrayLike, axis: AxisLike = None, dtype: DTypeLike = None, out: Any = None,
    keepdims: Any = NOT_GIVEN, initial: ArrayLike = NOT_GIVEN, where: ArrayLike = True,
) -> Array:  # fmt: skip
    """Sum over axes, with nan counting as 0.

    Parameters
    ----------
    a : array_like
    axis : int or tuple of int, optional
        Axes to reduce; by default all.
    dtype : dtype_like, optional
        The dtype to compute in.
    out : Tensor or ndarray, optional
        Where the result is written to.
    keepdims : bool
        Whether the reduced axes stay, with size 1.
    initial : array_like, optional
        Where the sum begins.
    where : array_like of bool
        Which elements count.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.nansum(tg.tensor([1.0, float("nan")]))
    Tensor(1.)
    """
    return functions[np.sum](
        without_nan(a, 0.0)[0], axis, dtype, out, keepdims, initial, _mask(where)
    )


@implements(np.nanprod)
def nanprod(
    a: ArrayLike, axis: AxisLike = None, dtype: DTypeLike = None, out: Any = None,
    keepdims: Any = NOT_GIVEN, initial: ArrayLike = NOT_GIVEN, where: ArrayLike = True,
) -> Array:  # fmt: skip
    """Product over axes, with nan counting as 1.

    Parameters
    ----------
    a : array_like
    axis : int or tuple of int, optional
        Axes to reduce; by default all.
    dtype : dtype_like, optional
        The dtype to compute in.
    out : Tensor or ndarray, optional
        Where the result is written to.
    keepdims : bool
        Whether the reduced axes stay, with size 1.
    initial : array_like, optional
        Where the product begins.
    where : array_like of bool
        Which elements count.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.nanprod(tg.tensor([2.0, float("nan")]))
    Tensor(2.)
    """
    return functions[np.prod](
        without_nan(a, 1.0)[0], axis, dtype, out, keepdims, initial, _mask(where)
    )


def _mask(where: ArrayLike) -> Any:
    return True if where is NOT_GIVEN else where


@implements(np.nancumsum)
def nancumsum(
    a: ArrayLike, axis: AxisLike = None, dtype: DTypeLike = None, out: Any = None
) -> Array:
    """Running sum along an axis, with nan counting as 0.

    Parameters
    ----------
    a : array_like
    axis : int, optional
        Along which axis; by default the array is flattened.
    dtype : dtype_like, optional
        The dtype to compute in.
    out : Tensor or ndarray, optional
        Where the result is written to.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.nancumsum(tg.tensor([1.0, float("nan"), 2.0]))
    Tensor([1., 1., 3.])
    """
    return functions[np.cumsum](without_nan(a, 0.0)[0], axis, dtype, out)


@implements(np.nancumprod)
def nancumprod(
    a: ArrayLike, axis: AxisLike = None, dtype: DTypeLike = None, out: Any = None
) -> Array:
    """Running product along an axis, with nan counting as 1.

    Parameters
    ----------
    a : array_like
    axis : int, optional
        Along which axis; by default the array is flattened.
    dtype : dtype_like, optional
        The dtype to compute in.
    out : Tensor or ndarray, optional
        Where the result is written to.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.nancumprod(tg.tensor([3.0, float("nan"), 2.0]))
    Tensor([3., 3., 6.])
    """
    return functions[np.cumprod](without_nan(a, 1.0)[0], axis, dtype, out)


@implements(np.nanmean)
def nanmean(
    a: ArrayLike, axis: AxisLike = None, dtype: DTypeLike = None, out: Any = None,
    keepdims: Any = NOT_GIVEN, *, where: ArrayLike = True,
) -> Array:  # fmt: skip
    """Mean over axes of what is not nan.

    Parameters
    ----------
    a : array_like
    axis : int or tuple of int, optional
        Axes to reduce; by default all.
    dtype : dtype_like, optional
        The dtype to compute in.
    out : Tensor or ndarray, optional
        Where the result is written to.
    keepdims : bool
        Whether the reduced axes stay, with size 1.
    where : array_like of bool
        Which elements count.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.nanmean(tg.tensor([1.0, float("nan"), 3.0]))
    Tensor(2.)
    """
    a = as_tensor(a)
    return functions[np.mean](a, axis, dtype, out, keepdims, where=_keep(a, where))


def _spread(
    function: Any, a: Array, axis: AxisLike, dtype: DTypeLike, out: Any, ddof: Any, keepdims: Any,
    where: ArrayLike, mean: Array, correction: Any,
) -> Any:  # fmt: skip
    """Take ``np.var`` or ``np.std`` of what is not nan; nan where too little is left."""
    a = as_tensor(a)
    keep = _keep(a, where)
    more = {"mean": mean, "correction": correction}
    more = {name: value for name, value in more.items() if value is not NOT_GIVEN}
    result = functions[function](a, axis, dtype, None, ddof, keepdims, where=keep, **more)
    free = np.sum(np.broadcast_to(keep, a.shape), axis=axis, keepdims=keepdims)
    few = free <= reductions.ddof_of(ddof, correction)
    result = np.where(few, np.asarray(np.nan, result.dtype), result)
    return delivered(result, out, function.__name__)


@implements(np.nanvar)
def nanvar(
    a: ArrayLike, axis: AxisLike = None, dtype: DTypeLike = None, out: Any = None, ddof: float = 0,
    keepdims: Any = NOT_GIVEN, *, where: ArrayLike = True, mean: ArrayLike = NOT_GIVEN,
    correction: Any = NOT_GIVEN,
) -> Array:  # fmt: skip
    """Variance over axes of what is not nan.

    Parameters
    ----------
    a : array_like
    axis : int or tuple of int, optional
        Axes to reduce; by default all.
    dtype : dtype_like, optional
        The dtype to compute in.
    out : Tensor or ndarray, optional
        Where the result is written to.
    ddof : float
        What is taken off the number of values in the divisor.
    keepdims : bool
        Whether the reduced axes stay, with size 1.
    where : array_like of bool
        Which elements count.
    mean : array_like, optional
        The mean, if it is known, with the axes kept.
    correction : float, optional
        Another name of `ddof`.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.nanvar(tg.tensor([1.0, float("nan"), 3.0]))
    Tensor(1.)
    """
    return _spread(np.var, a, axis, dtype, out, ddof, keepdims, where, mean, correction)


@implements(np.nanstd)
def nanstd(
    a: ArrayLike, axis: AxisLike = None, dtype: DTypeLike = None, out: Any = None, ddof: float = 0,
    keepdims: Any = NOT_GIVEN, *, where: ArrayLike = True, mean: ArrayLike = NOT_GIVEN,
    correction: Any = NOT_GIVEN,
) -> Array:  # fmt: skip
    """Standard deviation over axes of what is not nan; its gradient for constant data is 0.

    Parameters
    ----------
    a : array_like
    axis : int or tuple of int, optional
        Axes to reduce; by default all.
    dtype : dtype_like, optional
        The dtype to compute in.
    out : Tensor or ndarray, optional
        Where the result is written to.
    ddof : float
        What is taken off the number of values in the divisor.
    keepdims : bool
        Whether the reduced axes stay, with size 1.
    where : array_like of bool
        Which elements count.
    mean : array_like, optional
        The mean, if it is known, with the axes kept.
    correction : float, optional
        Another name of `ddof`.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.nanstd(tg.tensor([1.0, float("nan"), 3.0]))
    Tensor(1.)
    """
    return _spread(np.std, a, axis, dtype, out, ddof, keepdims, where, mean, correction)


@implements(np.nanmax)
def nanmax(
    a: ArrayLike, axis: AxisLike = None, out: Any = None, keepdims: Any = NOT_GIVEN,
    initial: ArrayLike = NOT_GIVEN, where: ArrayLike = True,
) -> Array:  # fmt: skip
    """Greatest element over axes that is not nan; nan if all are.

    Parameters
    ----------
    a : array_like
    axis : int or tuple of int, optional
        Axes to reduce; by default all.
    out : Tensor or ndarray, optional
        Where the result is written to.
    keepdims : bool
        Whether the reduced axes stay, with size 1.
    initial : array_like, optional
        The least result.
    where : array_like of bool
        Which elements count.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.nanmax(tg.tensor([1.0, float("nan")]))
    Tensor(1.)
    """
    return _extreme(np.max, -np.inf, a, axis, out, keepdims, initial, where)


@implements(np.nanmin)
def nanmin(
    a: ArrayLike, axis: AxisLike = None, out: Any = None, keepdims: Any = NOT_GIVEN,
    initial: ArrayLike = NOT_GIVEN, where: ArrayLike = True,
) -> Array:  # fmt: skip
    """Least element over axes that is not nan; nan if all are.

    Parameters
    ----------
    a : array_like
    axis : int or tuple of int, optional
        Axes to reduce; by default all.
    out : Tensor or ndarray, optional
        Where the result is written to.
    keepdims : bool
        Whether the reduced axes stay, with size 1.
    initial : array_like, optional
        The greatest result.
    where : array_like of bool
        Which elements count.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.nanmin(tg.tensor([1.0, float("nan")]))
    Tensor(1.)
    """
    return _extreme(np.min, np.inf, a, axis, out, keepdims, initial, where)


def _extreme(
    function: Any, fill: float, a: Array, axis: AxisLike, out: Any, keepdims: Any, initial: Array,
    where: ArrayLike,
) -> Any:  # fmt: skip
    filled, hole = without_nan(a, fill)
    result = functions[function](filled, axis, None, keepdims, initial, _mask(where))
    if result.dtype.kind in CONTINUOUS and not is_given(initial):
        nothing = np.all(hole, axis=axis, keepdims=keepdims is not NOT_GIVEN and bool(keepdims))
        result = np.where(nothing, np.asarray(np.nan, result.dtype), result)
    return delivered(result, out, function.__name__)
