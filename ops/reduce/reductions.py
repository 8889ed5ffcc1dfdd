"""Reductions: sums, products, means, extremes and spreads over axes.

Axes are normalised before a primitive sees them: a tuple of non-negative axes, and a boolean
``keepdims``. NumPy's signatures, with ``where`` and ``initial``, are adapted elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.ops.declare.axes import (
    NOT_GIVEN,
    Axes,
    all_axes,
    from_back,
    is_given,
    shape_of,
    to_back,
    with_axes,
)
from tapegrad.ops.declare.fields import conjugated, magnitudes_squared
from tapegrad.ops.declare.kinks import kinked
from tapegrad.ops.declare.ufunc import check_operand, numpy_source, operand
from tapegrad.ops.reduce.running import backwards, delay, numeric_dtype
from tapegrad.tape.array.application import apply, bind
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import Primitive, functions
from tapegrad.tape.core.slots import Reduction
from tapegrad.tape.core.types import Array, ArrayLike, AxisLike, DTypeLike, Params

__all__ = [
    "amax", "amin", "max", "mean", "min", "prod", "std", "sum", "var",
]  # fmt: skip

_FLOAT64 = np.dtype(float)
# Called with all arguments by position, which NumPy's stubs do not know.
_add: Any = np.add.reduce
_multiply: Any = np.multiply.reduce
_maximum: Any = np.maximum.reduce
_minimum: Any = np.minimum.reduce


# What the rules share ----------------------------------------------------------------------------


def _spread(g: Array, shape: tuple[int, ...], axis: Axes, keepdims: bool) -> Any:
    """Repeat the cotangent of a result along the axes that were reduced."""
    if type(g) is np.ndarray and not g.ndim:  # the same as below, at a fifth of the price
        spread: Any = np.ndarray(shape, g.dtype, g, 0, (0,) * len(shape))
        spread.setflags(write=False)
        return spread
    return np.broadcast_to(with_axes(g, axis, keepdims), shape)


def _count(shape: tuple[int, ...], axis: Axes) -> int:
    """Number of elements that go into one result."""
    return math.prod([shape[i] for i in axis])


def reduction(name: str, forward: Any, rule: Any, jvp: Any = None, **slots: Any) -> Primitive:
    """Declare a reduction over the axes ``axis``."""

    def batch(args: Sequence[Array], batched: Sequence[bool], size: int, params: Params) -> Any:
        axis = tuple(a + 1 for a in params["axis"])
        return bind(primitive, args[0], **{**params, "axis": axis})

    primitive = Primitive(
        name,
        forward,
        (rule,),
        jvp=jvp,
        batch=batch,
        family="reduction",
        source=numpy_source(name),
        **slots,
    )
    return primitive


# Sum and mean ------------------------------------------------------------------------------------

sum_p = reduction(
    "sum",
    lambda x, axis, keepdims, dtype=None: _add(x, axis, dtype, None, keepdims),
    lambda g, y, x, axis, keepdims, dtype=None: _spread(g, x.shape, axis, keepdims),
    jvp="linear",
    reduction=Reduction("add", 0.0, rounding="wide"),
    takes_complex=True,
    pairs=lambda x, **params: (np.sum(x[0], **params), np.sum(x[1], **params)),
)


def _mean(x: Array, axis: Axes, keepdims: bool, dtype: DTypeLike = None) -> Any:
    count = _count(np.shape(x), axis)
    if count and dtype is None and getattr(x, "dtype", None) == _FLOAT64:
        return _add(x, axis, None, None, keepdims) / count  # NumPy's, without its checks
    return np.mean(x, axis=axis, dtype=dtype, keepdims=keepdims)


mean_p = reduction(
    "mean",
    _mean,
    lambda g, y, x, axis, keepdims, dtype=None: _spread(
        g * (1.0 / (_count(x.shape, axis) or 1)), x.shape, axis, keepdims
    ),
    jvp="linear",
    expansion=lambda x, axis, keepdims, dtype=None: (
        np.sum(x, axis=axis, keepdims=keepdims) / float(_count(x.shape, axis))
    ),
    takes_complex=True,
    pairs=lambda x, **params: (np.mean(x[0], **params), np.mean(x[1], **params)),
)

# Maximum and minimum -----------------------------------------------------------------------------


def _first(find: Any, x: Array, axis: Axes) -> Any:
    """Mark the element that gave each result: the first in C order, or the first nan."""
    if not axis:
        return np.ones(x.shape, dtype=bool)
    flat = to_back(x, tuple(sorted(axis)))
    hit = np.equal(np.expand_dims(find(flat, axis=-1), -1), np.arange(flat.shape[-1]))
    return from_back(hit, x.shape, tuple(sorted(axis)))


max_p = reduction(
    "max",
    lambda x, axis, keepdims: _maximum(x, axis, None, None, keepdims),
    lambda g, y, x, axis, keepdims: np.where(
        _first(np.argmax, x, axis), with_axes(g, axis, keepdims), 0.0
    ),
    jvp=lambda tangents, y, x, axis, keepdims: np.sum(
        np.where(_first(np.argmax, x, axis), tangents[0], 0.0), axis=axis, keepdims=keepdims
    ),
    reduction=Reduction("maximum", -math.inf),
    takes_complex=True,
)
min_p = reduction(
    "min",
    lambda x, axis, keepdims: _minimum(x, axis, None, None, keepdims),
    lambda g, y, x, axis, keepdims: np.where(
        _first(np.argmin, x, axis), with_axes(g, axis, keepdims), 0.0
    ),
    jvp=lambda tangents, y, x, axis, keepdims: np.sum(
        np.where(_first(np.argmin, x, axis), tangents[0], 0.0), axis=axis, keepdims=keepdims
    ),
    reduction=Reduction("minimum", math.inf),
    takes_complex=True,
)

# Variance ----------------------------------------------------------------------------------------


def _var_scale(shape: tuple[int, ...], axis: Axes, ddof: float) -> float:
    free = _count(shape, axis) - ddof
    return 1.0 / free if free > 0 else math.nan


def _centred(x: Array, axis: Axes) -> Any:
    return x - np.mean(x, axis=axis, keepdims=True)


def _var_slope(x: Array, axis: Axes, ddof: float) -> Any:
    return conjugated(_centred(x, axis)) * (2.0 * _var_scale(x.shape, axis, ddof))


def _along_std(g: Any, y: Any, x: Any, axis: Axes, keepdims: bool, ddof: float) -> Any:
    """``g * (x - mean) / (n - ddof) / std``, and 0 where the data are constant.

    They are centred twice: where they are constant but for rounding, the error of the mean counts.
    """
    y = with_axes(y, axis, keepdims)
    flat = y == 0
    scale = _var_scale(x.shape, axis, ddof)
    deviation = conjugated(_centred(_centred(x, axis), axis))
    slope = deviation * scale / np.where(flat, 1.0, y)
    value = g * np.where(flat, 0.0, slope)
    if _count(x.shape, axis) < 2:  # a single value has no spread, wherever it moves
        return value
    return kinked(value, g, x, y, axis)


def _var_of_sums(x: Array, axis: Axes, keepdims: bool, ddof: float, dtype: DTypeLike = None) -> Any:
    deviation = _centred(x, axis)
    squares = np.sum(magnitudes_squared(deviation), axis=axis, keepdims=keepdims)
    free = float(_count(x.shape, axis) - ddof)
    return squares / (free if free > 0 else 0.0)


var_p = reduction(
    "var",
    lambda x, axis, keepdims, ddof, dtype=None: np.var(
        x, axis=axis, keepdims=keepdims, ddof=ddof, dtype=dtype
    ),
    lambda g, y, x, axis, keepdims, ddof, dtype=None: (
        with_axes(g, axis, keepdims) * _var_slope(x, axis, ddof)
    ),
    jvp=lambda tangents, y, x, axis, keepdims, ddof, dtype=None: np.sum(
        tangents[0] * _var_slope(x, axis, ddof), axis=axis, keepdims=keepdims
    ),
    expansion=_var_of_sums,
    takes_complex=True,
    pairs=lambda x, **params: np.var(x[0], **params) + np.var(x[1], **params),
)
std_p = reduction(
    "std",
    lambda x, axis, keepdims, ddof, dtype=None: np.std(
        x, axis=axis, keepdims=keepdims, ddof=ddof, dtype=dtype
    ),
    lambda g, y, x, axis, keepdims, ddof, dtype=None: _along_std(
        with_axes(g, axis, keepdims), y, x, axis, keepdims, ddof
    ),
    jvp=lambda tangents, y, x, axis, keepdims, ddof, dtype=None: np.sum(
        _along_std(tangents[0], y, x, axis, keepdims, ddof), axis=axis, keepdims=keepdims
    ),
    expansion=lambda x, axis, keepdims, ddof, dtype=None: np.sqrt(
        _var_of_sums(x, axis, keepdims, ddof)
    ),
    takes_complex=True,
)

# Product ------------------------------------------------------------------------------------------


def _product_of_others(x: Array, axis: Axes) -> Any:
    """For each element, the product of all others that go into the same result."""
    if not axis:
        return np.ones(x.shape, dtype=x.dtype)
    axis = tuple(sorted(axis))
    flat = to_back(x, axis)
    last = len(flat.shape) - 1
    before = delay(np.cumprod(flat, axis=last), last, 1.0)
    after = delay(np.cumprod(backwards(flat, last), axis=last), last, 1.0)
    return from_back(before * backwards(after, last), x.shape, axis)


prod_p = reduction(
    "prod",
    lambda x, axis, keepdims, dtype=None: _multiply(x, axis, dtype, None, keepdims),
    lambda g, y, x, axis, keepdims, dtype=None: (
        with_axes(g, axis, keepdims) * _product_of_others(x, axis)
    ),
    jvp=lambda tangents, y, x, axis, keepdims, dtype=None: np.sum(
        tangents[0] * _product_of_others(x, axis), axis=axis, keepdims=keepdims
    ),
    # In float64 a product would not overflow as NumPy's does.
    reduction=Reduction("multiply", 1.0, rounding="blocks"),
    takes_complex=True,
)

# The functions -----------------------------------------------------------------------------------


def _reduce(
    primitive: Primitive,
    x: Array,
    axis: AxisLike,
    keepdims: Any,
    constant: bool | None,
    dtype: DTypeLike = None,
    **more: Any,
) -> Any:
    if not isinstance(x, Tensor):
        x = operand(x)
        check_operand(x, primitive.name)
    axes = all_axes(axis, len(x.shape if isinstance(x, Tensor) else shape_of(x)))
    params = {"axis": axes, "keepdims": keepdims is not NOT_GIVEN and bool(keepdims)}
    if more:
        params.update(more)
    if dtype is not None:
        params["dtype"] = numeric_dtype(dtype, primitive.name)
    return apply(primitive, (x,), params, constant)


_DOC = """

    Parameters
    ----------
    {x} : array_like
        Values.
    axis : int or tuple of int, optional
        Axes to reduce; by default all.
    keepdims : bool
        Whether the reduced axes stay, with size 1.
{dtype}    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.
{more}
    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> x = tg.tensor([1.0, 2.0, 6.0])
    >>> tg.{name}(x)
    Tensor({example})
