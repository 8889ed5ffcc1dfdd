"""Cross-entropy of scores and classes, through softmax.

The passes over arrays work on a few rows at a time, which stay in the cache. They shift the scores by
the greatest one, as the composition does, only where exponentials would overflow or vanish. The
backward pass makes its result of the exponentials that the forward pass has kept.

>>> import numpy as np
>>> from tapegrad.ops.layers.crossentropy import crossentropy_p
>>> crossentropy_p(np.array([[0.0, 0.0], [1e6, 0.0]]), np.array([1, 1]))
array([6.93147181e-01, 1.00000000e+06])
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.ops.declare.composed import Layer
from tapegrad.ops.elementwise.logistic import stop_gradient_p
from tapegrad.ops.layers.row_sums import buffer_for, sums
from tapegrad.tape.array.application import bind
from tapegrad.tape.core.dependence import pairs_of_axes
from tapegrad.tape.core.types import Array, Params

__all__ = ["crossentropy", "crossentropy_p", "of_class"]

#: Bytes of the rows that are worked on together.
_PART = 1 << 20
#: Scores need not be shifted if the sums of their exponentials do not exceed `_MOST`, and that of the
#: right class is no smaller than `_LEAST`: what underflows does not count beside it.
_MOST, _LEAST = 1e30, 1e-9


def of_class(x: Array, labels: Array) -> Array:
    """Pick from each row of `x` the element that its label names."""
    return x[np.arange(x.shape[0]), labels]


def crossentropy(x: Array, labels: Array) -> Array:
    """Cross-entropy of each row, written with functions that tensors have."""
    if not x.size:
        return np.log(np.sum(x, axis=1))
    shifted = x - bind(stop_gradient_p, np.max(x, axis=1, keepdims=True))
    return np.log(np.sum(np.exp(shifted), axis=1)) - of_class(shifted, labels)


def _passes(x: Array, labels: Array) -> tuple[Any, Any, Any]:
    """Return the loss of each row, its exponentials, all times some factor, and their sum."""
    n, classes = x.shape
    loss, powers, total = np.empty(n, x.dtype), np.empty(x.shape, x.dtype), np.empty(n, x.dtype)
    count = max(1, _PART // (classes * x.itemsize))
    with buffer_for(classes):
        for first in range(0, n, count):
            rows = slice(first, first + count)
            scores, part, own = x[rows], powers[rows], labels[rows]
            with np.errstate(over="ignore"):
                np.exp(scores, out=part)
                total[rows] = sums(part)
            right = of_class(part, own)
            if total[rows].max() <= _MOST and right.min() >= _LEAST:
                loss[rows] = np.log(total[rows] / right)
                continue
            peak = np.max(scores, axis=1)
            np.subtract(scores, peak[:, None], out=part)
            np.exp(part, out=part)
            total[rows] = sums(part)
            loss[rows] = np.log(total[rows]) - (of_class(scores, own) - peak)
    return loss, powers, total


def _run(x: Array, labels: Array) -> tuple[Any, Any]:
    if not x.size:
        return np.log(np.sum(x, axis=1)), None
    loss, powers, total = _passes(x, labels)
    return loss, (powers, total)


def _run_back(g: Array, y: None, residuals: Any, out: list[Any], x: Array, labels: Array) -> None:
    if not x.size:
        return
    powers, total = _passes(x, labels)[1:] if residuals is None else residuals
    with buffer_for(x.shape[1]):
        powers *= (g / total)[:, None]
    powers[np.arange(len(x)), labels] -= g
    if residuals is None:
        out[0][...] = powers
    else:
        out[0] = powers


def _folded(args: Sequence[Array], batched: Sequence[bool], size: int) -> list[Any]:
    """Make a batch of arrays one array with more rows."""
    lifted = (a if b else np.broadcast_to(a, (size, *a.shape)) for a, b in zip(args, batched))
    return [np.reshape(a, (a.shape[0] * a.shape[1], *a.shape[2:])) for a in lifted]


def _batch(args: Sequence[Array], batched: Sequence[bool], size: int, params: Params) -> Any:
    rows = bind(crossentropy_p, *_folded(args, batched, size))
    return np.reshape(rows, (size, args[0].shape[-2]))


def _batch_back(args: Sequence[Array], batched: Sequence[bool], size: int, params: Params) -> Any:
    flat = bind(crossentropy_p.pull, *_folded(args, batched, size))
    return np.reshape(flat, (size, math.prod(args[1].shape[-2:])))


crossentropy_p = Layer(
    "crossentropy",
    _run,
    _run_back,
    crossentropy,
    1,
    dependence=pairs_of_axes([(0, 0)]),
    batch=_batch,
    pull_batch=_batch_back,
    expands=True,
)
