"""The norm of several arrays together, as one primitive: gradients of many parameters have one.

>>> import numpy as np
>>> from tapegrad.ops.algebra.total_norm import total_norm_p
>>> float(total_norm_p(np.array([3.0, 0.0]), np.array(4.0), ord=2.0))
5.0
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.algebra.norms import _is_normal, _power_sum, _pull, _root, _slope, vector_norm_p
from tapegrad.ops.shape.joining import _filled, _front
from tapegrad.tape.array.application import bind
from tapegrad.tape.core.primitive import Primitive

__all__ = ["norm_of_totals_p", "total_norm_p"]


def _total(xs: Any, ord: float) -> Any:
    """Sum the powers of all elements."""
    total = np.zeros((), xs[0].dtype)[()]
    for x in xs:
        flat = x.reshape(-1)
        if ord == 2:
            total += np.dot(flat, flat)
        else:
            total += _power_sum(np.abs(flat), ord, False)
    return total


def _total_norm(*xs: Any, ord: float) -> Any:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return _norm_of_totals(_total(xs, ord), *xs, ord=ord)


def _norm_of_totals(total: Any, *xs: Any, ord: float) -> Any:
    if _is_normal(total):
        return np.asarray(_root(total, ord))
    norms = [vector_norm_p(x, ord=ord, axis=tuple(range(x.ndim)), keepdims=False) for x in xs]
    return vector_norm_p(np.stack(norms), ord=ord, axis=(0,), keepdims=False)


def _leaf_slope(y: Any, x: Any, ord: float) -> Any:
    return _slope(y, x, ord, (), True, False)  # a number is as good as an array of size 1


def _forth(tangents: Any, y: Any, *xs: Any, ord: float) -> Any:
    parts = [np.sum(t * _leaf_slope(y, x, ord)) for t, x in zip(_filled(tangents, xs), xs)]
    return sum(parts[1:], parts[0])


def _batch(args: Any, batched: Any, size: int, params: Any) -> Any:
    rows = [np.reshape(a, (size, -1)) for a in _front(args, batched, size)]
    joined = np.concatenate(rows, axis=1)
    return bind(vector_norm_p, joined, ord=params["ord"], axis=(1,), keepdims=False)


total_norm_p: Primitive = Primitive(
    "total_norm",
    _total_norm,
    vjp=lambda g, y, *xs, index, ord: _pull(g, y, xs[index], ord, (), True),
    jvp=_forth,
    batch=_batch,
    saves=("value", "value"),
)

#: What compiled code ends the norm with; see ``ops.norms``.
norm_of_totals_p = Primitive("norm_of_totals", _norm_of_totals, register=False)
