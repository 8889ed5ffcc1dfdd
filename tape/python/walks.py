"""Iterators over plain arrays that see what is stored there while they run.

An iterator of NumPy's reads the memory of an array, element by element. A traced value that the loop
itself stores further on (``for i, v in enumerate(w[:-1]): w[i + 1] = v * x``) lies in the tensor that
stands for the array by then, and not in that memory. So these ask for it at each step.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from tapegrad.tape.array.flat import Flat
from tapegrad.tape.core.primitive import functions

__all__ = ["WALKED", "walk_back", "walked"]

#: The classes of what reads the memory of an array while it is iterated over.
WALKED = (np.ndarray, np.flatiter, np.ndenumerate)


def _element(array: Any, place: Any) -> Any:
    return functions["seen"](array)[place]


def _walk(array: Any, places: Any) -> Iterator[Any]:
    return map(partial(_element, array), places)


def _of_flat(flat: Any) -> Iterator[Any]:
    if isinstance(flat, Flat):
        return flat
    places = np.ndindex(flat.base.shape)
    for _ in range(flat.index):
        next(places)
    return _walk(flat.base, places)


def walked(value: Any) -> Any:
    """Return what to iterate over in place of a plain array or an iterator of NumPy's; else `value`.

    Rows are arrays, which are seen where they are used.
    """
    kind = type(value)
    if kind is np.ndarray:
        return _walk(value, range(len(value))) if value.ndim == 1 else value
    if kind is np.flatiter:
        return _of_flat(value)
    if kind is np.ndenumerate:
        array = value.iter.base
        return zip(np.ndindex(array.shape), _walk(array, np.ndindex(array.shape)))
    return value


def walk_back(array: Any) -> Any:
    """Return what iterates over a plain array from its end; None for what is no array of numbers."""
    if type(array) is not np.ndarray or array.ndim != 1:
        return None
    return _walk(array, range(len(array) - 1, -1, -1))
