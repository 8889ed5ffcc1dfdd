"""Quantiles and percentiles, for all of NumPy's methods.

Every method gives a weighted mean of two neighbours among the sorted values, with weights that depend on
their number alone. So NumPy is asked for the quantile of 0, 1, 2, ...: its integral part says
which neighbours, and its fraction is the weight. The rest is a composition.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from tapegrad.ops.declare.axes import NOT_GIVEN, all_axes, to_back
from tapegrad.ops.declare.ufunc import as_tensor, data_of, delivered, owned, undifferentiated
from tapegrad.ops.reduce.numpy_reductions import aligned_weights
from tapegrad.ops.shape.selecting import take_along_axis
from tapegrad.tape.core.primitive import functions, implements
from tapegrad.tape.core.types import Array, ArrayLike, AxisLike, DTypeLike, ShapeLike

__all__ = ["nanmedian", "nanpercentile", "nanquantile", "percentile", "quantile"]


def _check(q: Array, percent: bool) -> None:
    q = np.asarray(q)
    if not (np.all(q >= 0) and np.all(q <= (100 if percent else 1))):
        raise ValueError(
            "Percentiles must be in the range [0, 100]"
            if percent
            else "Quantiles must be in the range [0, 1]"
        )


def _places(numbers: Array, q: Array, method: str, **weights: Any) -> Any:
    """Return where among sorted values, numbered from 0, the quantile lies."""
    quantile: Any = np.quantile
    return np.asarray(quantile(np.asarray(numbers, float), q, method=method, **weights), float)


def _between(ordered: Any, place: Any) -> Any:
    """Take the values at fractional places along the last axis; places are in front of it."""
    n = ordered.shape[-1]
    low = np.floor(place).astype(np.intp)
    fraction = place - low
    first = take_along_axis(ordered, low, -1)
    if not fraction.any():
        return first
    second = take_along_axis(ordered, np.minimum(low + 1, n - 1), -1)
    whole = fraction == 0
    step = np.where(whole, 0.0, second) - np.where(whole, 0.0, first)  # without inf - inf
    return first + step * fraction.astype(ordered.dtype)


def _quantile(
    a: Array, q: Array, axis: AxisLike, out: Any, method: str, keepdims: Any, weights: Array, *,
    percent: bool = False, skip_nan: bool = False,
) -> Any:  # fmt: skip
    name = f"{'nan' if skip_nan else ''}{'percentile' if percent else 'quantile'}"
    q = undifferentiated(q, name, "q")
    _check(q, percent)
    a = as_tensor(a)
    like = np.ones(1, a.dtype)
    dtype = (np.percentile if percent else np.quantile)(like, q, method=method).dtype  # type: ignore[call-overload]
    q = np.asarray(q, a.dtype if isinstance(q, int | float) and a.dtype.kind == "f" else None)
    q = np.true_divide(q, a.dtype.type(100) if a.dtype.kind == "f" else 100) if percent else q
    shape = a.shape
    axes = tuple(sorted(all_axes(axis, len(shape))))
    flat = to_back(a, axes)
    rows, n = flat.shape[:-1], flat.shape[-1]
    if not n:
        return _of_nothing(skip_nan, rows, q, dtype)
    order = np.argsort(flat, axis=-1)
    ordered = functions["cast"](take_along_axis(flat, order, -1), dtype)
    hole = np.isnan(flat)
    flat_q = np.reshape(q, -1)
    if weights is not None:
        place = _weighted_places(weights, shape, axes, axis, order, hole, flat_q, method, name)
    elif skip_nan:
        place = _places_of_counts(n - np.sum(data_of(hole, name), axis=-1), flat_q, method)
    else:
        place = np.broadcast_to(_places(np.arange(n), flat_q, method), (*rows, flat_q.size))
    result = _between(ordered, place)
    if dtype.kind == "f" and not skip_nan:
        bad = np.expand_dims(np.any(hole, axis=-1), -1)
        result = np.where(bad, np.asarray(np.nan, dtype), result)
    result = np.reshape(np.moveaxis(result, -1, 0), (*np.shape(q), *rows))
    if keepdims and keepdims is not NOT_GIVEN:
        kept = [1 if i in axes else m for i, m in enumerate(shape)]
        result = np.reshape(result, (*np.shape(q), *kept))
    return delivered(owned(result, a), out, name)


def _of_nothing(skip_nan: bool, rows: Any, q: Array, dtype: DTypeLike) -> Any:
    if not skip_nan:
        raise IndexError("index -1 is out of bounds for axis 0 with size 0")
    warnings.warn("Mean of empty slice", RuntimeWarning, stacklevel=4)
    return as_tensor(np.full((*np.shape(q), *rows), np.nan, dtype))


def _places_of_counts(counts: Any, q: Array, method: str) -> Any:
    """Return the places among the first `counts` of the sorted values: nan is sorted to the end."""
    place = np.zeros((*counts.shape, q.size))
    for count in np.unique(counts):
        if count:
            place[counts == count] = _places(np.arange(count), q, method)
        else:
            warnings.warn("All-NaN slice encountered", RuntimeWarning, stacklevel=4)
    return place


def _weighted_places(
    weights: Array, shape: ShapeLike, axes: AxisLike, axis: AxisLike, order: Any, hole: Any,
    q: Array, method: str, name: str,
) -> Any:  # fmt: skip
    """Return the places for weights; the result jumps with them and has no gradient."""
    weights = np.asarray(undifferentiated(weights, name, "its weights"))
    weights = np.asarray(aligned_weights(weights, shape, axis))
    if (weights < 0).any():
        raise ValueError("Weights must be non-negative.")
    # NumPy asks for floats, and so do we, before integers are divided.
    flat = np.where(data_of(hole, name), 0.0, to_back(weights, axes))
    flat = np.take_along_axis(flat, np.asarray(data_of(order, name)), -1)
    numbers = np.broadcast_to(np.arange(float(flat.shape[-1])), flat.shape)
    return np.moveaxis(_places(numbers, q, method, axis=-1, weights=flat), 0, -1)


_DOC = """
    Parameters
    ----------
    a : array_like
        Values.
    q : array_like of float
        {which}; no gradient flows to it.
    axis : int or tuple of int, optional
        Axes to reduce; by default all.
    out : Tensor or ndarray, optional
        Where the result is written to.
    overwrite_input : bool
        Nothing is overwritten.
    method : str
        How to interpolate, as in ``numpy.quantile``.
    keepdims : bool
        Whether the reduced axes stay, with size 1.
    weights : array_like, optional
        For ``method="inverted_cdf"``; no gradient flows to them.

    Returns
    -------
    Tensor
        With the axes of `q` in front.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.{name}(tg.tensor([3.0, 1.0, {more}2.0]), {example})
    Tensor([1.5, 2.5])
    """


def _function(numpys: Any, text: str) -> Any:
    """Make one of the four functions."""
    name = numpys.__name__
    percent, skip_nan = "percentile" in name, name.startswith("nan")

    def compute(
        a: Array, q: Array, axis: AxisLike = None, out: Any = None, overwrite_input: bool = False,
        method: str = "linear", keepdims: Any = False, *, weights: Array = None,
    ) -> Any:  # fmt: skip
        return _quantile(
            a, q, axis, out, method, keepdims, weights, percent=percent, skip_nan=skip_nan
        )

    compute.__name__ = compute.__qualname__ = name
    compute.__doc__ = text + _DOC.format(
        name=name,
        which="Percentages" if percent else "Shares of the values, from 0 to 1",
        more='float("nan"), ' if skip_nan else "",
        example="[25, 75]" if percent else "[0.25, 0.75]",
    )
    return implements(numpys)(compute)


quantile = _function(
    np.quantile, "Quantiles over axes: what a fraction `q` of the values is below.\n"
)
percentile = _function(np.percentile, "Percentiles over axes.\n")
nanquantile = _function(np.nanquantile, "Quantiles over axes of what is not nan.\n")
nanpercentile = _function(np.nanpercentile, "Percentiles over axes of what is not nan.\n")


@implements(np.nanmedian)
def nanmedian(
    a: ArrayLike, axis: AxisLike = None, out: Any = None, overwrite_input: bool = False,
    keepdims: Any = False,
) -> Array:  # fmt: skip
    """Median over axes of what is not nan.

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
    >>> tg.nanmedian(tg.tensor([3.0, float("nan"), 1.0]))
    Tensor(2.)
    """
    return _quantile(a, 0.5, axis, out, "linear", keepdims, None, skip_nan=True)
