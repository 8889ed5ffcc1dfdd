"""Extremes whose gradient ties share evenly; ``max`` and ``min`` give it to the first.

>>> import numpy as np
>>> from tapegrad.ops.reduce.extremes import even_max_p
>>> even_max_p(np.array([2.0, 1.0, 2.0]), axis=(0,), keepdims=False)
np.float64(2.0)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.declare.axes import Axes, with_axes
from tapegrad.ops.reduce.reductions import reduction
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.types import Array

__all__ = ["even_max_p", "even_min_p"]


def _hits(y: Array, x: Array, axis: Axes, keepdims: bool) -> tuple[Any, Any]:
    """Mark the extremes, among which a nan counts, and say how many they are."""
    hit = (x == with_axes(y, axis, keepdims)) | (x != x)
    return hit, np.sum(np.where(hit, np.ones((), x.dtype), 0.0), axis=axis, keepdims=True)


def _even_vjp(g: Array, y: Array, x: Array, axis: Axes, keepdims: bool) -> Any:
    hit, count = _hits(y, x, axis, keepdims)
    return np.where(hit, with_axes(g, axis, keepdims) / count, 0.0)


def _even_jvp(t: Array, y: Array, x: Array, axis: Axes, keepdims: bool) -> Any:
    hit, count = _hits(y, x, axis, keepdims)
    return np.sum(np.where(hit, t / count, 0.0), axis=axis, keepdims=keepdims)


def _even_extreme(name: str, forward: Any) -> Primitive:
    """Declare an extreme whose gradient is shared evenly among ties."""
    primitive = reduction(
        name,
        lambda x, axis, keepdims: forward(x, axis=axis, keepdims=keepdims),
        lambda g, y, x, axis, keepdims: _even_vjp(g, y, x, axis, keepdims),
        jvp=lambda tangents, y, x, axis, keepdims: _even_jvp(tangents[0], y, x, axis, keepdims),
        expansion=lambda x, axis, keepdims: forward(x, axis=axis, keepdims=keepdims),
        takes_complex=True,
    )
    numpy_name = forward.__name__
    source = primitive.source
    assert source is not None
    primitive.source = lambda args, params: source(args, params).replace(name, numpy_name)
    return primitive


even_max_p = _even_extreme("even_max", np.max)
even_min_p = _even_extreme("even_min", np.min)
