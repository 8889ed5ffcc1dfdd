"""The p-norm of vectors, a reduction that can neither overflow nor underflow on the way.

Where it has no derivative (at zero) the rules give the subgradient 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.ops.declare.axes import Axes, to_back, with_axes
from tapegrad.ops.declare.kinks import differentiated, kinked
from tapegrad.ops.reduce.reductions import reduction
from tapegrad.tape.array.application import bind
from tapegrad.tape.core.primitive import Primitive, functions
from tapegrad.tape.core.slots import Reduction

__all__ = ["along", "is_normal", "power_sum", "powers", "root", "vector_norm_p"]

_add: Any = np.add.reduce  # called with all arguments by position, which NumPy's stubs do not know


def powers(size: Any, ord: float) -> Any:
    """Powers of absolute values."""
    if ord == 1:
        return size
    if ord in (2, 3, 4):
        square = size * size
        return square if ord == 2 else square * (size if ord == 3 else square)
    return np.sqrt(size) if ord == 0.5 else size**ord


def power_sum(size: Any, ord: float, keepdims: bool) -> Any:
    """Sum of powers of absolute values over the last axis."""
    if ord == 2:
        total = np.vecdot(size, size)
        return total[..., None] if keepdims else total
    return _add(powers(size, ord), -1, None, None, keepdims)


def root(total: Any, ord: float) -> Any:
    if ord == 1:
        return total
    return np.sqrt(total) if ord == 2 else np.cbrt(total) if ord == 3 else total ** (1.0 / ord)


def _scaled(size: Any, ord: float) -> Any:
    """The norm over the last axis, by dividing by the element that counts most."""
    if ord > 0:
        unit = np.max(size, axis=-1, keepdims=True, initial=0.0)
    else:
        unit = np.min(size, axis=-1, keepdims=True)
    unit = np.where(np.isfinite(unit) & (unit > 0), unit, 1.0).astype(size.dtype)
    return unit[..., 0] * root(power_sum(size / unit, ord, False), ord)


def _p_norm(flat: Any, ord: float) -> Any:
    """The norm over the last axis: directly where the sum of powers is a number of normal size."""
    size = flat if ord == 2 else np.abs(flat)
    if ord < 0:
        return _scaled(np.abs(flat), ord)
    total = power_sum(size, ord, False)
    good = is_normal(total)
    if good.all():
        return root(total, ord)
    return np.where(good, root(total, ord), _scaled(np.abs(flat), ord))


def _vector_norm(
    x: Any, ord: float, axis: Axes, keepdims: bool, strict: bool = False
) -> np.ndarray[Any, Any]:
    x = np.asarray(x)
    if x.dtype.kind != "f":
        x = x.astype(float)
    dtype = x.dtype
    if dtype == np.float16:
        x = x.astype(np.float32)
    if ord == 0:
        return np.asarray(_add(x != 0, axis, x.dtype, None, keepdims)).astype(dtype, copy=False)
    axis = tuple(sorted(axis))
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        if not axis:
            y = np.abs(x)
        else:
            y = np.asarray(_p_norm(to_back(x, axis), ord))
        y = y.astype(dtype, copy=False)
    if keepdims and axis:
        y = y.reshape([1 if i in axis else n for i, n in enumerate(x.shape)])
    return y


#: Below 2 ** the first number a norm is multiplied by 2 ** the second; above the inverse of the
#: first, divided by it.
_TINY = {np.dtype("d"): (-500, 600), np.dtype("f"): (-60, 70), np.dtype("e"): (-12, 12)}


def _ratio(y: Any, x: Any, g: Any = 1.0) -> Any:
    """``x / y * g``, and 0 where the norm `y` is 0.

    The rows are divided, not the elements, where ``g / y`` is a number of normal size. Otherwise the
    ratio comes before the product with `g`, and a norm whose inverse, or that one's square, could
    overflow or vanish is scaled by a power of two.
    """
    divisor = np.where(y == 0, np.inf, y)
    if type(divisor) is np.ndarray and type(g) is np.ndarray:
        with np.errstate(over="ignore", under="ignore"):
            row = g / divisor
        if _harmless(row, y, g):
            return x * row
    tiny, power = _TINY[x.dtype]
    one = np.ones((), x.dtype)
    scale = np.where(y < 2.0**tiny, 2.0**power * one, one)
    scale = np.where(y > 2.0**-tiny, 2.0**-power * one, scale)
    ratio = x * (1.0 / (divisor * scale))
    if type(scale) is np.ndarray and (scale == 1).all():
        return ratio if type(g) is float else ratio * g
    return ratio * scale if type(g) is float else ratio * scale * g


def _harmless(row: Any, y: Any, g: Any) -> bool:
    """Whether no quotient of rows has overflowed or vanished."""
    size = np.abs(row)
    lost = (size < np.finfo(row.dtype).tiny) & (g != 0) & (y != 0)
    return not (lost | (size == np.inf)).any()


def _slope(y: Any, x: Any, ord: float, strict: bool) -> Any:
    """``sign(x) (|x| / y) ** (ord - 1)``, which is 0 at zeros; with `strict` it is nan there."""
    if ord == 0:
        return np.zeros(x.shape, x.dtype)
    ratio = _ratio(y, x)
    if ord == 2:
        result = ratio
    elif ord > 2 and ord == int(ord):
        result = (np.abs(ratio) if ord % 2 else ratio) * _raised(ratio, int(ord) - 2)
    else:  # a power with a singularity at zeros, which it must not see
        zero = ratio == 0
        size = np.where(zero, 1.0, np.abs(ratio))
        result = np.where(zero, 0.0, np.sign(ratio) * size ** (ord - 1.0))
    return np.where(x == 0, np.nan, result) if strict else result


def along(g: Any, y: Any, x: Any, ord: float, axis: Axes, strict: bool = False) -> Any:
    """The slope times `g`; `g` and `y` have the axes of vectors, of size 1, or are tangents.

    It has kinks at vectors of zeros, and, below the order 2, at every zero: below the order 1, the
    slopes of all elements of such a vector.
    """
    if ord == 0:
        return g * _slope(y, x, ord, strict)
    value = _ratio(y, x, g) if ord == 2 and not strict else g * _slope(y, x, ord, strict)
    if not differentiated(x) or not math.prod(x.shape):
        return value
    value = kinked(value, g, x, y, axis)
    if 0 < ord < 1:
        return kinked(value, g, x, np.min(np.abs(x), axis=axis, keepdims=True), axis)
    return kinked(value, g, x, x) if 1 <= ord < 2 or strict else value


def _pull(
    g: Any, y: Any, x: Any, ord: float, axis: Axes, keepdims: bool, strict: bool = False
) -> Any:
    return along(with_axes(g, axis, keepdims), with_axes(y, axis, keepdims), x, ord, axis, strict)


def _push(
    tangents: Any, y: Any, x: Any, ord: float, axis: Axes, keepdims: bool, strict: bool = False
) -> Any:
    parts = along(tangents[0], with_axes(y, axis, keepdims), x, ord, axis, strict)
    return np.sum(parts, axis=axis, keepdims=keepdims)


def _raised(ratio: Any, exponent: int) -> Any:
    return ratio if exponent == 1 else ratio * ratio if exponent == 2 else ratio**exponent


def _in_kernels(params: dict[str, Any], dtype: np.dtype[Any]) -> Reduction | None:
    """Say how a kernel computes the norm of a row: at once, if its sum is a number of normal size."""
    ord = params["ord"]
    if not 0 < ord < math.inf:
        return None
    limits = np.finfo(dtype)
    powers = {1: "abs(x)", 2: "x * x", 3: "abs(x) * (x * x)", 4: "(x * x) * (x * x)"}
    roots = {1: "x", 2: "sqrt(x)", 3: "cbrt(x)"}
    return Reduction(
        "add",
        0.0,
        each=powers.get(ord, f"abs(x) ** {ord!r}"),
        finish=roots.get(ord, f"x ** {1.0 / ord!r}"),
        safe=f"x >= {float(limits.tiny) / float(limits.eps)!r} and x < inf",
        rounding="wide",
    )


def is_normal(total: Any) -> Any:
    """Whether sums of powers are numbers that neither overflow nor underflow have touched."""
    limits = np.finfo(total.dtype)
    return (total >= float(limits.tiny) / float(limits.eps)) & (total < np.inf)


def _norm_of_total(
    total: Any, x: Any, ord: float, axis: Axes, keepdims: bool, strict: bool = False
) -> Any:
    if is_normal(total).all():
        return root(total, ord)
    return _vector_norm(x, ord, axis, keepdims)


#: What compiled code ends a norm with: the sum of powers comes from a kernel, and is good but for
#: overflow and underflow. It takes part in no trace.
norm_of_total_p = Primitive("norm_of_total", _norm_of_total, register=False)


def _of_sums(x: Any, ord: float, axis: Axes, keepdims: bool, strict: bool = False) -> Any:
    """Write a norm as functions that fuse; one of rows is computed by kernels as it is."""
    rank = len(x.shape)
    if not axis or math.isinf(ord):
        return NotImplemented
    if ord == 0:
        different = functions["cast"](x != 0, x.dtype)
        return np.sum(different, axis=axis, keepdims=keepdims)
    if tuple(sorted(axis)) == tuple(range(rank - len(axis), rank)) and len(axis) < rank:
        return _scaled_of_sums(x, ord, axis, keepdims)
    if ord < 0:
        return NotImplemented
    terms = powers(x if ord == 2 else np.abs(x), ord)
    total = np.sum(terms, axis=axis, keepdims=keepdims)
    return bind(norm_of_total_p, total, x, ord=ord, axis=axis, keepdims=keepdims)


def _scaled_of_sums(x: Any, ord: float, axis: Axes, keepdims: bool) -> Any:
    """Write a norm by dividing by the element that counts most."""
    size = np.abs(x)
    unit = (np.max if ord > 0 else np.min)(size, axis=axis, keepdims=True)
    unit = np.where(np.logical_and(unit > 0.0, unit < math.inf), unit, 1.0)
    total = np.sum(powers(size / unit, ord), axis=axis, keepdims=True)
    norm = unit * root(total, ord)
    return norm if keepdims else np.squeeze(norm, axis)


vector_norm_p = reduction(
    "vector_norm",
    _vector_norm,
    _pull,
    jvp=_push,
    reduction=_in_kernels,
    expansion=_of_sums,
)
vector_norm_p.source = None  # NumPy has no function that cannot overflow
