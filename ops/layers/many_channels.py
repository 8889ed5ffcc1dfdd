"""Convolution with the channels as the innermost axis, for data that have many of them.

The lines of the data are laid out channels last, lines that are neighbours to a filter side by side.
Then what a row of a filter sees of a line is one piece of memory, and the same piece of many lines is a
matrix, although no window was copied. So a column of the result is a sum of products, one for each row
of the filters, and the cotangent of the filters comes from the same matrices. The cotangent of the
data goes the other way: a line of it is the product of the rows of the cotangent that touch it, which
are one piece if they lie innermost, with their rows of the filters, added up along the line.

In more than two dimensions, "line" and "row" mean the last axis but one, and all planes that the
other axes make are summed over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from tapegrad.ops.layers.windows import Part, Sizes, Windows, divide, view
from tapegrad.ops.layers.workers import (
    in_threads,
    multiply,
    processors,
    sum_in_threads,
    work_arrays,
)
from tapegrad.tape.core.types import Array

__all__ = ["convolve", "convolve_data", "convolve_filters"]

#: Bytes of work arrays for a part of the work. With more, caches overflow; with less, threads spend
#: their time waiting for each other.
_BUDGET = 7 << 18

#: Bytes up to which the products for all rows of the filters are computed before they are added.
_STACKED = 1 << 19


# Lines, channels last ----------------------------------------------------------------------------


def _lines_at_once(step: int) -> int:
    """Return how many cache lines, so many bytes apart, the first-level cache holds at once.

    Those that are a multiple of 4096 bytes apart compete for the same eight places.
    """
    return min(64, 8 * (4096 // math.gcd(step, 4096)))


def _gather(target: Any, source: Any) -> None:
    """Copy where the last axis is contiguous in the target, but not in the source."""
    size = _lines_at_once(source.strides[-1])
    for first in range(0, source.shape[-1], size):
        part = slice(first, first + size)
        target[..., part] = source[..., part]


def _scatter(target: Any, source: Any) -> None:
    """Copy (examples, filters, ..., rows, columns), where the filters are contiguous in the source."""
    size = max(1, _lines_at_once(source.strides[-1]) // max(1, source.shape[-1]))
    for first in range(0, source.shape[-2], size):
        part = slice(first, first + size)
        target[..., part, :] = source[..., part, :]


def _contiguous(a: Array) -> Any:
    out = np.empty(a.shape, a.dtype)
    _gather(out, a)
    return out


def _starts(count: int, step: int) -> list[int]:
    """Return where the numbers below `count` with each rest begin, if they are ordered by rest."""
    counts = [-(-(count - rest) // step) for rest in range(step)]
    return [sum(counts[:rest]) for rest in range(step)]


def _place(number: int, starts: list[int]) -> int:
    """Return where a number comes in that order."""
    return starts[number % len(starts)] + number // len(starts)


def _slab_shape(over: Windows, part: Part, channels: int) -> Sizes:
    """Return (*planes, lines, examples, columns, channels) of the padded data of a part."""
    *lines, columns = (over.lines(part.height), *over.padded[1:])
    return (*lines, part.number, columns, channels)


def _fill_slab(slab: Any, x: Array, over: Windows, part: Part) -> list[int]:
    """Lay out data; lines are ordered by their rest by the stride.

    Returns
    -------
    list of int
        For each row of a filter, which line it meets in the first row of the grid.
    """
    if any(over.padding):
        slab[...] = 0
    start = part.rows.start * over.stride[0]
    places, source = over.data_in(0, slice(start, start + len(slab)))
    spots = [places, *(slice(p, p + n) for p, n in zip(over.padding[1:], over.size[1:]))]
    *planes, lines, columns = spots
    x = np.moveaxis(x[part.examples, :, source], (0, 1), (-3, -1))
    stride = over.stride[-2]
    starts = _starts(slab.shape[-4], stride)
    for rest in range(stride):
        line = lines.start + (rest - lines.start) % stride  # the first that is data
        if line < lines.stop:
            pieces = x[(..., slice(line - lines.start, None, stride), *(slice(None),) * 3)]
            place = _place(line, starts)
            at = slice(place, place + pieces.shape[-4])
            _gather(slab[(*planes, at, slice(None), columns)], pieces)
    return [_place(tap * over.dilation[-2], starts) for tap in range(over.window[-2])]


def _laid_shape(over: Windows, part: Part, filters: int) -> Sizes:
    """Return (*planes, rows, examples, columns, filters) of a part of the grid."""
    *rows, columns = (part.height, *over.grid[1:])
    return (*rows, part.number, columns, filters)


def _planes(over: Windows, height: int) -> Iterator[tuple[Sizes, Sizes, Sizes]]:
    """Yield planes of a part of the grid, each with all taps and the planes of the data they meet."""
    if len(over.grid) == 2:
        yield (), (), ()
        return
    for plane in np.ndindex(height, *over.grid[1:-2]):
        for tap in np.ndindex(*over.window[:-2]):
            met = zip(plane, over.stride, tap, over.dilation)
            yield plane, tap, tuple(i * s + k * d for i, s, k, d in met)


def _cost(over: Windows, channels: int, filters: int, itemsize: int) -> int:
    """Return the bytes that an example takes."""
    part = Part(slice(0, 1), slice(0, over.grid[0]))
    shapes = (_slab_shape(over, part, channels), _laid_shape(over, part, filters))
    return sum(map(math.prod, shapes)) * itemsize


# Data and filters --------------------------------------------------------------------------------


#: So many examples are transposed at a time where they are not the outermost axis.
_EXAMPLES = 8


def convolve(x: Array, w: Array, out: Any, over: Windows) -> None:
    """Fill `out`, shape (examples, filters, *grid)."""
    (examples, channels), filters = x.shape[:2], len(w)
    bank = _contiguous(np.moveaxis(w, (0, 1), (-1, -2)))
    bank = bank.reshape(*over.window[:-1], -1, filters)
    threads = processors(over.multiplications(examples, channels, filters))

    def task(part: Part) -> None:
        slab_shape, shape = _slab_shape(over, part, channels), _laid_shape(over, part, filters)
        term_shape = (math.prod(shape[-4:-2]), *shape[-2:])
        with work_arrays(out.dtype, slab_shape, shape, term_shape) as (slab, result, term):
            lines = _fill_slab(slab, x, over, part)
            totals = result.reshape(*shape[:-4], *term_shape)
            for plane, tap, met in _planes(over, part.height):
                if not any(tap):
                    totals[plane] = 0
                _add_rows(totals[plane], term, slab[met], bank[tap], over, lines)
            _scatter(out[part.examples, :, part.rows], np.moveaxis(result, (-3, -1), (0, 1)))

    cost = _cost(over, channels, 2 * filters, out.itemsize)
    parts = divide(examples, over.grid[0], cost, _budget(threads), threads)
    in_threads([partial(task, part) for part in parts], threads)


def _add_rows(
    total: Array, term: Any, slab: Any, bank: Any, over: Windows, lines: list[int]
) -> None:
    """Add what the rows of the filters give on one plane of the data to a plane of the result."""
    (_, examples, width, channels), (rows, columns, _) = slab.shape, total.shape
    if over.dilation[-1] == 1:
        pieces = [(0, slice(0, over.window[-1] * channels))]
    else:
        step = over.dilation[-1] * channels
        pieces = [
            (k * step, slice(k * channels, (k + 1) * channels)) for k in range(over.window[-1])
        ]
    for kernel, line in zip(bank, lines):
        for shift, piece in pieces:
            windows = view(
                slab,
                (columns, rows, piece.stop - piece.start),
                (over.stride[-1] * channels, width * channels, 1),
                line * examples * width * channels + shift,
            )
            multiply(windows, kernel[piece], term.swapaxes(0, 1))
            np.add(total, term, out=total)


def _budget(threads: int) -> int:
    return _BUDGET if threads > 1 else 2 * _BUDGET


# Data and cotangents -----------------------------------------------------------------------------


def convolve_filters(x: Array, g: Array, out: Any, over: Windows) -> None:
    """Fill `out`, shape (filters, channels, *window).

    The sum over parts of the work is taken in an order that depends on nothing but sizes and the
    number of processors.
    """
    (examples, channels), filters = x.shape[:2], g.shape[1]
    threads = processors(over.multiplications(examples, channels, filters))
    cost = _cost(over, channels, filters, out.itemsize)
    parts = divide(examples, over.grid[0], cost, max(_BUDGET, out.nbytes), threads)
    groups = min(len(parts), threads)
    banks = np.zeros((groups, *over.window, channels, filters), out.dtype)

    def add(bank: Any, part: Part) -> None:
        _add_part(bank, x, g, over, part)

    bank = sum_in_threads(add, parts, banks, threads)
    out[...] = np.moveaxis(bank, (-1, -2), (0, 1))


def _add_part(bank: Any, x: Array, g: Array, over: Windows, part: Part) -> None:
    """Add the cotangent of the filters that a part of the data gives to a bank (*window, c, f)."""
    taps, channels, filters = bank.shape[-3:]
    columns, width = over.grid[-1], over.padded[-1]
    shape, slab_shape = _laid_shape(over, part, filters), _slab_shape(over, part, channels)
    stack = over.window[-2]
    if over.stride[-2] > 1 or stack * taps * channels * filters * bank.itemsize > _STACKED:
        stack = 1
    depth = math.prod(shape[-4:-2])
    inner = (taps, channels, depth), (over.dilation[-1] * channels, 1, width * channels)
    line_step = part.number * width * channels
    outer = (columns, stack), (over.stride[-1] * channels, over.dilation[-2] * line_step)
    terms = (stack, *inner[0][:-1], filters)
    with work_arrays(bank.dtype, slab_shape, shape, terms) as (slab, laid, term):
        lines = _fill_slab(slab, x, over, part)
        _gather(laid, np.moveaxis(g[part.examples, :, part.rows], (0, 1), (-3, -1)))
        cotangents = laid.reshape(*shape[:-4], depth, columns, filters)
        for plane, tap, met in _planes(over, part.height):
            for row in range(0, over.window[-2], stack):
                windows = view(
                    slab[met], outer[0] + inner[0], outer[1] + inner[1], lines[row] * line_step
                )
                total = bank[tap][row : row + stack].reshape(terms)
                for column in range(columns):
                    multiply(windows[column], cotangents[plane][:, column], term)
                    np.add(total, term, out=total)


# Cotangents and filters --------------------------------------------------------------------------


class _Rows:
    """How rows of the grid and of the filters are ordered: those that touch a line are neighbours.

    Rows of the grid that touch a line are as far apart as the dilation, those of the filters as far as
    the stride and the other way round, less their common divisor.
    """

    def __init__(self, over: Windows, filters: int) -> None:
        stride, dilation = over.stride[-2], over.dilation[-2]
        self.over = over
        self.filters = filters
        self.step = dilation // math.gcd(stride, dilation)
        self.taps = _starts(over.window[-2], stride // math.gcd(stride, dilation))

    def bank(self, w: Array) -> Any:
        """Lay out filters: (*planes, columns, rows * filters, channels)."""
        w = np.moveaxis(w, (0, 1, -1), (-2, -1, -4))
        out = np.empty(w.shape, w.dtype)
        last = self.over.window[-2] - 1
        for tap in range(last + 1):
            _gather(out[..., _place(last - tap, self.taps), :, :], w[..., tap, :, :])
        return out.reshape(*w.shape[:-3], -1, w.shape[-1])

    def lay(self, target: Any, g: Array) -> None:
        """Lay out cotangents: (*planes, columns, examples, rows, filters)."""
        g = np.moveaxis(g, (0, 1, -1), (-3, -1, -4))
        start = 0
        for rest in range(self.step):
            pieces = g[..., rest :: self.step, :]
            stop = start + pieces.shape[-2]
            for first in range(0, g.shape[-3], _EXAMPLES):
                some = slice(first, first + _EXAMPLES)
                _gather(target[..., some, start:stop, :], pieces[..., some, :, :])
            start = stop

    def products(self, line: Sizes, rows: slice) -> Iterator[tuple[Sizes, Sizes, slice, slice]]:
        """Yield what sums up to a line of the data.

        Yields
        ------
        tuple
            Plane of a part `rows` of the cotangent, plane of the filters, and the slices of the rows,
            with all filters, to be multiplied.
        """
        first = (rows.start, *(0,) * (len(line) - 1))
        touching = [self.over.taps_on(axis, i) for axis, i in enumerate(line)]
        if not all(touching):
            return
        *planes, (row, tap), size = *touching[:-1], touching[-1][0], len(touching[-1])
        heights = (rows.stop - rows.start, *self.over.grid[1:])
        row = _place(row - first[-1], _starts(heights[-2], self.step)) * self.filters
        tap = _place(self.over.window[-2] - 1 - tap, self.taps) * self.filters
        where, piece = (slice(i, i + size * self.filters) for i in (row, tap))
        for pairs in product(*planes):
            yield (
                tuple(i - start for (i, _), start in zip(pairs, first)),
                tuple(k for _, k in pairs),
                where,
                piece,
            )


def convolve_data(g: Array, w: Array, out: Any, over: Windows) -> None:
    """Fill `out`, shape (examples, channels, *size)."""
    (examples, channels), filters = out.shape[:2], len(w)
    threads = processors(over.multiplications(examples, channels, filters))
    order = _Rows(over, filters)
    bank = order.bank(w)

    def task(part: Part) -> None:
        rows = over.rows_on(0, part.rows)
        *planes, height, columns = (rows.stop - rows.start, *over.grid[1:])
        shape = (*planes, columns, part.number, height, filters)
        term_shape = (over.window[-1], columns * part.number, channels)
        line_shape = (over.padded[-1], part.number, channels)
        with work_arrays(out.dtype, shape, term_shape, line_shape) as (laid, terms, line):
            order.lay(laid, g[part.examples, :, rows])
            cotangents = laid.reshape(*planes, 1, columns * part.number, height * filters)
            pairs = _pairs(line, terms, over)
            result = np.moveaxis(line[over.data_in(-1, slice(0, len(line)))[0]], 0, -1)
            for place in product(
                range(part.rows.start, part.rows.stop), *map(range, over.size[1:-1])
            ):
                line[...] = 0
                for plane, tap, where, piece in order.products(place, rows):
                    multiply(cotangents[plane][..., where], bank[tap][:, piece], terms)
                    for target, term in pairs:
                        np.add(target, term, out=target)
                out[(part.examples, slice(None), *place)] = result

    each = math.prod(over.grid) * filters
    each += (over.grid[-1] * over.window[-1] + over.padded[-1]) * channels
    parts = divide(examples, over.size[0], each * out.itemsize, _budget(threads), threads)
    in_threads([partial(task, part) for part in parts], threads)


def _pairs(line: Any, terms: Any, over: Windows) -> list[tuple[Any, Any]]:
    """Return the elements of a line that each column of the filters touches, and what is added."""
    length = (over.grid[-1] - 1) * over.stride[-1] + 1
    starts = [tap * over.dilation[-1] for tap in range(over.window[-1])]
    return [
        (
            line[start : start + length : over.stride[-1]],
            term.reshape(over.grid[-1], *line.shape[1:]),
        )
        for start, term in zip(starts, terms)
    ]
