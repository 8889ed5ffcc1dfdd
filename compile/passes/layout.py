"""Layout: how a value lies in memory, as far as kernels depend on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.program.program import Program

__all__ = ["Layout", "contiguous_strides", "copy_as_it_lies", "shown"]


def contiguous_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return the strides of a C-contiguous array."""
    strides = []
    step = itemsize
    for n in reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


@dataclass(slots=True, frozen=True)
class Layout:
    """Shape, strides and dtype of a value."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, array: Any) -> Layout:
        """Return the layout of an array."""
        return cls(array.shape, array.strides, array.dtype)

    @classmethod
    def fresh(cls, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Layout:
        """Return the layout of a new array."""
        return cls(shape, contiguous_strides(shape, dtype.itemsize), dtype)

    @property
    def contiguous(self) -> bool:
        """Whether the array is C-contiguous."""
        return all(
            n == 1 or s == t
            for n, s, t in zip(
                self.shape, self.strides, contiguous_strides(self.shape, self.dtype.itemsize)
            )
        )

    def of_view(self, primitive: Primitive, params: Any) -> Layout | None:
        """Return the layout of a view of such an array, or None if NumPy copies."""
        if primitive.shows == "reshaped":
            return self.reshaped(params["shape"])
        return self._shown(lambda probe: primitive.forward(probe, **params))[0]

    def place_of_view(self, primitive: Primitive, params: Any) -> tuple[Layout | None, int]:
        """Return the layout of a view, and how many bytes it begins after the array."""
        if primitive.shows == "reshaped":
            return self.reshaped(params["shape"]), 0
        if primitive.batch_params is None:
            return self._shown(lambda probe: primitive.forward(probe, **params))
        # One element alone would be a number, which does not tell where it lay.
        behind = primitive.batch_params(params, len(self.shape), 1)
        many = Layout((1, *self.shape), (0, *self.strides), self.dtype)
        layout, offset = many._shown(lambda probe: primitive.forward(probe, **behind))
        if layout is None:
            return None, 0
        return Layout(layout.shape[1:], layout.strides[1:], self.dtype), offset

    def reshaped(self, shape: tuple[int, ...]) -> Layout | None:
        """Return the layout in another shape, or None if NumPy copies."""
        return self._shown(lambda probe: np.reshape(probe, shape, copy=False))[0]

    def broadcast(self, shape: tuple[int, ...]) -> Layout | None:
        """Return the layout of the array, repeated to a shape."""
        return self._shown(lambda probe: np.broadcast_to(probe, shape))[0]

    def _shown(self, show: Callable[[Any], Any]) -> tuple[Layout | None, int]:
        if 0 in self.shape:
            return None, 0
        # The probe's strides lead outside its memory: nothing may read it, only take views.
        probe = np.lib.stride_tricks.as_strided(
            np.zeros((), np.int8)[...], self.shape, self.strides
        )
        try:
            view = show(probe)
        except ValueError:
            return None, 0
        if not isinstance(view, np.ndarray):
            return None, 0
        begin, at = (x.__array_interface__["data"][0] for x in (probe, view))
        return Layout(view.shape, view.strides, self.dtype), at - begin


def copy_as_it_lies(array: Any) -> np.ndarray[Any, Any]:
    """Return a copy of an array with the same strides.

    >>> copy_as_it_lies(np.arange(10.0)[::-3]).strides
    (-24,)
    """
    array = np.asarray(array)
    if not array.size:
        return array.copy("K")
    low, high = byte_bounds(array)
    copy: np.ndarray[Any, Any] = np.ndarray(
        array.shape, array.dtype, np.empty(high - low, np.uint8),
        array.__array_interface__["data"][0] - low, array.strides,
    )  # fmt: skip
    copy[...] = array
    return copy


def shown(program: Program) -> set[Node]:
    """Return the outputs and what they are views of: whose memory users see."""
    found = set(program.results())
    for entry in reversed(program.entries):
        if entry in found and entry.primitive.view:
            found.update(o for o in entry.operands if type(o) is Node)
    return found
