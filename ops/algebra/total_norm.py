"""The norm of several arrays together, as one primitive: gradients of many parameters have one.

>>> import numpy as np
>>> from tapegrad.ops.algebra.total_norm import total_norm_p
>>> float(total_norm_p(np.array([3.0, 0.0]), np.array(4.0), ord=2.0))
5.0
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.ops.algebra.power_norm import (
    along,
    is_normal,
    power_sum,
    powers,
    root,
    vector_norm_p,
)
from tapegrad.ops.declare.kinks import differentiated, kinked
from tapegrad.ops.declare.variadic import filled, in_front
from tapegrad.tape.array.application import bind
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.types import Array, Params

__all__ = ["total_norm_p"]


def _total(xs: Array, ord: float) -> Any:
    """Sum the powers of all elements."""
    total = np.zeros((), xs[0].dtype)[()]
    for x in xs:
        flat = x.reshape(-1)
        if ord == 2:
            total += np.dot(flat, flat)
        else:
            total += power_sum(np.abs(flat), ord, False)
    return total


def _total_norm(*xs: Array, ord: float) -> Any:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return _norm_of_totals(_total(xs, ord), *xs, ord=ord)


def _norm_of_totals(total: Array, *xs: Array, ord: float) -> Any:
    if is_normal(total):
        return np.asarray(root(total, ord))
    norms = [vector_norm_p(x, ord=ord, axis=tuple(range(x.ndim)), keepdims=False) for x in xs]
    return vector_norm_p(np.stack(norms), ord=ord, axis=(0,), keepdims=False)


#: What compiled code ends the norm with; see ``ops.algebra.power_norm``.
norm_of_totals_p = Primitive("norm_of_totals", _norm_of_totals, register=False)


def _of_sums(*xs: Array, ord: float) -> Any:
    """Write the norm as functions that fuse."""
    parts = [powers(x if ord == 2 else np.abs(x), ord) for x in xs]
    sums = [np.sum(part) if part.shape else part for part in parts]
    return bind(norm_of_totals_p, sum(sums[1:], sums[0]), *xs, ord=ord)


def _along_one(g: Any, y: Any, xs: Any, index: int, ord: float) -> Any:
    """The slope by one array times `g`; where all of them are zero it has a kink in all of them."""
    x = xs[index]
    axis = tuple(range(len(x.shape)))
    g, y = (np.reshape(a, (1,) * len(axis)) if len(a.shape) < len(axis) else a for a in (g, y))
    value = along(g, y, x, ord, axis)
    if not ord or len(xs) == 1 or not any(map(differentiated, xs)):
        return value
    others = sum(np.sum(other) for i, other in enumerate(xs) if i != index)
    return kinked(value, g, others, y, axis)


def _forth(tangents: Any, y: Array, *xs: Array, ord: float) -> Any:
    parts = [np.sum(_along_one(t, y, xs, i, ord)) for i, t in enumerate(filled(tangents, xs))]
    return sum(parts[1:], parts[0])


def _batch(args: Sequence[Array], batched: Sequence[bool], size: int, params: Params) -> Any:
    rows = [np.reshape(a, (size, -1)) for a in in_front(args, batched, size)]
    joined = np.concatenate(rows, axis=1)
    return bind(vector_norm_p, joined, ord=params["ord"], axis=(1,), keepdims=False)


total_norm_p: Primitive = Primitive(
    "total_norm",
    _total_norm,
    vjp=lambda g, y, *xs, index, ord: _along_one(g, y, xs, index, ord),
    jvp=_forth,
    batch=_batch,
    saves=("value", "value"),
    expansion=_of_sums,
)
