"""Arrays of users that a graph or a tape refers to, as they were when they were used.

Code may fill a buffer anew after a traced value was multiplied by it. Imperative tensors lock such
arrays (see ``guard``); transformations lock nothing, and keep what they need: a copy of an array, or,
of a large one, a checksum which shows that it is still the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.tape.core.errors import InvalidBackprop
from tapegrad.tape.core.location import Line, user_location

__all__ = ["Originals", "copied", "same_bits"]

#: Bytes up to which arrays are copied. A checksum reads an array; a copy also touches new memory.
_SMALL = 1 << 16

#: Numbers that a checksum adds up apart: what moves within a row of so many changes these sums.
_APART = 1021


class Originals:
    """Knows the arrays that one trace refers to."""

    __slots__ = ("_copies", "_large")

    def __init__(self) -> None:
        self._copies: dict[int, tuple[Any, Any]] = {}
        self._large: dict[tuple[int, bytes], tuple[Any, Line]] = {}

    def copy(self, array: Any) -> Any:
        """Return a copy; the same one as before if the array has not changed since."""
        known = self._copies.get(id(array))
        if known is not None and same_bits(known[1], array):
            return known[1]
        copy = copied(array)
        self._copies[id(array)] = (array, copy)  # holding the array keeps its id its own
        return copy

    def hold(self, array: Any) -> Any:
        """Return what stands for the array from now on: a copy, or itself if it is large."""
        if not array.flags.writeable and array.flags.owndata:
            return array
        if array.nbytes <= _SMALL or not _core(array).flags.forc:
            copy = self.copy(array)
            if copy.base is None:
                copy.flags.writeable = False  # the next trace need not copy it again
            return copy
        key = (id(array), _checksum(array))
        if key not in self._large:
            self._large[key] = (array, user_location())
        return array

    def check(self) -> None:
        """Raise if a large array has changed.

        Raises
        ------
        InvalidBackprop
        """
        for (_, checksum), (array, where) in self._large.items():
            if _checksum(array) != checksum:
                raise InvalidBackprop(
                    f"an array of shape {array.shape} that the function used, at {where}, was "
                    "changed in place before the gradient was computed, which needs the former "
                    "values. Change a copy instead, or make it a tensor, whose writes are recorded: "
                    "tg.zeros(shape, dtype=float), or np.zeros_like(x) of a traced x"
                )


def same_bits(a: Any, b: Any) -> bool:
    """Whether two arrays have one shape, one dtype and the same bits."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind == "f" and a.itemsize <= 8:
        # As integers: -0.0 is not 0.0, and nan is nan.
        a, b = a.view(f"u{a.itemsize}"), b.view(f"u{a.itemsize}")
    elif a.dtype.kind in "fc":
        return a.tobytes() == b.tobytes()
    return bool(np.array_equal(a, b))


def _core(array: Any) -> Any:
    """Return the array without its repetitions along axes of stride 0."""
    if 0 not in array.strides:
        return array
    return array[tuple(slice(0, 1) if s == 0 else slice(None) for s in array.strides)]


def copied(array: Any) -> Any:
    """Return a copy that NumPy's loops treat as they treat the array, so that last bits are the same.

    They depend on the order of the axes in memory, on which elements touch, which axes can be run
    through as one, and on alignment; not on how wide gaps are. The copy has narrow ones.
    """
    core = _core(array)
    copy = core.copy("K")
    if core.size and (core.strides != copy.strides or not core.flags.aligned):
        strides = _narrowed(core)
        low, high = 0, core.itemsize
        for n, stride in zip(core.shape, strides):
            low, high = low + min(0, (n - 1) * stride), high + max(0, (n - 1) * stride)
        first = -low + core.__array_interface__["data"][0] % core.itemsize
        memory = np.empty(first + high, np.uint8)
        copy = np.ndarray(core.shape, core.dtype, memory, first, strides)
        copy[...] = core
    return copy if core is array else np.broadcast_to(copy, array.shape)


def _narrowed(array: Any) -> tuple[int, ...]:
    """Return the array's strides with the narrowest gaps where it has any.

    Along an axis of one element they stay as they are: NumPy's loops look at them all the same.
    """
    size = array.itemsize
    strides = list(array.strides)
    ends, end = size, size  # where the next element would touch, in the array and in the copy
    for axis in sorted(range(array.ndim), key=lambda axis: (abs(array.strides[axis]), -axis)):
        if array.shape[axis] > 1:
            step = abs(array.strides[axis])
            stride = end if step == ends else end + ((step - end) % size or size)
            ends, end = step * array.shape[axis], stride * array.shape[axis]
            strides[axis] = stride if array.strides[axis] > 0 else -stride
    return tuple(strides)


def _checksum(array: Any) -> bytes:
    """Return weighted sums of the memory of a contiguous array, and the bytes at its end."""
    core = _core(array)
    core = core if core.flags.c_contiguous else core.T
    memory = core.reshape(-1).view(np.uint8)
    count = len(memory) // (8 * _APART)
    inside = count * 8 * _APART
    table = memory[:inside].view(np.uint64).reshape(count, _APART)
    sums = [np.einsum("i,ij->j", weights, table) for weights in _weights(count)]
    return b"".join([*(total.tobytes() for total in sums), memory[inside:].tobytes()])


def _weights(count: int) -> list[Any]:
    """Return weights of rows that may change places: odd, and different in their last 12 bits.

    Round numbers differ in their first 12 bits only, which these bits are multiplied by. Of more rows
    than that allows, blocks have weights of their own.
    """
    rows = np.arange(count, dtype=np.uint64)
    numbers = [rows, rows >> np.uint64(11)] if count > 2048 else [rows]
    return [number * np.uint64(2 * 0x9E3779B97F4A7C15 % 2**64) + np.uint64(1) for number in numbers]
