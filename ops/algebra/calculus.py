"""Calculus on sampled functions: differences, integrals, interpolation, convolution.

All of them are compositions. ``np.gradient`` is known by NumPy's name alone: ``tg.gradient`` would be
mistaken for :func:`tapegrad.grad`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.declare.axes import NOT_GIVEN, all_axes, is_given, one_axis
from tapegrad.ops.declare.ufunc import as_tensor, data_of, operand, owned
from tapegrad.ops.reduce.running import part
from tapegrad.ops.shape.joining import concatenate, cut
from tapegrad.ops.shape.selecting import take
from tapegrad.tape.array.application import apply
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.primitive import functions, implements, primitives
from tapegrad.tape.core.types import Array, ArrayLike, AxisLike

__all__ = [
    "convolve", "correlate", "diff", "ediff1d", "interp", "trapezoid", "unwrap",
]  # fmt: skip


def _inexact(a: Array) -> Any:
    """Return a tensor of floats: integers become float64, as in NumPy's divisions."""
    a = as_tensor(a)
    return a if a.dtype.kind in CONTINUOUS else functions["cast"](a, np.dtype(float))


@implements(np.diff)
def diff(
    a: ArrayLike, n: int = 1, axis: int = -1, prepend: Any = NOT_GIVEN, append: Any = NOT_GIVEN
) -> Array:
    """Differences between neighbours along an axis, taken `n` times.

    Parameters
    ----------
    a : array_like
    n : int
    axis : int
    prepend, append : array_like, optional
        What stands before and behind the values.

    Returns
    -------
    Tensor
        Shorter by `n` along the axis.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.diff(tg.tensor([1.0, 4.0, 9.0]))
    Tensor([3., 5.])
    """
    if n < 0:
        raise ValueError(f"order must be non-negative but got {n!r}")
    a = as_tensor(a)
    if not a.ndim:
        raise ValueError("diff requires input that is at least one dimensional")
    axis = one_axis(axis, a.ndim)
    pieces = [prepend, a, append]
    for i in (0, 2):
        if is_given(pieces[i]):
            edge: Any = as_tensor(pieces[i])
            if not edge.ndim:
                edge = np.broadcast_to(edge, [1 if k == axis else m for k, m in enumerate(a.shape)])
            pieces[i] = edge
    present = [p for p in pieces if is_given(p)]
    if len(present) > 1:
        a = np.concatenate(present, axis=axis)
    for _ in range(n):
        later = part(a, axis, 1, None)
        earlier = part(a, axis, None, -1)
        a = np.not_equal(later, earlier) if a.dtype == bool else later - earlier
    return a


@implements(np.ediff1d)
def ediff1d(ary: ArrayLike, to_end: Any = None, to_begin: Any = None) -> Array:
    """Differences between neighbours of the flattened array, and what is put around them.

    Parameters
    ----------
    ary : array_like
        Flattened.
    to_end, to_begin : array_like, optional
        What is put behind and before the differences.

    Returns
    -------
    Tensor, one axis

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.ediff1d(tg.tensor([1.0, 4.0, 9.0]), to_end=0.0)
    Tensor([3., 5., 0.])
    """
    flat = np.ravel(as_tensor(ary))
    middle = flat[1:] - flat[:-1]
    pieces = [middle]
    for name, edge in (("to_begin", to_begin), ("to_end", to_end)):
        if edge is not None:
            edge = np.ravel(as_tensor(edge))
            if not np.can_cast(edge.dtype, flat.dtype, "same_kind"):
                raise TypeError(f"dtype of `{name}` must be compatible with input `ary` under the "
                                "`same_kind` rule.")  # fmt: skip
            edge = functions["cast"](edge, flat.dtype)
            pieces = [edge, *pieces] if name == "to_begin" else [*pieces, edge]
    return concatenate(pieces) if len(pieces) > 1 else middle


