"""Convolution, pooling and activations in NumPy, written for reading: one placement at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def _placements(size: Any, window: Any, stride: Any, dilation: Any) -> Iterator[tuple[Any, Any]]:
    """Each grid point, and the index of the elements that its window touches."""
    grid = [
        max((n - (d * (w - 1) + 1)) // s + 1, 0)
        for n, w, s, d in zip(size, window, stride, dilation)
    ]
    for point in np.ndindex(*grid):
        spot = tuple(
            slice(i * s, i * s + d * (w - 1) + 1, d)
            for i, w, s, d in zip(point, window, stride, dilation)
        )
        yield point, spot


def _pad(x: Any, padding: Any) -> Any:
    return np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])


def convolve(x: Any, w: Any, *, stride: Any, padding: Any, dilation: Any) -> Any:
    x = _pad(x, padding)
    spots = list(_placements(x.shape[2:], w.shape[2:], stride, dilation))
    grid = tuple(np.max([point for point, _ in spots], axis=0) + 1) if spots else ()
    if not spots:
        grid = (0,) * (w.ndim - 2)
    out = np.zeros((len(x), len(w), *grid), np.result_type(x, w))
    for point, spot in spots:
        axes = list(range(1, w.ndim))
        out[(..., *point)] = np.tensordot(x[(..., *spot)], w, (axes, axes))
    return out


def convolve_data(g: Any, w: Any, *, size: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    out = _pad(np.zeros((len(g), w.shape[1], *size), np.result_type(g, w)), padding)
    for point, spot in _placements(out.shape[2:], w.shape[2:], stride, dilation):
        out[(..., *spot)] += np.einsum("nf,fc...->nc...", g[(..., *point)], w)
    return out[(..., *(slice(p, p + n) for p, n in zip(padding, size)))]


def convolve_filters(
    x: Any, g: Any, *, window: Any, stride: Any, padding: Any, dilation: Any
) -> Any:
    x = _pad(x, padding)
    out = np.zeros((g.shape[1], x.shape[1], *window), np.result_type(x, g))
    for point, spot in _placements(x.shape[2:], window, stride, dilation):
        out += np.einsum("nf,nc...->fc...", g[(..., *point)], x[(..., *spot)])
    return out


def _windows(x: Any, pool: Any, stride: Any) -> Any:
    """All windows, each made one last axis."""
    split = x.ndim - len(pool)
    spots = list(_placements(x.shape[split:], pool, stride, (1,) * len(pool)))
    grid = tuple(np.max([point for point, _ in spots], axis=0) + 1)
    pieces = [x[(..., *spot)].reshape(*x.shape[:split], -1) for _, spot in spots]
    return np.stack(pieces, axis=split).reshape(*x.shape[:split], *grid, -1)


def max_pool(x: Any, *, pool: Any, stride: Any) -> Any:
    return np.max(_windows(x, pool, stride), axis=-1)


def window_argmax(x: Any, y: Any, *, pool: Any, stride: Any) -> Any:
    return np.argmax(_windows(x, pool, stride), axis=-1).astype(np.uint8)


def pool_take(x: Any, numbers: Any, *, pool: Any, stride: Any) -> Any:
    index = numbers[..., None].astype(int)
    return np.take_along_axis(_windows(x, pool, stride), index, axis=-1)[..., 0]


def pool_put(g: Any, numbers: Any, *, size: Any, pool: Any, stride: Any) -> Any:
    split = g.ndim - len(pool)
    out = np.zeros((*g.shape[:split], *size), g.dtype)
    where = _windows(np.arange(np.prod(size)).reshape(size), pool, stride)
    flat = out.reshape(*g.shape[:split], -1)
    for lead in np.ndindex(*g.shape[:split]):
        for point in np.ndindex(*where.shape[:-1]):
            flat[(*lead, where[(*point, numbers[(*lead, *point)])])] += g[(*lead, *point)]
    return out


REFERENCES = {
    "convolve_windows": convolve,
    "convolve_data": convolve_data,
    "convolve_filters": convolve_filters,
    "max_pool": max_pool,
    "window_argmax": window_argmax,
    "pool_take": pool_take,
    "pool_put": pool_put,
    "sigmoid": lambda x: (1 / (1 + np.exp(-x.astype(float)))).astype(x.dtype),
    "stop_gradient": np.positive,
}
SUMMED = {"convolve_windows", "convolve_data", "convolve_filters", "sigmoid", "pool_put"}
