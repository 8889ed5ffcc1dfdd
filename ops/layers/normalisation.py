"""Normalising the channels of an array by their mean and variance.

Each pass takes some channels through all of its steps, in the memory of the result, or in copies laid
out one channel after the other where rows are short. Threads share the channels, whose results do not
depend on each other. Variances are taken of centred values; what rounding has left of their mean is
measured, and taken into account.

>>> import numpy as np
>>> from tapegrad.ops.layers.normalisation import normalise_p
>>> normalise_p(np.array([[1.0], [3.0]]), np.ones(1), np.zeros(1), eps=0.0)
array([[-1.],
       [ 1.]])
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import numpy as np

from tapegrad.ops.declare.composed import Layer, packed, unpacked
from tapegrad.ops.layers.row_sums import buffer_for, sums
from tapegrad.ops.layers.windows import divide
from tapegrad.ops.layers.workers import in_threads, processors, work_arrays
from tapegrad.tape.array.application import bind
from tapegrad.tape.core.dependence import pairs_of_axes
from tapegrad.tape.core.types import Array, DTypeLike, Params

__all__ = ["normalise_p"]

#: Bytes of the data in one part of the channels. With less, each step is so short that threads spend
#: their time handing over the interpreter's lock.
_PART = 4 << 20
#: Bytes that are had sooner from the system than from what the thread has kept.
_LITTLE = 1 << 16
#: How many numbers of a row are summed in their own dtype, in a thread of ours: BLAS would share more.
_PIECE = 1 << 12
#: From this length on, rows are worked on where they are; shorter ones are copied first.
_LONG = 512


def _composition(x: Array, gamma: Array, beta: Array, *, eps: float) -> Any:
    axes = (0, *range(2, x.ndim))
    wide = (x.shape[1], *(1,) * (x.ndim - 2))
    if not x.size:  # the mean of nothing would be nan, with a warning
        return x * np.reshape(gamma, wide) + np.reshape(beta, wide)
    centred = x - np.mean(x, axis=axes, keepdims=True)
    variance = np.mean(np.square(centred), axis=axes, keepdims=True)
    scale = 1 / np.sqrt(variance + eps) * np.reshape(gamma, wide)
    return centred * scale + np.reshape(beta, wide)


# Passes over arrays ------------------------------------------------------------------------------


def _three_axes(x: Array) -> Any:
    return x.reshape(x.shape[0], x.shape[1], math.prod(x.shape[2:]))


def _over_examples(work: Callable[[slice], None], x: Array) -> None:
    """Call ``work(channels)`` for parts of the channels, on several threads if there is much to do.

    Without further axes neighbours in memory are channels. They stay so, undivided.
    """
    n, channels, size = x.shape
    if size == 1:
        work(slice(0, channels))
        return
    with buffer_for(size):
        if x.nbytes <= _PART:
            work(slice(0, channels))
            return
        threads = processors(x.nbytes)
        parts = divide(channels, 1, n * size * x.itemsize, _PART, threads)
        in_threads([partial(work, part.examples) for part in parts], threads)


def _memory(target: Any, copies: int) -> AbstractContextManager[list[Any]]:
    """Lend arrays (channels, N, S) to work in: that of the result, or copies if its rows are short."""
    size = target.shape[2]
    if size == 1 or size >= _LONG:
        return nullcontext([target])
    if target.nbytes <= _LITTLE:
        return nullcontext([*np.empty((copies, *target.shape), target.dtype)])
    return work_arrays(target.dtype, *[target.shape] * copies)


def _rows(a: Array) -> Any:
    """View such an array as (channels, rows, length), with rows as long as possible."""
    if a.shape[2] == 1:
        return a.swapaxes(1, 2)
    return a if a.shape[2] >= _LONG else a.reshape(len(a), 1, -1)


def _sums(a: Array, b: Array = None) -> Any:
    """Sum over the rows of each channel, or the product of two such arrays."""
    if a.shape[1] == 1:
        return sums(a[:, 0], None if b is None else b[:, 0])
    return np.add.reduce(_row_sums(a, b), axis=1)


def _row_sums(a: Array, b: Array) -> Any:
    """Sum over each row by itself: pieces in their dtype, the rest in float64."""
    if b is None and a.strides[2] == 0:
        return a[:, :, 0].astype(np.result_type(a.dtype, float)) * a.shape[2]
    if b is not None and b.strides[2] == 0:
        return _row_sums(a, None) * b[:, :, 0]
    total = np.zeros(a.shape[:2], np.result_type(a.dtype, float))
    for start in range(0, a.shape[2], _PIECE):
        piece = (..., slice(start, start + _PIECE))
        c = a[piece]
        total += np.vecdot(c, np.ones(c.shape[2], c.dtype) if b is None else b[piece])
    return total


def _wide(a: Array, dtype: DTypeLike) -> Any:
    """A number for each channel, as one for each row."""
    return a.astype(dtype)[:, None, None]


def _centre(x: Array, work: Any, eps: float) -> tuple[Any, Any, Any, Any]:
    """Copy channels, centred; return rows of them, the means, what is left of these, and the scales."""
    n = x.shape[1] * x.shape[2]
    a = _rows(work)
    if a.shape[1] == 1:
        np.copyto(work, x)
        mean = (_sums(a) / n).astype(a.dtype)
        a -= _wide(mean, a.dtype)
    else:
        mean = (_sums(x) / n).astype(a.dtype)
        np.subtract(x, _wide(mean, a.dtype), out=work)
    rest = _sums(a) / n
    variance = np.maximum(_sums(a, a) / n - rest * rest, 0)
    return a, mean, rest, 1 / np.sqrt(variance + eps)


def _normalise(x: Array, gamma: Array, beta: Array, *, eps: float) -> tuple[Any, Any]:
    y = np.empty(x.shape, x.dtype)
    if not x.size:
        return y, None
    x, result, dtype = _three_axes(x), _three_axes(y), x.dtype
    statistics = np.empty((3, x.shape[1]), np.result_type(dtype, float))

    def work(channels: slice) -> None:
        target = result[:, channels].swapaxes(0, 1)
        with _memory(target, 1) as (memory, *_):
            a, *found = _centre(x[:, channels].swapaxes(0, 1), memory, eps)
            statistics[:, channels] = found
            _, rest, scale = found
            scale = scale * gamma[channels]
            a *= _wide(scale, dtype)
            np.add(memory, _wide(beta[channels] - rest * scale, dtype), out=target)

    _over_examples(work, x)
    return y, statistics


def _normalise_back(
    g: Array, y: Array, residuals: Any, out: list[Any], x: Array, gamma: Array, beta: Array, *,
    eps: float,
) -> None:  # fmt: skip
    if not x.size:
        for part in out:
            part[...] = 0
        return
    gx, ggamma, gbeta = out
    x, g, result, dtype = _three_axes(x), _three_axes(g), _three_axes(gx), x.dtype
    n = x.shape[0] * x.shape[2]

    def work(channels: slice) -> None:
        source, target = (b[:, channels].swapaxes(0, 1) for b in (x, result))
        with _memory(target, 2) as (memory, *more):
            if residuals is None:
                a, _, rest, scale = _centre(source, memory, eps)
            else:
                mean, rest, scale = residuals[:, channels]
                np.subtract(source, _wide(mean, dtype), out=memory)
                a = _rows(memory)
            b = _cotangent(g[:, channels].swapaxes(0, 1), more)
            total = _sums(b)
            along = (_sums(a, b) - rest * total) * scale
            gbeta[channels], ggamma[channels] = total, along
            # scale * gamma * (g - mean(g) - normal * mean(g * normal)), normal = (a - rest) * scale
            of_a = scale * along / -n
            a *= _wide(of_a, dtype)
            a += b
            a += _wide(total / -n - of_a * rest, dtype)
            np.multiply(memory, _wide(scale * gamma[channels], dtype), out=target)

    _over_examples(work, x)


def _cotangent(g: Array, memory: list[Any]) -> Any:
    """Return rows of the cotangent: of neighbours in memory, or of one number that is repeated."""
    if memory:
        np.copyto(memory[0], g)
        return _rows(memory[0])
    if g.shape[2] == 1:
        return _rows(np.ascontiguousarray(g.swapaxes(0, 1)).swapaxes(0, 1))
    return g if g.strides[2] in (0, g.itemsize) else np.ascontiguousarray(g)


# Batching ----------------------------------------------------------------------------------------


def _folded(
    args: Sequence[Array], batched: Sequence[bool], size: int, ndims: tuple[int, ...]
) -> list[Any]:
    """Make a batch of arrays one array with more channels; `ndims` are those of one example."""
    out = []
    for a, flag, ndim in zip(args, batched, ndims):
        if not flag:
            a = np.broadcast_to(a, (size, *a.shape))
        if ndim > 1:
            a = np.moveaxis(a, 0, 1)
        at = 1 if ndim > 1 else 0
        shape = (*a.shape[:at], a.shape[at] * a.shape[at + 1], *a.shape[at + 2 :])
        out.append(np.reshape(a, shape))
    return out


def _unfolded(a: Array, size: int, channels: int) -> Any:
    """Undo :func:`_folded`."""
    at = 1 if a.ndim > 1 else 0
    shape = (*a.shape[:at], size, channels, *a.shape[at + 1 :])
    return np.moveaxis(np.reshape(a, shape), at, 0)


def _batch(args: Sequence[Array], batched: Sequence[bool], size: int, params: Params) -> Any:
    ndim = len(args[0].shape) - batched[0]
    given = _folded(args, batched, size, (ndim, 1, 1))
    return _unfolded(bind(normalise_p, *given, **params), size, args[1].shape[-1])


def _batch_back(args: Sequence[Array], batched: Sequence[bool], size: int, params: Params) -> Any:
    ndim = len(args[1].shape) - batched[1]
    given = _folded(args, batched, size, (ndim, ndim, 1, 1))
    flat = bind(normalise_p.pull, *given, **params)
    parts = unpacked(flat, [a.shape for a in given[1:]])
    return packed([_unfolded(part, size, args[2].shape[-1]) for part in parts], (size,))


normalise_p = Layer(
    "normalise",
    _normalise,
    _normalise_back,
    _composition,
    3,
    dependence=pairs_of_axes([(1, 1)], [(0, 1)], [(0, 1)]),
    batch=_batch,
    pull_batch=_batch_back,
    expands=True,
)
