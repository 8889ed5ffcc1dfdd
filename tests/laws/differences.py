"""Derivatives by differences, random directions, and how cotangents pair with them."""

from __future__ import annotations

from typing import Any

import numpy as np


class Kink(Exception):
    """Differences make no sense at this point."""


def central(path: Any, step: float) -> Any:
    """Derivative of an array-valued function of one number at 0, to fourth order."""
    near = _wide(path(step)) - path(-step)
    far = _wide(path(2 * step)) - path(-2 * step)
    return (8 * near - far) / (12 * step)


def _wide(x: Any) -> Any:
    return np.asarray(x, np.result_type(x, np.float64))


def difference(path: Any, tolerance: float, step: float = 1e-3) -> Any:
    """The derivative at 0 by differences; at a kink, :class:`Kink`."""
    result = central(path, step)
    other = central(path, 0.4 * step)
    if not np.isfinite(result).all() or not np.isfinite(other).all():
        raise Kink
    scale = 1.0 + np.max(np.abs(result), initial=0.0)
    if np.max(np.abs(result - other), initial=0.0) > 0.3 * tolerance * scale:
        raise Kink
    return result


def directions(arrays: list[Any], rng: Any, only: int | None = None) -> list[Any]:
    return [
        like(a, rng) if only in (None, i) else np.zeros(a.shape, a.dtype)
        for i, a in enumerate(arrays)
    ]


def like(a: Any, rng: Any) -> Any:
    """Random numbers of the shape and dtype of an array."""
    values = rng.uniform(-1, 1, a.shape)
    if a.dtype.kind == "c":
        values = values + 1j * rng.uniform(-1, 1, a.shape)
    return np.asarray(values, a.dtype)


def dot(left: Any, right: Any) -> float:
    """Pair cotangents with tangents: the real part of the sum of products."""
    products = (np.real(np.multiply(a, b)) for a, b in zip(left, right))
    return float(sum(np.sum(p, dtype=np.float64) for p in products))