"""

_DTYPE_DOC = """    dtype : dtype_like, optional
        The dtype to compute in.
"""


def _documented(example: str, more: str = "", dtype: bool = False) -> Any:
    """Complete the docstring of a reduction, which it has not with ``python -OO``."""

    def document(function: Any) -> Any:
        if function.__doc__:
            function.__doc__ += _DOC.format(
                x=function.__code__.co_varnames[0],
                name=function.__name__,
                example=example,
                more=more,
                dtype=_DTYPE_DOC if dtype else "",
            )
        return function

    return document


@_documented("9.", dtype=True)
def sum(
    x: ArrayLike, axis: AxisLike = None, keepdims: bool = False, *, dtype: DTypeLike = None,
    constant: bool | None = None,
) -> Array:  # fmt: skip
    """Sum over axes."""
    return _reduce(sum_p, x, axis, keepdims, constant, dtype)


@_documented("3.", dtype=True)
def mean(
    x: ArrayLike, axis: AxisLike = None, keepdims: bool = False, *, dtype: DTypeLike = None,
    constant: bool | None = None,
) -> Array:  # fmt: skip
    """Arithmetic mean over axes; nan of nothing."""
    return _reduce(mean_p, x, axis, keepdims, constant, dtype)


@_documented("12.", dtype=True)
def prod(
    a: ArrayLike, axis: AxisLike = None, keepdims: bool = False, *, dtype: DTypeLike = None,
    constant: bool | None = None,
) -> Array:  # fmt: skip
    """Product over axes. Its gradients are right where factors are zero."""
    return _reduce(prod_p, a, axis, keepdims, constant, dtype)


_TIES = """
    Notes
    -----
    The gradient goes to the first extreme in C order, or to the first nan.