@implements(np.trapezoid)
def trapezoid(y: ArrayLike, x: ArrayLike = None, dx: Any = 1.0, axis: int = -1) -> Array:
    """Integral along an axis by the trapezoidal rule; differentiable in values and places.

    Parameters
    ----------
    y : array_like
        Values of the function.
    x : array_like, optional
        Where they were taken; by default every `dx`.
    dx : float
        The distance of the places, if `x` is not given.
    axis : int
        The axis of integration.

    Returns
    -------
    Tensor
        Without the axis.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.trapezoid(tg.tensor([1.0, 2.0, 3.0]))
    Tensor(4.)
    """
    y = as_tensor(y)
    axis = one_axis(axis, y.ndim)
    width = dx
    if x is not None:
        x = as_tensor(x)
        if x.ndim == 1:
            width = np.reshape(diff(x), [-1 if i == axis else 1 for i in range(y.ndim)])
        else:
            width = diff(x, axis=axis)
    return np.sum(width * (part(y, axis, 1, None) + part(y, axis, None, -1)) / 2.0, axis=axis)


# Numerical derivatives ---------------------------------------------------------------------------


def _steps(spacing: Any, n: int) -> Any:
    """Return the distances of neighbours: one number if they are all equal, as in NumPy."""
    spacing = as_tensor(spacing)
    if not spacing.ndim:
        return spacing
    if spacing.ndim != 1:
        raise ValueError("distances must be either scalars or 1d")
    if spacing.shape[0] != n:
        raise ValueError("when 1d, distances must match the length of the corresponding dimension")
    steps = diff(_inexact(spacing))
    if steps.constant and not steps.live_trace.level:
        values = data_of(steps, "gradient")
        if (values == values[0]).all():
            return as_tensor(values[0])
    return steps


def _slopes(f: Any, axis: int, h: Array, order: int) -> Any:
    """Derivative along an axis by central differences, one-sided of `order` 1 or 2 at the ends."""
    n = f.shape[axis]

    def at(start: int | None, stop: int | None) -> Any:
        return cut(f, axis, start, stop)

    def shaped(a: Array) -> Any:
        return np.reshape(a, [-1 if i == axis else 1 for i in range(f.ndim)])

    if not h.ndim:
        inner = (at(2, None) - at(None, -2)) / (2.0 * h)
        first = last = h
        second = before = h
    else:
        left, right = h[:-1], h[1:]
        below = -right / (left * (left + right))
        here = (right - left) / (left * right)
        above = left / (right * (left + right))
        inner = (
            shaped(below) * at(None, -2) + shaped(here) * at(1, -1) + shaped(above) * at(2, None)
        )
        first, last = h[0], h[-1]
        second, before = h[min(1, n - 2)], h[max(-2, 1 - n)]
    if order == 1:
        begin = (at(1, 2) - at(0, 1)) / first
        end = (at(-1, None) - at(-2, -1)) / last
    else:
        whole = first + second
        begin = (
            -(2.0 * first + second) / (first * whole) * at(0, 1)
            + whole / (first * second) * at(1, 2)
            - first / (second * whole) * at(2, 3)
        )
        whole = before + last
        end = (
            last / (before * whole) * at(-3, -2)
            - whole / (before * last) * at(-2, -1)
            + (2.0 * last + before) / (last * whole) * at(-1, None)
        )
    return functions["cast"](concatenate((begin, inner, end), axis), f.dtype)


@implements(np.gradient)
def gradient(f: Any, *varargs: Any, axis: AxisLike = None, edge_order: int = 1) -> Array:
    """Derivative of a sampled function by central differences; not the derivative of `f` itself.

    Parameters
    ----------
    f : array_like
        Values of the function.
    *varargs : float or array_like
        For each axis, the distance of the places or the places; one number for all; by default 1.
    axis : int or tuple of int, optional
        By default all.
    edge_order : {1, 2}
        The order of the one-sided differences at the ends.

    Returns
    -------
    Tensor, or a tuple with one for each axis

    Examples
    --------
    >>> import tapegrad as tg
    >>> np.gradient(tg.tensor([1.0, 2.0, 4.0]))
    Tensor([1. , 1.5, 2. ])
    """
    f = _inexact(f)
    axes = all_axes(axis, f.ndim)
    if edge_order > 2:
        raise ValueError("'edge_order' greater than 2 not supported")
    spacings = [s if isinstance(s, int | float) else operand(s) for s in varargs] or [1.0]
    if len(spacings) == 1 and np.ndim(spacings[0]) == 0:
        spacings = spacings * len(axes)
    if len(spacings) != len(axes):
        raise TypeError("invalid number of arguments")
    results = []
    for i, spacing in zip(axes, spacings):
        if f.shape[i] < edge_order + 1:
            raise ValueError(
                "Shape of array too small to calculate a numerical gradient, at least "
                "(edge_order + 1) elements are required."
            )
        if isinstance(spacing, int | float):
            spacing = np.asarray(spacing, f.dtype)  # Python's numbers do not widen
        results.append(_slopes(f, i, _steps(spacing, f.shape[i]), edge_order))
    return results[0] if len(axes) == 1 else tuple(results)


