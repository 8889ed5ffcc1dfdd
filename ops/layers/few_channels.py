"""Convolution with space as the innermost axes, for data that have few channels or one spatial axis.

The windows over an example are laid out as a matrix, with a row for each channel and place in the
window and a column for each placement: each row is copied in long runs. One matrix product does the
arithmetic. Where the data or the cotangents are already such matrices, nothing is copied.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tapegrad.ops.layers.windows import Part, Sizes, Windows, divide, steps_of, view
from tapegrad.ops.layers.workers import (
    in_threads,
    multiply,
    processors,
    sum_in_threads,
    work_arrays,
)
from tapegrad.tape.core.types import Array

__all__ = ["convolve", "convolve_data", "convolve_filters"]

#: Bytes of work arrays for a part of the work.
_BUDGET = 3 << 20

#: Windows over whole lines are added up much faster than over parts of them, but the matrix product
#: then computes what lies between two windows too. Up to this factor that is worth it. It never is
#: where windows are collected: what the product would compute besides must be left out by one copy more.
_MOST_WASTE_ADDING = 1.6


class _Placing(NamedTuple):
    """How windows over a part of an example lie in its padded, flattened memory.

    Attributes
    ----------
    padded, grid : tuple of int
        Sizes of that part of the padded data, and numbers of placements.
    inner, outer : tuple of int
        Distances of two elements of a window, and of two placements, along each axis.
    wide : bool
        Whether the columns of the matrix are all places from the first placement to the last, also
        those between two rows of the grid. What these give is ignored.
    columns : int
        Columns of the matrix.
    """

    padded: Sizes
    grid: Sizes
    inner: Sizes
    outer: Sizes
    wide: bool
    columns: int

    @classmethod
    def of(cls, over: Windows, rows: int, most_waste: float = 1.0) -> _Placing:
        """Lay out the windows that make some rows of the grid."""
        padded, grid = (over.lines(rows), *over.padded[1:]), (rows, *over.grid[1:])
        steps = steps_of(padded)
        inner = tuple(d * step for d, step in zip(over.dilation, steps))
        outer = tuple(s * step for s, step in zip(over.stride, steps))
        extent = sum((n - 1) * step for n, step in zip(grid, outer)) + 1
        exact = math.prod(grid)
        wide = len(grid) > 1 and extent <= most_waste * exact
        return cls(padded, grid, inner, outer, wide, extent if wide else exact)

    def shapes(
        self, over: Windows, count: int, channels: int, filters: int
    ) -> tuple[Sizes, Sizes, Sizes]:
        """Return the shapes of padded data, matrices of windows, and what belongs to their columns."""
        rows = channels * math.prod(over.window)
        return (
            (count, channels, *self.padded),
            (count, rows, self.columns),
            (count, filters, self.columns),
        )

    @property
    def gapless(self) -> bool:
        """Whether the columns are the placements and nothing else, in order."""
        return not self.wide or self.outer == steps_of(self.grid)

    def placed(self, matrices: Array) -> Any:
        """View the columns of matrices as placements: shape (examples, rows, *grid)."""
        steps = self.outer if self.wide else steps_of(self.grid)
        outer = steps_of(matrices.shape)[:2]
        return view(matrices, (*matrices.shape[:2], *self.grid), (*outer, *steps))


def _cost(placing: _Placing, over: Windows, channels: int, filters: int, itemsize: int) -> int:
    """Return the bytes that an example takes."""
    return sum(map(math.prod, placing.shapes(over, 1, channels, filters))) * itemsize


def _collect(
    matrices: Array, padded: Any, x: Array, over: Windows, part: Part, placing: _Placing
) -> Any:
    """Return matrices of the windows of a part of the data: filled ones, or the data themselves."""
    unpadded = not any(over.padding)
    if unpadded and x.flags.c_contiguous and placing.padded == over.size:
        padded = x[part.examples]
        if placing.grid == over.size:  # windows of one element
            return padded.reshape(matrices.shape)
    else:
        if not unpadded:
            padded[...] = 0
        start = part.rows.start * over.stride[0]
        places, source = over.data_in(0, slice(start, start + padded.shape[2]))
        around = tuple(slice(p, p + n) for p, n in zip(over.padding[1:], over.size[1:]))
        padded[(..., places, *around)] = x[part.examples, :, source]
    across, steps = ((placing.columns,), (1,)) if placing.wide else (placing.grid, placing.outer)
    windows = view(
        padded,
        (*padded.shape[:2], *over.window, *across),
        (*steps_of(padded.shape)[:2], *placing.inner, *steps),
    )
    matrices.reshape(windows.shape)[...] = windows
    return matrices


def _as_columns(columns: Any, g: Array, part: Part, placing: _Placing) -> Any | None:
    """View some examples of a result, or of cotangents, as the columns of matrices if they are that."""
    if placing.gapless and g.flags.c_contiguous and part.height == g.shape[2]:
        return g[part.examples].reshape(columns.shape)
    return None


def _lay(columns: Any, g: Array, part: Part, placing: _Placing) -> Any:
    """Return cotangents as the columns that belong to them: laid out, or as they are."""
    direct = _as_columns(columns, g, part, placing)
    if direct is not None:
        return direct
    if placing.wide:
        columns[...] = 0
    placing.placed(columns)[...] = g[part.examples, :, part.rows]
    return columns


def convolve(x: Array, w: Array, out: Any, over: Windows) -> None:
    """Fill `out`, shape (examples, filters, *grid)."""
    filters, channels = w.shape[:2]
    flat = w.reshape(filters, -1)
    threads = processors(over.multiplications(len(x), channels, filters))

    def task(part: Part) -> None:
        placing = _Placing.of(over, part.height)
        shapes = placing.shapes(over, part.number, channels, filters)
        with work_arrays(out.dtype, *shapes) as (padded, matrices, result):
            matrices = _collect(matrices, padded, x, over, part, placing)
            direct = _as_columns(result, out, part, placing)
            multiply(flat, matrices, result if direct is None else direct)
            if direct is None:
                out[part.examples, :, part.rows] = placing.placed(result)

    placing = _Placing.of(over, over.grid[0])
    cost = _cost(placing, over, channels, filters, out.itemsize)
    parts = divide(len(x), over.grid[0], cost, _BUDGET, threads)
    in_threads([partial(task, part) for part in parts], threads)


def convolve_filters(x: Array, g: Array, out: Any, over: Windows) -> None:
    """Fill `out`, shape (filters, channels, *window).

    The sum over parts of the work is taken in an order that depends on nothing but sizes and the
    number of processors.
    """
    filters, channels = out.shape[:2]
    threads = processors(over.multiplications(len(x), channels, filters))
    placing = _Placing.of(over, over.grid[0])
    cost = _cost(placing, over, channels, filters, out.itemsize) + out.nbytes
    parts = divide(len(x), over.grid[0], cost, max(_BUDGET, out.nbytes), threads)
    groups = min(len(parts), threads)
    totals = np.zeros((groups, out[0].size, filters), out.dtype)

    def add(total: Array, part: Part) -> None:
        placing = _Placing.of(over, part.height)
        shapes = placing.shapes(over, part.number, channels, filters)
        with work_arrays(out.dtype, *shapes, (part.number, *total.shape)) as arrays:
            padded, matrices, columns, terms = arrays
            matrices = _collect(matrices, padded, x, over, part, placing)
            columns = _lay(columns, g, part, placing)
            multiply(matrices, columns.swapaxes(1, 2), terms)
            total += np.add.reduce(terms)

    out.reshape(filters, -1)[...] = sum_in_threads(add, parts, totals, threads).T


def convolve_data(g: Array, w: Array, out: Any, over: Windows) -> None:
    """Fill `out`, shape (examples, channels, *size)."""
    filters, channels = w.shape[:2]
    flat = w.reshape(filters, -1).T
    threads = processors(over.multiplications(len(g), channels, filters))
    placing = _Placing.of(over, over.grid[0], _MOST_WASTE_ADDING)
    cost = _cost(placing, over, channels, filters, out.itemsize)
    parts = divide(len(g), over.grid[0], cost, _BUDGET, threads)
    around = tuple(slice(p, p + n) for p, n in zip(over.padding[1:], over.size[1:]))
    out[...] = 0

    def task(part: Part) -> None:
        placing = _Placing.of(over, part.height, _MOST_WASTE_ADDING)
        shapes = placing.shapes(over, part.number, channels, filters)
        with work_arrays(out.dtype, *shapes) as (padded, matrices, columns):
            columns = _lay(columns, g, part, placing)
            multiply(flat, columns, matrices)
            padded[...] = 0
            _add_windows(padded, matrices, over, placing)
            start = part.rows.start * over.stride[0]
            places, lines = over.data_in(0, slice(start, start + padded.shape[2]))
            target = out[part.examples, :, lines]
            np.add(target, padded[(..., places, *around)], out=target)

    apart = parts[0].height == over.grid[0]  # rows of one example add to the same lines
    in_threads([partial(task, part) for part in parts], threads if apart else 1)


def _add_windows(padded: Any, matrices: Array, over: Windows, placing: _Placing) -> None:
    """Add windows up where they lie."""
    flat = padded.reshape(*padded.shape[:2], -1)
    across = (placing.columns,) if placing.wide else placing.grid
    windows = matrices.reshape(*padded.shape[:2], -1, *across)
    for k, place in enumerate(np.ndindex(*over.window)):
        if placing.wide:
            start = sum(i * step for i, step in zip(place, placing.inner))
            target = flat[..., start : start + placing.columns]
        else:
            spots = zip(place, over.dilation, over.stride, placing.grid)
            spot = (slice(i * d, i * d + (n - 1) * s + 1, s) for i, d, s, n in spots)
            target = padded[(..., *spot)]
        np.add(target, windows[:, :, k], out=target)
