"""Arrays as sets: distinct values, unions, intersections, and zeros that are trimmed.

NumPy finds out on plain values which elements are kept; these are then taken, so that the gradient goes
to where each came from. The choice depends on the values: ``jit`` sets a guard on them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.declare.axes import all_axes
from tapegrad.ops.declare.ufunc import as_tensor, data_of
from tapegrad.ops.shape.joining import concatenate
from tapegrad.ops.shape.selecting import take
from tapegrad.tape.core.primitive import functions, implements
from tapegrad.tape.core.types import Array, ArrayLike, AxisLike

__all__ = [
    "intersect1d", "setdiff1d", "setxor1d", "trim_zeros", "union1d", "unique", "unique_all",
    "unique_counts", "unique_inverse", "unique_values",
]  # fmt: skip


@implements(np.unique)
def unique(
    ar: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False,
    axis: int | None = None, *, equal_nan: bool = True, sorted: bool = True,
) -> Array:  # fmt: skip
    """Return the sorted values without repetitions; the gradient goes to the first of equals.

    Parameters
    ----------
    ar : array_like
        Values.
    return_index, return_inverse, return_counts : bool
        What else is returned, as plain arrays.
    axis : int, optional
        By default the array is flattened.
    equal_nan : bool
        Whether nan counts as one value.
    sorted : bool
        The result is sorted, whatever is asked for.

    Returns
    -------
    Tensor
        With indices, inverse or counts a tuple, in this order.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.unique(tg.tensor([2.0, 1.0, 2.0]))
    Tensor([1., 2.])
    """
    ar = as_tensor(ar)
    values = data_of(ar, "unique")
    _, index, inverse, counts = np.unique(values, True, True, True, axis, equal_nan=equal_nan)
    asked = ((return_index, index), (return_inverse, inverse), (return_counts, counts))
    more = tuple(array for flag, array in asked if flag)
    result = take(ar, index, axis)
    return (result, *more) if more else result


def _named(numpys: Any, text: str) -> Any:
    """Make one of the functions that return named fields, of which ``values`` is a tensor."""
    name = numpys.__name__

    def compute(x: Array, /) -> Any:
        x = as_tensor(x)
        values = data_of(x, name)
        found: Any = numpys(values)
        index = np.unique(values, return_index=True, equal_nan=False)[1]
        result = take(x, index)
        return found._replace(values=result) if hasattr(found, "_replace") else result

    compute.__name__ = compute.__qualname__ = name
    compute.__doc__ = f"""{text}; the gradient goes to the first of equals.

    Parameters
    ----------
    x : array_like
        Flattened; nan differ from each other.

    Returns
    -------
    Tensor, or named tuple
        The values, sorted, are a tensor; what else there is are arrays of integers.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.{name}(tg.tensor([2.0, 1.0, 2.0])){".values" if name != "unique_values" else ""}
    Tensor([1., 2.])
    """
    return implements(numpys)(compute)


unique_all = _named(np.unique_all, "Return distinct values, their indices, inverse and counts")
unique_counts = _named(np.unique_counts, "Return distinct values and their counts")
unique_inverse = _named(np.unique_inverse, "Return distinct values and their inverse indices")
unique_values = _named(np.unique_values, "Return the distinct values, sorted")


@implements(np.union1d)
def union1d(ar1: ArrayLike, ar2: ArrayLike) -> Array:
    """Return the sorted values that are in one of two arrays.

    Parameters
    ----------
    ar1, ar2 : array_like
        Flattened.

    Returns
    -------
    Tensor, one axis

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.union1d(tg.tensor([2.0, 1.0]), [3.0, 1.0])
    Tensor([1., 2., 3.])
    """
    return unique(concatenate((ar1, ar2), None))


@implements(np.intersect1d)
def intersect1d(
    ar1: ArrayLike, ar2: ArrayLike, assume_unique: bool = False, return_indices: bool = False
) -> Array:
    """Return the sorted values that are in both arrays, taken from the first.

    Parameters
    ----------
    ar1, ar2 : array_like
        Flattened.
    assume_unique : bool
        Whether no value comes twice in one of them.
    return_indices : bool
        Whether to return where the values are in both, too.

    Returns
    -------
    Tensor, one axis
        With `return_indices` a tuple of it and two arrays of indices.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.intersect1d(tg.tensor([2.0, 1.0]), [3.0, 1.0])
    Tensor([1.])
    """
    one, two = (data_of(a, "intersect1d") for a in (ar1, ar2))
    values, first, second = np.intersect1d(one, two, assume_unique, return_indices=True)
    result = functions["cast"](take(np.ravel(as_tensor(ar1)), first), values.dtype)
    return (result, first, second) if return_indices else result


@implements(np.setdiff1d)
def setdiff1d(ar1: ArrayLike, ar2: ArrayLike, assume_unique: bool = False) -> Array:
    """Return the sorted values of the first array that are not in the second.

    Parameters
    ----------
    ar1, ar2 : array_like
        Flattened.
    assume_unique : bool
        Whether no value comes twice in one of them.

    Returns
    -------
    Tensor, one axis

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.setdiff1d(tg.tensor([2.0, 1.0]), [3.0, 1.0])
    Tensor([2.])
    """
    values = np.ravel(as_tensor(ar1)) if assume_unique else unique(ar1)
    other = data_of(ar2, "setdiff1d")
    kept = np.isin(data_of(values, "setdiff1d"), other, assume_unique=True, invert=True)
    return take(values, np.flatnonzero(kept))


@implements(np.setxor1d)
def setxor1d(ar1: ArrayLike, ar2: ArrayLike, assume_unique: bool = False) -> Array:
    """Return the sorted values that are in just one of two arrays.

    Parameters
    ----------
    ar1, ar2 : array_like
        Flattened.
    assume_unique : bool
        Whether no value comes twice in one of them.

    Returns
    -------
    Tensor, one axis

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.setxor1d(tg.tensor([2.0, 1.0]), [3.0, 1.0])
    Tensor([2., 3.])
    """
    arrays = (as_tensor(ar1), as_tensor(ar2))
    if not assume_unique:
        arrays = (unique(arrays[0]), unique(arrays[1]))
    both = concatenate(arrays, None)
    values = data_of(both, "setxor1d")
    order = np.argsort(values)
    ordered = values[order]
    new = np.concatenate(([True], ordered[1:] != ordered[:-1], [True]))
    return take(both, order[new[1:] & new[:-1]] if values.size else order)


@implements(np.trim_zeros)
def trim_zeros(filt: Any, trim: str = "fb", axis: AxisLike = None) -> Array:
    """Cut off zeros at the ends; a view.

    Parameters
    ----------
    filt : array_like
        Values.
    trim : {'f', 'b', 'fb'}
        At which ends: front, back, or both.
    axis : int or tuple of int, optional
        By default all.

    Returns
    -------
    Tensor
        A view.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.trim_zeros(tg.tensor([0.0, 1.0, 2.0, 0.0]))
    Tensor([1., 2.])
    """
    filt = as_tensor(filt)
    ends = trim.lower()
    if ends not in ("f", "b", "fb", "bf"):
        raise ValueError(f"unexpected character(s) in `trim`: {trim!r}")
    where = np.nonzero(data_of(filt, "trim_zeros"))
    axes = all_axes(axis, filt.ndim)
    box = []
    for i, (n, places) in enumerate(zip(filt.shape, where)):
        start, stop = (int(places.min()), int(places.max()) + 1) if places.size else (0, 0)
        if i not in axes:
            start, stop = 0, n
        elif places.size:
            start, stop = (start if "f" in ends else 0), (stop if "b" in ends else n)
        box.append(slice(start, stop))
    return filt[tuple(box)]
