"""Fast and accurate work on the rows of arrays: sums, and operands that are repeated along rows.

>>> import numpy as np
>>> from tapegrad.ops.layers.row_sums import sums
>>> sums(np.array([[1.0, 2.0], [3.0, 4.0]]))
array([3., 7.])
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tapegrad.tape.core.types import Array

__all__ = ["buffer_for", "sums"]

#: How many numbers are summed in their own dtype: along memory, where the matrix library has many
#: partial sums, and across it, where one number is added after the other.
_ALONG, _ACROSS = 1 << 12, 1 << 7


@contextmanager
def buffer_for(length: int) -> Iterator[None]:
    """Keep NumPy from filling its buffer with copies of an operand that is repeated along rows."""
    with np.errstate():
        if length >= 64:
            np.setbufsize(min(length // 16 * 16, 8192))
        yield


def sums(a: Array, b: Array = None) -> Array:
    """Sum each row of a matrix, or of the product of two: pieces in their dtype, the rest in float64.

    Either the rows or the columns lie in memory one after the other.
    """
    if not a.size:
        return np.zeros(len(a))
    length = a.shape[1]
    along = a.strides[1] == a.itemsize
    step = min(length, _ALONG if along else _ACROSS)
    cut = length // step * step
    summed = _along if along else _across
    total = summed(a[:, :cut], None if b is None else b[:, :cut], step)
    if cut < length:
        total += summed(a[:, cut:], None if b is None else b[:, cut:], length - cut)
    return total


def _along(a: Array, b: Array, step: int) -> Any:
    a = a.reshape(len(a), -1, step)
    b = np.ones(step, a.dtype) if b is None else b.reshape(a.shape)
    return np.add.reduce(np.vecdot(a, b), axis=1, dtype=np.result_type(a.dtype, float))


def _across(a: Array, b: Array, step: int) -> Any:
    a = a.T.reshape(-1, step, len(a))
    if b is None:
        parts = np.matmul(np.ones(step, a.dtype), a)
    else:
        parts = np.einsum("isk,isk->ik", a, b.T.reshape(a.shape))
    return np.add.reduce(parts, axis=0, dtype=np.result_type(a.dtype, float))
