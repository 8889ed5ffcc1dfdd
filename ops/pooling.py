"""Maxima over windows, and the two transposes of picking them.

The greatest element of each window is found once, as its number in the window's C order; the
derivatives take and put values at these places.

>>> import numpy as np
>>> from tapegrad.ops.pooling import max_pool_p
>>> max_pool_p(np.array([1.0, 3.0, 2.0, 0.0]), pool=(2,), stride=(2,))
array([3., 2.])
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tapegrad.tape.primitive import Primitive
from tapegrad.tape.trace import bind

__all__ = ["max_pool_p"]

Sizes = tuple[int, ...]


def _grid(size: Sizes, pool: Sizes, stride: Sizes) -> Sizes:
    return tuple((n - p) // s + 1 if n >= p else 0 for n, p, s in zip(size, pool, stride))


def _places(grid: Sizes, pool: Sizes, stride: Sizes) -> Iterator[tuple[Any, ...]]:
    """For each place in the window, the index of the elements that stand there."""
    for place in np.ndindex(*pool):
        yield (
            ...,
            *(slice(i, i + s * (n - 1) + 1, s) for i, n, s in zip(place, grid, stride)),
        )


def _max_pool(x: Any, *, pool: Sizes, stride: Sizes) -> Any:
    x = np.asarray(x)
    split = x.ndim - len(pool)
    grid = _grid(x.shape[split:], pool, stride)
    out = np.empty((*x.shape[:split], *grid), x.dtype)
    if out.size:
        first, *others = _places(grid, pool, stride)
        out[...] = x[first]
        for index in others:
            np.maximum(out, x[index], out=out)
    return out


def _window_argmax(x: Any, y: Any, *, pool: Sizes, stride: Sizes) -> Any:
    """Number the greatest elements: the first in C order, or the first nan."""
    out = np.zeros(np.shape(y), np.uint8 if math.prod(pool) <= 256 else np.intp)
    if not out.size:
        return out
    x = np.asarray(x)
    undefined = x.dtype.kind == "f" and bool(np.isnan(y).any())
    indices = list(_places(y.shape[-len(pool) :], pool, stride))
    for k in range(len(indices) - 1, -1, -1):
        piece = x[indices[k]]
        hit = piece == y
        if undefined:
            hit |= piece != piece
        np.copyto(out, k, where=hit)
    return out


def _pool_take(x: Any, numbers: Any, *, pool: Sizes, stride: Sizes) -> Any:
    x = np.asarray(x)
    out = np.zeros(np.shape(numbers), x.dtype)
    if out.size:
        for k, index in enumerate(_places(out.shape[-len(pool) :], pool, stride)):
            np.copyto(out, x[index], where=numbers == k)
    return out


def _pool_put(g: Any, numbers: Any, *, size: Sizes, pool: Sizes, stride: Sizes) -> Any:
    g = np.asarray(g)
    out = np.zeros((*g.shape[: g.ndim - len(pool)], *size), g.dtype)
    if not g.size:
        return out
    apart = all(s >= p for s, p in zip(stride, pool))
    for k, index in enumerate(_places(g.shape[-len(pool) :], pool, stride)):
        target = out[index]
        if apart:
            np.copyto(target, g, where=numbers == k)
        else:
            np.add(target, g, out=target, where=numbers == k)
    return out


def _as_it_is(name: str) -> Any:
    """Make the batching rule: windows lie on the last axes, so that a batch axis is one more."""

    def batch(args: Any, batched: Any, size: int, params: Any) -> Any:
        lifted = [a if b else np.broadcast_to(a, (size, *a.shape)) for a, b in zip(args, batched)]
        return bind(_PRIMITIVES[name], *lifted, **params)

    return batch


window_argmax_p: Primitive = Primitive(
    "window_argmax", _window_argmax, batch=_as_it_is("window_argmax")
)

max_pool_p: Primitive = Primitive(
    "max_pool",
    _max_pool,
    (
        lambda g, y, x, pool, stride: bind(
            pool_put_p, g, bind(window_argmax_p, x, y, pool=pool, stride=stride),
            size=tuple(x.shape[len(x.shape) - len(pool) :]), pool=pool, stride=stride,
        ),
    ),
    jvp=lambda tangents, y, x, pool, stride: bind(
        pool_take_p, tangents[0], bind(window_argmax_p, x, y, pool=pool, stride=stride),
        pool=pool, stride=stride,
    ),
    batch=_as_it_is("max_pool"),
)  # fmt: skip

pool_take_p: Primitive = Primitive(
    "pool_take",
    _pool_take,
    (
        lambda g, y, x, numbers, pool, stride: bind(
            pool_put_p, g, numbers, size=tuple(x.shape[len(x.shape) - len(pool) :]), pool=pool,
            stride=stride,
        ),
        None,
    ),
    jvp="linear",
    batch=_as_it_is("pool_take"),
)  # fmt: skip

pool_put_p: Primitive = Primitive(
    "pool_put",
    _pool_put,
    (
        lambda h, y, g, numbers, size, pool, stride: bind(
            pool_take_p, h, numbers, pool=pool, stride=stride
        ),
        None,
    ),
    jvp="linear",
    batch=_as_it_is("pool_put"),
)

_PRIMITIVES = {p.name: p for p in (window_argmax_p, max_pool_p, pool_take_p, pool_put_p)}
