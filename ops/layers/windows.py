"""Windows over the spatial axes of data: where they lie, and how work on them is divided.

>>> from tapegrad.ops.layers.windows import Windows
>>> over = Windows.over((6,), (3,), stride=(1,), padding=(1,), dilation=(1,))
>>> over.grid, over.padded
((6,), (8,))
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from tapegrad.tape.core.types import Array

__all__ = ["Part", "Sizes", "Windows", "divide", "steps_of", "view"]

Sizes = tuple[int, ...]


class Windows(NamedTuple):
    """Windows placed over data; each field has one number for each spatial axis.

    Attributes
    ----------
    size, window, grid : tuple of int
        Sizes of the data and of a window, and numbers of its placements.
    stride, padding, dilation : tuple of int
        Distance of two placements, zeros at both ends of the data, and distance of two elements of a
        window.
    """

    size: Sizes
    window: Sizes
    grid: Sizes
    stride: Sizes
    padding: Sizes
    dilation: Sizes

    @classmethod
    def over(
        cls, size: Sizes, window: Sizes, *, stride: Sizes, padding: Sizes, dilation: Sizes
    ) -> Windows:
        """Count the placements; there are none along an axis that the window does not fit."""
        grid = tuple(
            max(0, (n + 2 * p - d * (w - 1) - 1) // s + 1)
            for n, w, s, p, d in zip(size, window, stride, padding, dilation)
        )
        return cls(size, window, grid, stride, padding, dilation)

    @property
    def padded(self) -> Sizes:
        """Sizes of the data with their padding."""
        return tuple(n + 2 * p for n, p in zip(self.size, self.padding))

    def multiplications(self, examples: int, channels: int, filters: int) -> int:
        """Return how many a convolution takes."""
        return examples * channels * filters * math.prod(self.window) * math.prod(self.grid)

    def lines(self, rows: int) -> int:
        """Return how many lines of padded data some rows of the grid see, along the first axis."""
        return (rows - 1) * self.stride[0] + (self.window[0] - 1) * self.dilation[0] + 1

    def data_in(self, axis: int, lines: slice) -> tuple[slice, slice]:
        """Return which lines of the padded data are data: their places in `lines`, and in the data."""
        first = lines.start - self.padding[axis]
        start = max(first, 0)
        stop = max(start, min(first + lines.stop - lines.start, self.size[axis]))
        return slice(start - first, stop - first), slice(start, stop)

    def taps_on(self, axis: int, line: int) -> list[tuple[int, int]]:
        """Return who touches a line of the data: rows of the grid, ascending, each with its tap."""
        line += self.padding[axis]
        s, d = self.stride[axis], self.dilation[axis]
        return [
            ((line - tap * d) // s, tap)
            for tap in range(self.window[axis] - 1, -1, -1)
            if (line - tap * d) % s == 0 and 0 <= (line - tap * d) // s < self.grid[axis]
        ]

    def rows_on(self, axis: int, lines: slice) -> slice:
        """Return a range of rows of the grid in which all are that touch some lines of the data."""
        s, p = self.stride[axis], self.padding[axis]
        reach = (self.window[axis] - 1) * self.dilation[axis]
        start = max(0, -((reach - lines.start - p) // s))
        return slice(start, max(start, min(self.grid[axis], (lines.stop - 1 + p) // s + 1)))


class Part(NamedTuple):
    """A part of the work: some examples, and some rows along the first spatial axis."""

    examples: slice
    rows: slice

    @property
    def number(self) -> int:
        """The number of examples."""
        return int(self.examples.stop - self.examples.start)

    @property
    def height(self) -> int:
        """The number of rows."""
        return int(self.rows.stop - self.rows.start)


def divide(examples: int, rows: int, cost: int, budget: int, threads: int = 1) -> list[Part]:
    """Divide work into parts of nearly equal size, of whole examples if these fit.

    Parameters
    ----------
    cost : int
        Bytes of work arrays for one example with all rows.
    budget : int
        Bytes that a part may take.
    threads : int
        The number of parts is a multiple of this if that is possible.
    """
    if cost <= budget and examples >= threads:
        counts, heights = _cut(examples, budget // max(cost, 1), threads), [slice(0, rows)]
    else:
        counts = _cut(examples, budget // cost)
        heights = _cut(rows, budget * rows // cost, -(-threads // len(counts)))
    return [Part(count, height) for count in counts for height in heights]


def _cut(total: int, most: int, multiple: int = 1) -> list[slice]:
    """Cut a range into nearly equal pieces of at most `most`."""
    pieces = -(-total // max(1, min(most, total)))
    pieces = min(total, -(-pieces // multiple) * multiple)
    cuts = [i * total // pieces for i in range(pieces + 1)]
    return [slice(start, stop) for start, stop in pairwise(cuts)]


def steps_of(shape: Sizes) -> Sizes:
    """Return the distances of neighbours along each axis of contiguous memory, in elements."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def view(a: Array, shape: Sizes, steps: Sizes, offset: int = 0) -> Array:
    """View contiguous memory with steps counted in elements."""
    size = a.itemsize
    return np.ndarray(shape, a.dtype, a, offset * size, tuple(s * size for s in steps))
