"""Normalising the channels of an array by their mean and variance.

The passes over arrays copy a few channels at a time into a part of memory that fits the cache, laid
out one channel after the other. Variances are taken of centred values; what rounding has left of
their mean is measured, and taken into account.

>>> import numpy as np
>>> from tapegrad.ops.normalisation import normalise_p
>>> normalise_p(np.array([[1.0], [3.0]]), np.ones(1), np.zeros(1), eps=0.0)
array([[-1.],
       [ 1.]])
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tapegrad.ops.composed import Layer, packed, unpacked
from tapegrad.ops.rows import rows_of, sums
from tapegrad.tape.trace import bind

__all__ = ["normalise_p"]

#: Bytes of one part of the channels; two of them should stay in a cache.
_PART = 1 << 20
#: From this length on, rows are summed where they are; shorter ones are copied first.
_LONG = 512


def _composition(x: Any, gamma: Any, beta: Any, *, eps: float) -> Any:
    axes = (0, *range(2, x.ndim))
    wide = (x.shape[1], *(1,) * (x.ndim - 2))
    if not x.size:  # nothing has no mean
        return x * np.reshape(gamma, wide) + np.reshape(beta, wide)
    centred = x - np.mean(x, axis=axes, keepdims=True)
    variance = np.mean(np.square(centred), axis=axes, keepdims=True)
    scale = 1 / np.sqrt(variance + eps) * np.reshape(gamma, wide)
    return centred * scale + np.reshape(beta, wide)


# Passes over arrays ------------------------------------------------------------------------------


def _three_axes(x: Any) -> Any:
    return x.reshape(x.shape[0], x.shape[1], math.prod(x.shape[2:]))


def _parts(x: Any, copies: int) -> Iterator[tuple[slice, Any]]:
    """Divide the channels of `x`; for each part, yield memory of shape (copies, channels, N, S).

    Without further axes (S is 1) neighbours in memory are channels. They stay so, undivided.
    """
    n, channels, size = x.shape
    if size == 1:
        yield slice(None), np.empty((copies, n, channels, 1), x.dtype).swapaxes(1, 2)
        return
    most = max(1, _PART // (n * size * x.itemsize))
    count = -(-channels // -(-channels // most))  # parts of nearly equal size
    memory = np.empty((copies, count, n, size), x.dtype)
    for first in range(0, channels, count):
        yield slice(first, first + count), memory[:, : channels - first]


def _flat(work: Any) -> Any:
    """View (channels, N, S) as (channels, N * S)."""
    return work[..., 0] if work.shape[2] == 1 else work.reshape(len(work), -1)


def _spread(a: Any, dtype: Any) -> Any:
    """A number for each channel, as one for each row."""
    return a.astype(dtype)[:, None]


def _centre(x: Any, work: Any, eps: float) -> Any:
    """Copy channels, centred; return the means, what is left of them, and the scales."""
    a = _flat(work)
    n, size = a.shape[1], x.shape[2]
    if size < _LONG:
        np.copyto(work, x)
        mean = (sums(a) / n).astype(a.dtype)
        a -= mean[:, None]
    else:
        ones = np.ones(size, a.dtype)
        mean = (np.matmul(x, ones).sum(axis=1, dtype=float) / n).astype(a.dtype)
        np.subtract(x, mean[:, None, None], out=work)
    rest = sums(a) / n
    variance = np.maximum(sums(a, a) / n - rest * rest, 0)
    return mean, rest, 1 / np.sqrt(variance + eps)


def _normalise(x: Any, gamma: Any, beta: Any, *, eps: float) -> tuple[Any, Any]:
    y = np.empty(x.shape, x.dtype)
    if not x.size:
        return y, None
    x, result, dtype = _three_axes(x), _three_axes(y), x.dtype
    statistics = np.empty((3, x.shape[1]), np.result_type(dtype, float))
    with rows_of(x.shape[2]):
        for channels, (work,) in _parts(x, 1):
            found = _centre(x[:, channels].swapaxes(0, 1), work, eps)
            statistics[:, channels] = found
            _, rest, scale = found
            scale = scale * gamma[channels]
            np.multiply(_flat(work), _spread(scale, dtype), out=_flat(work))
            shift = _spread(beta[channels] - rest * scale, dtype)[..., None]
            np.add(work, shift, out=result[:, channels].swapaxes(0, 1))
    return y, statistics


def _normalise_back(
    g: Any, y: Any, kept: Any, out: list[Any], x: Any, gamma: Any, beta: Any, *, eps: float
) -> None:
    if not x.size:
        for part in out:
            part[...] = 0
        return
    gx, ggamma, gbeta = out
    x, g, result, dtype = _three_axes(x), _three_axes(g), _three_axes(gx), x.dtype
    n = x.shape[0] * x.shape[2]
    with rows_of(x.shape[2]):
        for channels, (first, second) in _parts(x, 2):
            a, b = _flat(first), _flat(second)
            if kept is None:
                _, rest, scale = _centre(x[:, channels].swapaxes(0, 1), first, eps)
            else:
                mean, rest, scale = kept[:, channels]
                centre = _spread(mean, dtype)[..., None]
                np.subtract(x[:, channels].swapaxes(0, 1), centre, out=first)
            np.copyto(second, g[:, channels].swapaxes(0, 1))
            total = sums(b)
            along = (sums(a, b) - rest * total) * scale
            gbeta[channels], ggamma[channels] = total, along
            # scale * gamma * (g - mean(g) - normal * mean(g * normal)), normal = (a - rest) * scale
            of_g = scale * gamma[channels]
            of_a = of_g * scale * along / -n
            a *= _spread(of_a, dtype)
            b *= _spread(of_g, dtype)
            a += b
            shift = _spread(of_g * total / -n - of_a * rest, dtype)[..., None]
            np.add(first, shift, out=result[:, channels].swapaxes(0, 1))


# Batching ----------------------------------------------------------------------------------------


def _folded(args: Any, batched: Any, size: int, ndims: tuple[int, ...]) -> list[Any]:
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


def _unfolded(a: Any, size: int, channels: int) -> Any:
    """Undo :func:`_folded`."""
    at = 1 if a.ndim > 1 else 0
    shape = (*a.shape[:at], size, channels, *a.shape[at + 1 :])
    return np.moveaxis(np.reshape(a, shape), at, 0)


def _batch(args: Any, batched: Any, size: int, params: Any) -> Any:
    ndim = len(args[0].shape) - batched[0]
    given = _folded(args, batched, size, (ndim, 1, 1))
    return _unfolded(bind(normalise_p, *given, **params), size, args[1].shape[-1])


def _batch_back(args: Any, batched: Any, size: int, params: Any) -> Any:
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
    batch=_batch,
    pull_batch=_batch_back,
    expands=True,
)
