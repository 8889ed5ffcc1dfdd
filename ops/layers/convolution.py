"""Convolution over any number of spatial axes, and its two transposes.

The three primitives are the three derivatives of one trilinear form in data, filters and
cotangents, so each is a rule of the others and every order of differentiation is a convolution.
There are two ways of computing them, for few channels and for many. Both work on a part of the
examples at a time, whose arrays fit the cache; nothing larger than the operands and the result is
allocated.

>>> import numpy as np
>>> from tapegrad.ops.layers.convolution import convolve_p
>>> x, w = np.ones((1, 1, 4)), np.ones((1, 1, 3))
>>> convolve_p(x, w, stride=(1,), padding=(0,), dilation=(1,))
array([[[3., 3.]]])
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.ops.layers import few_channels, many_channels
from tapegrad.ops.layers.windows import Sizes, Windows
from tapegrad.tape.array.application import bind
from tapegrad.tape.core.dependence import pairs_of_axes
from tapegrad.tape.core.primitive import Primitive, primitives
from tapegrad.tape.core.types import Array, Params

__all__ = ["convolve_p"]

#: Windows of so many elements, all channels counted, make "many channels". With 32 channels and 3 by 3
#: elements the two ways are equally fast in lines of 30, and the second is faster in shorter ones.
_MANY = 256


def _way(channels: int, window: Sizes) -> Any:
    """Choose how to convolve; with a single axis, or windows of one element, lines are long enough."""
    size = math.prod(window)
    many = len(window) > 1 and size > 1 and channels * size >= _MANY
    return many_channels if many else few_channels


def _operands(a: Array, b: Array) -> tuple[Any, Any, np.dtype[Any], np.dtype[Any]]:
    """Return both in the dtype to work in, that dtype, and the dtype of the result."""
    dtype = np.result_type(a, b)
    inner = np.dtype(np.float32) if dtype == np.float16 else dtype  # BLAS has no half precision
    return np.asarray(a, inner), np.asarray(b, inner), inner, dtype


def _convolve(x: Array, w: Array, *, stride: Sizes, padding: Sizes, dilation: Sizes) -> Any:
    x, w, inner, dtype = _operands(x, w)
    window = w.shape[2:]
    over = Windows.over(x.shape[2:], window, stride=stride, padding=padding, dilation=dilation)
    out = np.empty((len(x), len(w), *over.grid), inner)
    if not out.size:
        return out.astype(dtype)
    if not w.size:
        out[...] = 0
    else:
        _way(w.shape[1], window).convolve(x, w, out, over)
    return out.astype(dtype, copy=False)


def _convolve_data(
    g: Array, w: Array, *, size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Any:
    g, w, inner, dtype = _operands(g, w)
    window = w.shape[2:]
    over = Windows.over(size, window, stride=stride, padding=padding, dilation=dilation)
    out = np.empty((len(g), w.shape[1], *size), inner)
    if not out.size or not g.size or not w.size:
        out[...] = 0
    else:
        _way(w.shape[1], window).convolve_data(g, w, out, over)
    return out.astype(dtype, copy=False)


def _convolve_filters(
    x: Array, g: Array, *, window: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Any:
    x, g, inner, dtype = _operands(x, g)
    over = Windows.over(x.shape[2:], window, stride=stride, padding=padding, dilation=dilation)
    out = np.empty((g.shape[1], x.shape[1], *window), inner)
    if not out.size or not g.size:
        out[...] = 0
    else:
        _way(x.shape[1], window).convolve_filters(x, g, out, over)
    return out.astype(dtype, copy=False)


# Primitives --------------------------------------------------------------------------------------


def _window(w: Array) -> Sizes:
    return tuple(w.shape[2:])


def _fold(a: Array, axis: int) -> Any:
    """Make the batch axis in front part of another axis."""
    a = np.moveaxis(a, 0, axis)
    return np.reshape(a, (*a.shape[:axis], a.shape[axis] * a.shape[axis + 1], *a.shape[axis + 2 :]))


def _unfold(a: Array, axis: int, size: int) -> Any:
    """Undo :func:`_fold`."""
    shape = (*a.shape[:axis], size, a.shape[axis] // size, *a.shape[axis + 1 :])
    return np.moveaxis(np.reshape(a, shape), axis, 0)


def _batched(name: str, first: tuple[int, int], second: tuple[int, int]) -> Any:
    """Make the batching rule: for each operand, which of its axes takes the batch, and which axis of
    the result it becomes. Two batched operands are a loop of as many products."""

    def batch(args: Sequence[Array], batched: Sequence[bool], size: int, params: Params) -> Any:
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
    dependence=pairs_of_axes([(0, 0)], [(0, 1)]),
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
    dependence=pairs_of_axes([(0, 0)], [(1, 1)]),
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
    dependence=pairs_of_axes([(1, 1)], [(1, 0)]),
    family="linear",
)  # fmt: skip