"""


@_documented("6.", _TIES)
def max(
    x: ArrayLike, axis: AxisLike = None, keepdims: bool = False, *, constant: bool | None = None,
) -> Array:  # fmt: skip
    """Greatest element over axes."""
    return _reduce(max_p, x, axis, keepdims, constant)


@_documented("1.", _TIES)
def min(
    x: ArrayLike, axis: AxisLike = None, keepdims: bool = False, *, constant: bool | None = None,
) -> Array:  # fmt: skip
    """Least element over axes."""
    return _reduce(min_p, x, axis, keepdims, constant)


amax, amin = max, min

_DDOF = """    ddof : float
        The divisor is N - `ddof`, in the gradient too. A `ddof` of N or more gives nan.
    correction : float, optional
        Another name of `ddof`.
"""


def ddof_of(ddof: Any, correction: Any) -> float:
    """Return what is meant by the two names that NumPy has for one argument."""
    if is_given(correction):
        if ddof != 0:
            raise ValueError("ddof and correction can't be provided simultaneously.")
        ddof = correction
    return ddof if type(ddof) is int else float(ddof)


@_documented("4.66666667", _DDOF, dtype=True)
def var(
    x: ArrayLike, axis: AxisLike = None, ddof: float = 0, keepdims: bool = False, *,
    dtype: DTypeLike = None, correction: Any = None, constant: bool | None = None,
) -> Array:  # fmt: skip
    """Variance over axes."""
    return _reduce(var_p, x, axis, keepdims, constant, dtype, ddof=ddof_of(ddof, correction))


@_documented("2.1602469", _DDOF, dtype=True)
def std(
    x: ArrayLike, axis: AxisLike = None, ddof: float = 0, keepdims: bool = False, *,
    dtype: DTypeLike = None, correction: Any = None, constant: bool | None = None,
) -> Array:  # fmt: skip
    """Standard deviation over axes; its gradient for constant data is 0."""
    return _reduce(std_p, x, axis, keepdims, constant, dtype, ddof=ddof_of(ddof, correction))


functions.update({"sum": sum, "mean": mean, "prod": prod, "max": max, "min": min})
functions.update({"var": var, "std": std})
