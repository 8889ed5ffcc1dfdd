"""Slices whose bounds depend on the trip of a loop, as rows of indices.

What NumPy gives for such a slice is a view. The rows are a copy, which may stand for it as long as
nobody writes into either: the trace of the trip ends the recording where that happens.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.program.trips import known

__all__ = ["with_rows"]


def with_rows(array: Any, key: Any) -> Any:
    """Return a key with an array of indices in place of its one slice that depends on the trip.

    None if there is no such slice, or another key would give another shape.
    """
    parts = key if type(key) is tuple else (key,)
    moving = [i for i, part in enumerate(parts) if _is_moving(part)]
    if len(moving) != 1 or not all(map(_is_basic, parts)):
        return None
    numbers = [i for i, part in enumerate(parts) if _is_number(part)]
    places = sorted((*numbers, *moving))
    if places[-1] - places[0] + 1 != len(places) or (numbers and not _has_axes(parts)):
        return None  # NumPy would put the axis of the indices in front
    (place,) = moving
    rows = _rows(parts[place], array.shape[_axis(array, parts, place)])
    if rows is None:
        return None
    return (*parts[:place], rows, *parts[place + 1 :])


def _is_moving(part: Any) -> bool:
    if type(part) is not slice or part.step not in (None, 1):
        return False
    return isinstance(part.start, Tensor) and part.stop is not None and not np.ndim(part.start)


def _is_number(part: Any) -> bool:
    return type(part) is int or (isinstance(part, Tensor | np.integer) and not np.ndim(part))


def _is_basic(part: Any) -> bool:
    if type(part) is slice:
        plain = all(not isinstance(p, Tensor) for p in (part.start, part.stop, part.step))
        return plain or _is_moving(part)
    return part is None or part is Ellipsis or _is_number(part)


def _has_axes(parts: tuple[Any, ...]) -> bool:
    """Whether each part stands for one axis."""
    return not any(part is None or part is Ellipsis for part in parts)


def _axis(array: Any, parts: tuple[Any, ...], place: int) -> int:
    """Return which axis the part at a place stands for."""
    used = sum(part is not None and part is not Ellipsis for part in parts)
    before = [part for part in parts[:place] if part is not None]
    if Ellipsis in [p for p in before if p is Ellipsis]:
        return len(before) - 1 + array.ndim - used
    return len(before)


def _rows(part: slice, length: int) -> Any:
    """Return the indices of a slice that has the same length in all trips; None for others."""
    first, last = int(known(part.start)), int(known(part.stop))
    if not 0 <= first <= last <= length:
        return None
    size = operator.index(part.stop - part.start)  # which makes it a test
    if not (bool(part.start >= 0) and bool(part.start <= length - size)):
        return None
    # A trip that fails these tests is computed, too, and must not fail by its indices.
    return np.minimum(np.maximum(part.start, 0), length - size) + np.arange(size)
