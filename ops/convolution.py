"""Convolution over any number of spatial axes, and its two transposes.

The three primitives are the three derivatives of one trilinear form in data, filters and
cotangents, so each is a rule of the others and every order of differentiation is a convolution.
All of them work on a few examples at a time: the windows of those are laid out as a matrix
that fits the cache, and one matrix product does the arithmetic; nothing larger than the operands
and the result is ever allocated.

>>> import numpy as np
>>> from tapegrad.ops.convolution import convolve_p
>>> x, w = np.ones((1, 1, 4)), np.ones((1, 1, 3))
>>> convolve_p(x, w, stride=(1,), padding=(0,), dilation=(1,))
array([[[3., 3.]]])
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tapegrad.tape.primitive import Primitive, primitives
from tapegrad.tape.trace import bind

__all__ = ["convolve_p", "grid_shape"]

Sizes = tuple[int, ...]

#: Bytes that the matrix of windows may take: it should stay in a cache, but in a small part BLAS
#: spends its time waiting for its threads.
_BLOCK = 1 << 22

#: Windows over whole rows are copied much faster than over parts of them, but the matrix product
#: then computes what lies between two windows too. Up to these factors that is worth it, for
#: collecting windows and for adding them up.
_MOST_WASTE = 1.25
_MOST_WASTE_ADDING = 1.6


def grid_shape(size: Sizes, window: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Sizes:
    """Return the number of placements of a window along each axis; negative if it does not fit."""
    return tuple(
        (n + 2 * p - (d * (w - 1) + 1)) // s + 1 if n + 2 * p > d * (w - 1) else 0
        for n, w, s, p, d in zip(size, window, stride, padding, dilation)
    )


#: From so many channels on, windows are added up with the channels as the innermost axis.
_MANY_CHANNELS = 16


class _Layout(NamedTuple):
    """How the windows over one example lie in its padded, flattened memory.

    Attributes
    ----------
    padded : tuple of int
        Sizes of the padded data.
    window, grid : tuple of int
        Sizes of the window, and numbers of its placements.
    steps : tuple of int
        Distance of neighbours along each padded axis, in elements.
    inner : tuple of int
        Distance of two elements of a window along each axis.
    outer : tuple of int
        Distance of two placements along each axis.
    wide : bool
        Whether a row of the matrix takes all places from the first placement to the last, also those
        between two rows of the grid; there the result is ignored.
    row : int
        Length of a row of the matrix, for one example.
    padding : tuple of int
    """

    padded: Sizes
    window: Sizes
    grid: Sizes
    steps: Sizes
    inner: Sizes
    outer: Sizes
    wide: bool
    row: int
    padding: Sizes


def _layout(
    size: Sizes, window: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, grid: Sizes,
    waste: float = _MOST_WASTE,
) -> _Layout:  # fmt: skip
    padded = tuple(n + 2 * p for n, p in zip(size, padding))
    steps = tuple(math.prod(padded[i + 1 :]) for i in range(len(padded)))
    outer = tuple(s * step for s, step in zip(stride, steps))
    inner = tuple(d * step for d, step in zip(dilation, steps))
    length = sum((n - 1) * step for n, step in zip(grid, outer)) + 1
    exact = math.prod(grid)
    wide = len(grid) > 1 and length <= waste * exact
    return _Layout(
        padded, window, grid, steps, inner, outer, wide, length if wide else exact, padding
    )


def _view(a: Any, shape: Sizes, steps: Sizes, offset: int = 0) -> Any:
    """View contiguous memory with steps counted in elements."""
    size = a.itemsize
    return np.ndarray(shape, a.dtype, a, offset * size, tuple(s * size for s in steps))


def _blocks(n: int, rows: int, layout: _Layout, itemsize: int) -> Iterator[slice]:
    """Divide the examples so that the matrix of windows of each part fits the cache."""
    count = max(1, min(n, _BLOCK // max(rows * layout.row * itemsize, 1)))
    count = -(-n // -(-n // count))  # parts of nearly equal size
    for first in range(0, n, count):
        yield slice(first, min(first + count, n))


def _inside(layout: _Layout, size: Sizes) -> tuple[Any, ...]:
    return tuple(slice(p, p + n) for p, n in zip(layout.padding, size))


def _pad(x: Any, layout: _Layout) -> Any:
    """Return examples in contiguous memory, with zeros around them."""
    if not any(layout.padding):
        return np.ascontiguousarray(x)
    out = np.zeros((*x.shape[:2], *layout.padded), x.dtype)
    out[(..., *_inside(layout, x.shape[2:]))] = x
    return out


def _columns(x: Any, layout: _Layout, store: Any) -> Any:
    """Lay out windows as a matrix: rows by channel and place in the window, columns by placement."""
    n, channels = x.shape[:2]
    volume = math.prod(layout.padded)
    each, steps = ((layout.row,), (1,)) if layout.wide else (layout.grid, layout.outer)
    windows = _view(
        x,
        (channels, *layout.window, n, *each),
        (volume, *layout.inner, channels * volume, *steps),
    )
    rows = channels * math.prod(layout.window)
    matrix = store[: rows * n * layout.row].reshape(rows, n * layout.row)
    matrix.reshape(windows.shape)[...] = windows
    return matrix


def _placed(matrix: Any, n: int, layout: _Layout) -> Any:
    """View the columns of a matrix as placements: shape (rows, examples, *grid)."""
    steps = layout.outer if layout.wide else _steps(layout.grid)
    rows = len(matrix)
    return _view(matrix, (rows, n, *layout.grid), (n * layout.row, layout.row, *steps))


def _steps(shape: Sizes) -> Sizes:
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def _store(n: int, rows: int, layout: _Layout, dtype: Any) -> Any:
    first = next(_blocks(n, rows, layout, dtype.itemsize))
    return np.empty(rows * (first.stop - first.start) * layout.row, dtype)


def _common(a: Any, b: Any) -> tuple[Any, Any, np.dtype[Any]]:
    dtype = np.result_type(a, b)
    return np.asarray(a, dtype), np.asarray(b, dtype), dtype


def _spread_cotangent(g: Any, layout: _Layout, store: Any) -> Any:
    """Lay out a cotangent as the columns that belong to it: (filters, examples * row)."""
    n, filters = g.shape[:2]
    matrix = store[: filters * n * layout.row].reshape(filters, n * layout.row)
    if layout.wide:
        matrix[...] = 0
    _placed(matrix, n, layout)[...] = np.swapaxes(g, 0, 1)
    return matrix


# Data and filters --------------------------------------------------------------------------------


def _convolve(x: Any, w: Any, *, stride: Sizes, padding: Sizes, dilation: Sizes) -> Any:
    x, w, dtype = _common(x, w)
    n, filters, size, window = x.shape[0], w.shape[0], x.shape[2:], w.shape[2:]
    grid = grid_shape(size, window, stride, padding, dilation)
    out = np.empty((n, filters, *grid), dtype)
    if not out.size:
        return out
    layout = _layout(size, window, stride, padding, dilation, grid)
    flat = w.reshape(filters, math.prod(w.shape[1:]))
    rows = flat.shape[1]
    if not rows:
        out[...] = 0
        return out
    store = _store(n, rows, layout, dtype)
    target = np.empty(filters * (len(store) // rows), dtype)
    for part in _blocks(n, rows, layout, dtype.itemsize):
        matrix = _columns(_pad(x[part], layout), layout, store)
        count = part.stop - part.start
        result = target[: filters * matrix.shape[1]].reshape(filters, matrix.shape[1])
        np.matmul(flat, matrix, out=result)
        out[part] = np.swapaxes(_placed(result, count, layout), 0, 1)
    return out


# Cotangents and filters --------------------------------------------------------------------------


def _convolve_data(
    g: Any, w: Any, *, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Any:
    g, w, dtype = _common(g, w)
    n, channels, window, grid = g.shape[0], w.shape[1], w.shape[2:], g.shape[2:]
    out = np.zeros((n, channels, *size), dtype)
    if not out.size or not g.size or not w.size:
        return out
    if channels >= _MANY_CHANNELS:
        _add_channels_last(out, g, w, _layout(size, window, stride, padding, dilation, grid, 0.0))
        return out
    layout = _layout(size, window, stride, padding, dilation, grid, _MOST_WASTE_ADDING)
    flat = w.reshape(w.shape[0], math.prod(w.shape[1:])).T
    rows = flat.shape[0]
    store = _store(n, rows, layout, dtype)
    source = np.empty(len(flat.T) * (len(store) // rows), dtype)
    volume = math.prod(layout.padded)
    inside = _inside(layout, size)
    for part in _blocks(n, rows, layout, dtype.itemsize):
        count = part.stop - part.start
        columns = _spread_cotangent(g[part], layout, source)
        matrix = store[: rows * columns.shape[1]].reshape(rows, columns.shape[1])
        np.matmul(flat, columns, out=matrix)
        padded = np.zeros((channels, count, volume), dtype)
        each, steps = ((layout.row,), (1,)) if layout.wide else (layout.grid, layout.outer)
        pieces = matrix.reshape(channels, math.prod(window), count, *each)
        for k, place in enumerate(np.ndindex(*window)):
            offset = sum(i * step for i, step in zip(place, layout.inner))
            target = _view(
                padded, (channels, count, *each), (count * volume, volume, *steps), offset
            )
            target += pieces[:, k]
        shaped = padded.reshape(channels, count, *layout.padded)[(..., *inside)]
        out[part] = np.swapaxes(shaped, 0, 1)
    return out


def _add_channels_last(out: Any, g: Any, w: Any, layout: _Layout) -> None:
    """Fill `out` with sums over windows, computed with the channels innermost.

    The sums then run over contiguous memory, and the matrix product over placements alone.
    """
    n, channels = out.shape[:2]
    filters, count = w.shape[0], math.prod(layout.window)
    flat = np.ascontiguousarray(np.moveaxis(w, 1, -1)).reshape(filters, count * channels)
    store = _store(n, count * channels, layout, out.dtype)
    volume = math.prod(layout.padded)
    steps = tuple(s * channels for s in layout.outer)
    inside = _inside(layout, out.shape[2:])
    for part in _blocks(n, count * channels, layout, out.itemsize):
        size = part.stop - part.start
        rows = np.ascontiguousarray(np.moveaxis(g[part], 1, -1)).reshape(-1, filters)
        matrix = store[: len(rows) * flat.shape[1]].reshape(len(rows), flat.shape[1])
        np.matmul(rows, flat, out=matrix)
        pieces = matrix.reshape(size, *layout.grid, count, channels)
        padded = np.zeros((size, *layout.padded, channels), out.dtype)
        for k, place in enumerate(np.ndindex(*layout.window)):
            offset = sum(i * step for i, step in zip(place, layout.inner)) * channels
            shape = (size, *layout.grid, channels)
            target = _view(padded, shape, (volume * channels, *steps, 1), offset)
            target += pieces[..., k, :]
        out[part] = np.moveaxis(padded[(slice(None), *inside)], -1, 1)


# Data and cotangents -----------------------------------------------------------------------------


def _convolve_filters(
    x: Any, g: Any, *, window: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Any:
    x, g, dtype = _common(x, g)
    n, channels, filters = x.shape[0], x.shape[1], g.shape[1]
    rows = channels * math.prod(window)
    out = np.zeros((rows, filters), dtype)
    if out.size and g.size:
        layout = _layout(x.shape[2:], window, stride, padding, dilation, g.shape[2:])
        store = _store(n, rows, layout, dtype)
        source = np.empty(filters * (len(store) // rows), dtype)
        for part in _blocks(n, rows, layout, dtype.itemsize):
            matrix = _columns(_pad(x[part], layout), layout, store)
            out += np.matmul(matrix, _spread_cotangent(g[part], layout, source).T)
    return np.ascontiguousarray(out.T).reshape(filters, channels, *window)


# Primitives --------------------------------------------------------------------------------------


def _window(w: Any) -> Sizes:
    return tuple(w.shape[2:])


def _fold(a: Any, axis: int) -> Any:
    """Make the batch axis in front part of another axis."""
    a = np.moveaxis(a, 0, axis)
    return np.reshape(a, (*a.shape[:axis], a.shape[axis] * a.shape[axis + 1], *a.shape[axis + 2 :]))


def _unfold(a: Any, axis: int, size: int) -> Any:
    """Undo :func:`_fold`."""
    shape = (*a.shape[:axis], size, a.shape[axis] // size, *a.shape[axis + 1 :])
    return np.moveaxis(np.reshape(a, shape), axis, 0)


def _batched(name: str, first: tuple[int, int], second: tuple[int, int]) -> Any:
    """Make the batching rule: for each operand, which of its axes takes the batch, and which axis of
    the result it becomes. Two batched operands are a loop of as many products."""

    def batch(args: Any, batched: Any, size: int, params: Any) -> Any:
        a, b = args
        if all(batched):
            return np.stack([bind(primitives[name], a[k], b[k], **params) for k in range(size)])
        source, target = first if batched[0] else second
        if batched[0]:
            a = _fold(a, source)
        else:
            b = _fold(b, source)
        return _unfold(bind(primitives[name], a, b, **params), target, size)

    return batch


convolve_p: Primitive = Primitive(
    "convolve_windows",
    _convolve,
    (
        lambda g, y, x, w, stride, padding, dilation: bind(
            convolve_data_p, g, w, size=_window(x), stride=stride, padding=padding,
            dilation=dilation,
        ),
        lambda g, y, x, w, stride, padding, dilation: bind(
            convolve_filters_p, x, g, window=_window(w), stride=stride, padding=padding,
            dilation=dilation,
        ),
    ),
    jvp="multilinear",
    batch=_batched("convolve_windows", (0, 0), (0, 1)),
    family="linear",
)  # fmt: skip

convolve_data_p: Primitive = Primitive(
    "convolve_data",
    _convolve_data,
    (
        lambda h, y, g, w, size, stride, padding, dilation: bind(
            convolve_p, h, w, stride=stride, padding=padding, dilation=dilation
        ),
        lambda h, y, g, w, size, stride, padding, dilation: bind(
            convolve_filters_p, h, g, window=_window(w), stride=stride, padding=padding,
            dilation=dilation,
        ),
    ),
    jvp="multilinear",
    batch=_batched("convolve_data", (0, 0), (1, 1)),
    family="linear",
)  # fmt: skip

convolve_filters_p: Primitive = Primitive(
    "convolve_filters",
    _convolve_filters,
    (
        lambda h, y, x, g, window, stride, padding, dilation: bind(
            convolve_data_p, g, h, size=_window(x), stride=stride, padding=padding,
            dilation=dilation,
        ),
        lambda h, y, x, g, window, stride, padding, dilation: bind(
            convolve_p, x, h, stride=stride, padding=padding, dilation=dilation
        ),
    ),
    jvp="multilinear",
    batch=_batched("convolve_filters", (1, 1), (1, 0)),
    family="linear",
)  # fmt: skip
