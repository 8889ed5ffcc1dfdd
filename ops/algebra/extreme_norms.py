"""Norms that are the extreme of sums of absolute values: a matrix's columns, a vector's elements.

The greatest sum of a column is the norm of order 1 of a matrix, that of a row the norm of order inf;
without sums, it is the norm of order inf of a vector. They are primitives, and not compositions of
``abs``, sums and an extreme, because the rule knows which elements belong to an extreme: only zeros
among these are kinks.

>>> import numpy as np
>>> from tapegrad.ops.algebra.extreme_norms import extreme_norm_p
>>> x = np.array([[1.0, -2.0], [3.0, 0.0]])
>>> float(extreme_norm_p(x, summed=(0,), across=(1,), keepdims=False, least=False, even=True))
4.0
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.declare.axes import Axes, with_axes
from tapegrad.ops.declare.kinks import differentiated, kinked
from tapegrad.ops.reduce.extremes import _hits, even_max_p, even_min_p
from tapegrad.ops.reduce.reductions import _first
from tapegrad.tape.array.application import bind
from tapegrad.tape.core.dependence import Applied, Labels, over_axes
from tapegrad.tape.core.primitive import Primitive, primitives

__all__ = ["extreme_norm_p"]


def _sums(x: Any, summed: Axes) -> Any:
    """The sums of absolute values; the summed axes stay, with size 1."""
    size = np.abs(x)
    if not summed:
        return size
    if x.dtype != np.float16:
        return np.sum(size, axis=summed, keepdims=True)
    wide = np.sum(size, axis=summed, keepdims=True, dtype=np.float32)  # which keeps what is small
    return bind(primitives["cast"], wide, dtype=x.dtype)


def _extreme_norm(
    x: Any, summed: Axes, across: Axes, keepdims: bool, least: bool, even: bool,
    strict: bool = False,
) -> Any:  # fmt: skip
    sums = _sums(x, summed)
    keep = keepdims or bool(summed)
    if even:
        y = bind(even_min_p if least else even_max_p, sums, axis=across, keepdims=keep)
    else:
        y = (np.min if least else np.max)(sums, axis=across, keepdims=keep)
    if keep == keepdims:
        return y
    return np.reshape(y, [n for i, n in enumerate(x.shape) if i not in summed + across])


def _along(
    g: Any, y: Any, x: Any, summed: Axes, across: Axes, least: bool, even: bool, strict: bool
) -> Any:
    """Signs where a sum is the extreme, shared among ties, times `g`; `y` has all axes.

    With `strict` it is nan at the zeros there, which are kinks.
    """
    sums = _sums(x, summed)
    if even:
        hit, count = _hits(y, sums, across, True)
        value = np.where(hit, g / count, 0.0) * np.sign(x)
    else:
        hit = _first(np.argmin if least else np.argmax, sums, across)
        equal = np.logical_and(sums == 0, y == 0)  # of zeros, the first has no slope either
        value = np.where(np.logical_or(hit, equal), g, 0.0) * np.sign(x)
    if strict:
        value = np.where(np.logical_and(hit, x == 0), np.nan, value)
    if not differentiated(x):
        return value
    value = kinked(value, g, x, y, summed + across)
    return kinked(value, g, x, np.where(hit, x, 1.0))


def _pull(
    g: Any, y: Any, x: Any, summed: Axes, across: Axes, keepdims: bool, least: bool, even: bool,
    strict: bool = False,
) -> Any:  # fmt: skip
    g, y = (with_axes(a, summed + across, keepdims) for a in (g, y))
    return _along(g, y, x, summed, across, least, even, strict)


def _push(
    tangents: Any, y: Any, x: Any, summed: Axes, across: Axes, keepdims: bool, least: bool,
    even: bool, strict: bool = False,
) -> Any:  # fmt: skip
    axis = summed + across
    y = with_axes(y, axis, keepdims)
    along = _along(tangents[0], y, x, summed, across, least, even, strict)
    return np.sum(along, axis=axis, keepdims=keepdims)


def _batch(args: Any, batched: Any, size: int, params: Any) -> Any:
    axes = {name: tuple(a + 1 for a in params[name]) for name in ("summed", "across")}
    return bind(extreme_norm_p, args[0], **{**params, **axes})


def _dependence(applied: Applied, index: int) -> Labels:
    params = applied.params
    return over_axes(
        applied._replace(params={**params, "axis": params["summed"] + params["across"]}), index
    )


extreme_norm_p: Primitive = Primitive(
    "extreme_norm",
    _extreme_norm,
    (_pull,),
    jvp=_push,
    batch=_batch,
    expansion=_extreme_norm,  # it fuses
    dependence=_dependence,
)