# Interpolation -----------------------------------------------------------------------------------


@implements(np.interp)
def interp(
    x: ArrayLike, xp: Any, fp: Any, left: Any = None, right: Any = None, period: float | None = None
) -> Array:
    """Piecewise linear interpolation; differentiable in all of `x`, `xp` and `fp`.

    Parameters
    ----------
    x : array_like
        Where to evaluate.
    xp, fp : array_like
        Increasing places, and the values there.
    left, right : float, optional
        Values outside; by default the first and the last of `fp`.
    period : float, optional
        The period of `xp`; `left` and `right` then do not count.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.interp(tg.tensor([0.5, 9.0]), [0.0, 1.0], [0.0, 10.0])
    Tensor([ 5., 10.])
    """
    fp = as_tensor(fp)
    if any(as_tensor(a).dtype.kind == "c" for a in (fp, left, right) if a is not None):
        parts = [
            [None if a is None else part(a) for a in (fp, left, right)]
            for part in (np.real, np.imag)
        ]
        re, im = (interp(x, xp, *values, period) for values in parts)
        return re + 1j * im
    x, xp, fp = (functions["cast"](as_tensor(a), np.dtype(float)) for a in (x, xp, fp))
    if period is not None:
        if period == 0:
            raise ValueError("period must be a non-zero value")
        if xp.ndim != 1 or fp.ndim != 1:
            raise ValueError("Data points must be 1-D sequences")
        period = abs(period)
        x, xp = x % period, xp % period
        order = np.argsort(xp)
        xp, fp = take(xp, order), take(fp, order)
        xp = concatenate((xp[-1:] - period, xp, xp[:1] + period))
        fp = concatenate((fp[-1:], fp, fp[:1]))
        left = right = None
    if xp.ndim != 1 or fp.ndim != 1:
        raise ValueError("object too deep for desired array")
    n = xp.shape[0]
    if not n:
        raise ValueError("array of sample points is empty")
    if fp.shape[0] != n:
        raise ValueError("fp and xp are not of the same length.")
    below = fp[0] if left is None else left
    above = fp[-1] if right is None else right
    inside = fp[-1]
    if n > 1:
        index = np.minimum(np.maximum(np.searchsorted(xp, x, side="right") - 1, 0), n - 2)
        x0, f0 = take(xp, index), take(fp, index)
        x1, f1 = take(xp, index + 1), take(fp, index + 1)
        slope = (f1 - f0) / (x1 - x0)
        inside = np.where(x == xp[-1], inside, slope * (x - x0) + f0)
    result = np.where(x < xp[0], below, np.where(x > xp[-1], above, inside))
    return np.where(np.isnan(x), x, result)


@implements(np.unwrap)
def unwrap(
    p: Any, discont: float | None = None, axis: int = -1, *, period: float = 2 * np.pi
) -> Array:
    """Take away jumps of half a period or more along an axis; the gradient is 1 everywhere.

    Parameters
    ----------
    p : array_like
        Values, for example angles.
    discont : float, optional
        The least jump that is taken away; half a period by default.
    axis : int
        The axis along which values follow each other.
    period : float
        Whole multiples of it are added.

    Returns
    -------
    Tensor
        Of the shape of `p`.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.unwrap(tg.tensor([0.0, 3.0, 1.0]), period=4)
    Tensor([ 0., -1., -3.])
    """
    p = as_tensor(p)
    axis = one_axis(axis, p.ndim)
    jumps = diff(p, axis=axis)
    dtype = np.result_type(jumps, period)
    half: Any = period / 2
    ambiguous = True
    if dtype.kind in "iu":
        half, rest = divmod(period, 2)
        ambiguous = rest == 0
    turns = np.floor_divide(jumps + half, period)
    if ambiguous:  # a jump of exactly half a period keeps its direction
        landed = jumps - turns * period == -half
        turns = turns - np.logical_and(landed, jumps > 0)
    # The turns are piecewise constant, so they have no gradient.
    turns = np.where(np.abs(jumps) < (half if discont is None else discont), 0, turns)
    first = part(p, axis, None, 1)
    rest = part(p, axis, 1, None) - np.cumsum(turns * period, axis=axis)
    return functions["cast"](concatenate((first, rest), axis), dtype)


