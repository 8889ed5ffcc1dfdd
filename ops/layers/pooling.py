"""Maxima over windows, and the two transposes of picking them.

The greatest element of each window is found once, as its number in the window's C order; the
derivatives take and put values at these places. All of them go through the window place by place, with
whole arrays of what stands there; values are picked by masks of their bits, which costs the same
wherever they are.

>>> import numpy as np
>>> from tapegrad.ops.layers.pooling import max_pool_p
>>> max_pool_p(np.array([1.0, 3.0, 2.0, 0.0]), pool=(2,), stride=(2,))
array([3., 2.])
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from tapegrad.ops.layers.workers import in_threads, processors
from tapegrad.tape.array.application import bind
from tapegrad.tape.core.dependence import Applied, Labels, leading, moved, reading
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.types import Array, Params

__all__ = ["max_pool_p"]

Sizes = tuple[int, ...]

#: What is done with one element takes as long as so many multiplications of a matrix product.
_EFFORT = 16


def _grid(size: Sizes, pool: Sizes, stride: Sizes) -> Sizes:
    return tuple((n - p) // s + 1 if n >= p else 0 for n, p, s in zip(size, pool, stride))


def _places(grid: Sizes, pool: Sizes, stride: Sizes) -> Iterator[tuple[Any, ...]]:
    """For each place in the window, the index of the elements that stand there."""
    for place in np.ndindex(*pool):
        yield (
            ...,
            *(slice(i, i + s * (n - 1) + 1, s) for i, n, s in zip(place, grid, stride)),
        )


def _over_examples(
    work: Callable[..., None], arrays: tuple[Any, ...], pool: Sizes, stride: Sizes
) -> None:
    """Do ``work(*arrays, places)``, on several threads if the arrays are large.

    The first of them has the windows' grid; all have the axes before it.
    """
    grid = arrays[0].shape[-len(pool) :]
    places = list(_places(grid, pool, stride))
    lead = math.prod(arrays[0].shape[: -len(pool)])
    parts = min(lead, processors(_EFFORT * arrays[0].size * len(places)))
    if parts <= 1:
        work(*arrays, places)
        return
    arrays = tuple(a.reshape(lead, *a.shape[-len(pool) :]) for a in arrays)
    cuts = [slice(i * lead // parts, (i + 1) * lead // parts) for i in range(parts)]
    in_threads([partial(work, *(a[cut] for a in arrays), places) for cut in cuts], parts)


def _max_pool(x: Array, *, pool: Sizes, stride: Sizes) -> Any:
    x = np.asarray(x)
    split = x.ndim - len(pool)
    out = np.empty((*x.shape[:split], *_grid(x.shape[split:], pool, stride)), x.dtype)
    if out.size:
        _over_examples(_find_maxima, (out, x), pool, stride)
    return out


def _find_maxima(out: Any, x: Array, places: list[Any]) -> None:
    out[...] = x[places[0]]
    for place in places[1:]:
        np.maximum(out, x[place], out=out)


def _window_argmax(x: Array, y: Array, *, pool: Sizes, stride: Sizes) -> Any:
    """Number the greatest elements: the first in C order, or the first nan."""
    out = np.zeros(np.shape(y), np.uint8 if math.prod(pool) <= 256 else np.intp)
    if out.size:
        _over_examples(_find_numbers, (out, np.asarray(x), np.asarray(y)), pool, stride)
    return out


def _find_numbers(out: Any, x: Array, y: Array, places: list[Any]) -> None:
    undefined = x.dtype.kind == "f" and bool(np.isnan(y).any())
    hit = np.empty(y.shape, bool)
    for k in range(len(places) - 1, -1, -1):
        piece = x[places[k]]
        np.equal(piece, y, out=hit)
        if undefined:
            hit |= piece != piece
        np.multiply(out, ~hit, out=out)
        np.add(out, np.multiply(hit, k, dtype=out.dtype), out=out)


def _pool_take(x: Array, numbers: Array, *, pool: Sizes, stride: Sizes) -> Any:
    x = np.asarray(x)
    out = np.zeros(np.shape(numbers), x.dtype)
    if out.size:
        _over_examples(_take, (out, x, np.asarray(numbers)), pool, stride)
    return out


def _take(out: Any, x: Array, numbers: Array, places: list[Any]) -> None:
    for k, place in enumerate(places):
        np.add(out, _pick(x[place], numbers == k), out=out)


def _pool_put(g: Array, numbers: Array, *, size: Sizes, pool: Sizes, stride: Sizes) -> Any:
    g = np.asarray(g)
    out = np.zeros((*g.shape[: g.ndim - len(pool)], *size), g.dtype)
    if g.size:
        apart = all(s >= p for s, p in zip(stride, pool))
        arrays = (np.asarray(numbers), g, out)
        _over_examples(_put if apart else _put_and_add, arrays, pool, stride)
    return out


def _put(numbers: Array, g: Array, out: Any, places: list[Any]) -> None:
    for k, place in enumerate(places):
        out[place] = _pick(g, numbers == k)


def _put_and_add(numbers: Array, g: Array, out: Any, places: list[Any]) -> None:
    for k, place in enumerate(places):
        np.add(out[place], _pick(g, numbers == k), out=out[place])


def _pick(values: Array, where: Array) -> Any:
    """Return the values where a condition holds, and zeros elsewhere."""
    if values.itemsize > 8:
        return np.where(where, values, values.dtype.type(0))
    bits = values.view(f"i{values.itemsize}")
    mask = np.negative(where.view(np.int8), dtype=bits.dtype)  # all bits set, or none
    return np.bitwise_and(bits, mask, out=mask).view(values.dtype)


def _as_it_is(name: str) -> Any:
    """Make the batching rule: windows lie on the last axes, so that a batch axis is one more."""

    def batch(args: Sequence[Array], batched: Sequence[bool], size: int, params: Params) -> Any:
        lifted = [a if b else np.broadcast_to(a, (size, *a.shape)) for a, b in zip(args, batched)]
        return bind(_PRIMITIVES[name], *lifted, **params)

    return batch


def _by_window(applied: Applied, index: int) -> Labels:
    """Windows overlap: an element may depend on all those of its example."""
    return leading(len(applied.params["pool"]))(applied, index)


@reading
def _put_dependence(applied: Applied, index: int) -> Labels:
    """Every element is added to the one that it would be taken from."""
    numbers = np.arange(math.prod(applied.shape), dtype=np.int32).reshape(applied.shape)
    params = {key: applied.params[key] for key in ("pool", "stride")}
    return _pool_take(numbers, applied.args[1], **params).reshape(-1), None


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
    dependence=_by_window,
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
    dependence=moved,
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
    dependence=_put_dependence,
)

_PRIMITIVES = {p.name: p for p in (window_argmax_p, max_pool_p, pool_take_p, pool_put_p)}
