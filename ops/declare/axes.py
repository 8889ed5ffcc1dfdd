"""Axes: as users name them, as primitives get them, and what rules do with them.

>>> all_axes(-1, 3), all_axes(None, 2)
((2,), (0, 1))
"""

from __future__ import annotations

import math
from operator import index
from typing import Any

import numpy as np

from tapegrad.tape.array.replacements import holds_tensor
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.types import Array, ArrayLike, AxisLike

__all__ = [
    "NOT_GIVEN", "Axes", "all_axes", "from_back", "is_given", "one_axis", "shape_of", "to_back",
    "with_axes",
]  # fmt: skip

#: As primitives get them: not negative, each once.
Axes = tuple[int, ...]

#: What NumPy passes for arguments that were not given.
NOT_GIVEN: Any = np._NoValue


def is_given(value: Any) -> bool:
    """Whether the caller of a NumPy function gave a value for an argument."""
    return value is not None and value is not NOT_GIVEN


def all_axes(axis: AxisLike, ndim: int) -> tuple[int, ...]:
    """Normalise ``axis`` of a reduction to a tuple of non-negative axes; NumPy's errors."""
    if axis is None:
        return tuple(range(ndim))
    if type(axis) is int:
        if 0 <= axis < ndim:
            return (axis,)
        if -ndim <= axis < 0:
            return (axis + ndim,)
        if not ndim and axis in (0, -1):
            return ()
    if isinstance(axis, list):
        raise TypeError("'list' object cannot be interpreted as an integer")
    axes = axis if type(axis) is tuple else (axis,)
    found = tuple(one_axis(a, ndim) for a in axes)
    if len(set(found)) != len(found):
        raise ValueError("duplicate value in 'axis'")
    return found


def one_axis(axis: AxisLike, ndim: int) -> int:
    """Normalise one axis; NumPy's error if there is no such axis."""
    axis = index(axis)
    if -ndim <= axis < ndim:
        return axis % ndim
    raise np.exceptions.AxisError(axis, ndim)


def shape_of(a: ArrayLike) -> tuple[int, ...]:
    """Return the shape of a tensor, array or scalar, or of nested sequences of these."""
    if isinstance(a, Tensor):
        return a.shape
    if isinstance(a, list | tuple) and holds_tensor(a):
        return (len(a), *shape_of(a[0]))
    return np.shape(a)


def with_axes(g: ArrayLike, axis: Axes, keepdims: bool) -> Array:
    """Put the reduced axes back, with size 1."""
    return g if keepdims or not axis else np.expand_dims(g, axis)


def to_back(x: ArrayLike, axis: Axes) -> Array:
    """Make the reduced axes one last axis."""
    kept = tuple(i for i in range(len(x.shape)) if i not in axis)
    order = kept + axis
    if order != tuple(range(len(order))):
        x = np.transpose(x, order)
    shape = x.shape
    if len(axis) == 1:
        return x
    return np.reshape(x, (*shape[: len(kept)], math.prod(shape[len(kept) :])))


def from_back(x: ArrayLike, shape: tuple[int, ...], axis: Axes) -> Array:
    """Undo :func:`to_back`; `shape` is that of the original."""
    kept = tuple(i for i in range(len(shape)) if i not in axis)
    order = kept + axis
    if len(axis) != 1:
        x = np.reshape(x, tuple(shape[i] for i in order))
    if order == tuple(range(len(order))):
        return x
    return np.transpose(x, tuple(sorted(range(len(order)), key=order.__getitem__)))