# Convolution -------------------------------------------------------------------------------------


def _correlate(a: Array, v: Array, mode: str, name: str) -> Any:
    """Slide `v` along `a`, no longer than `a`, and sum products."""
    if mode not in ("full", "same", "valid"):
        raise ValueError(f"mode must be one of 'valid', 'same', or 'full' (got {mode!r})")
    n, m = a.shape[0], v.shape[0]
    padding = 0 if mode == "valid" else m - 1
    dtype = np.result_type(a, v)
    if dtype.kind == "c":
        return _correlated_parts(a, v, mode, name)
    a, v = functions["cast"](a, dtype), functions["cast"](v, dtype)
    if dtype.kind != "f":
        return as_tensor(np.correlate(data_of(a, name), data_of(v, name), mode))  # type: ignore[call-overload]
    params = {"stride": (1,), "padding": (padding,), "dilation": (1,)}
    # By name, for the module that declares it belongs to a later room.
    result = apply(primitives["convolve_windows"], (a[None, None], v[None, None]), params)[0, 0]
    if mode == "same":
        start = (m - 1) // 2
        result = result[start : start + n]
    return owned(result)


def _correlated_parts(a: Array, v: Array, mode: str, name: str) -> Any:
    """Slide complex vectors, or one: each of the parts of one along each of the other."""

    def slide(b: Array) -> Any:
        if v.dtype.kind != "c":
            return _correlate(b, v, mode, name)
        return _correlate(b, np.real(v), mode, name) + 1j * _correlate(b, np.imag(v), mode, name)

    return slide(np.real(a)) + 1j * slide(np.imag(a)) if a.dtype.kind == "c" else slide(a)


def _signals(a: Array, v: Array) -> tuple[Any, Any]:
    a, v = as_tensor(a), as_tensor(v)
    a, v = (np.reshape(t, 1) if not t.ndim else t for t in (a, v))
    if a.ndim > 1 or v.ndim > 1:
        raise ValueError("object too deep for desired array")
    return a, v


@implements(np.convolve)
def convolve(a: ArrayLike, v: ArrayLike, mode: str = "full") -> Array:
    """Convolution of two vectors.

    Parameters
    ----------
    a, v : array_like
        Vectors.
    mode : {'full', 'same', 'valid'}
        All overlaps; as many as the longer vector has elements; or complete overlaps only.

    Returns
    -------
    Tensor, one axis

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.convolve(tg.tensor([1.0, 2.0]), [1.0, 10.0])
    Tensor([ 1., 12., 20.])
    """
    a, v = _signals(a, v)
    if v.shape[0] > a.shape[0]:
        a, v = v, a
    for t, name in ((a, "a"), (v, "v")):
        if not t.shape[0]:
            raise ValueError(f"{name} cannot be empty")
    return _correlate(a, v[::-1], mode, "convolve")


@implements(np.correlate)
def correlate(a: ArrayLike, v: ArrayLike, mode: str = "valid") -> Array:
    """Sums of products of one vector with the other, shifted, and conjugated if it is complex.

    Parameters
    ----------
    a, v : array_like
        Vectors.
    mode : {'valid', 'same', 'full'}
        Complete overlaps only; as many as the longer vector has elements; or all overlaps.

    Returns
    -------
    Tensor, one axis

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.correlate(tg.tensor([1.0, 2.0, 3.0]), [0.0, 1.0])
    Tensor([2., 3.])
    """
    a, v = _signals(a, v)
    if not a.shape[0] or not v.shape[0]:
        raise ValueError("first array argument cannot be empty" if not a.shape[0] else
                         "second array argument cannot be empty")  # fmt: skip
    v = np.conjugate(v) if v.dtype.kind == "c" else v
    if v.shape[0] > a.shape[0]:
        return _correlate(v, a, mode, "correlate")[::-1]
    return _correlate(a, v, mode, "correlate")
