"""Running sums and products along an axis, and the recurrence that they differentiate into.

Products differentiate without division, so that zeros do no harm to any order: a running product
differentiates into a linear recurrence, a primitive of ours that is its own transpose, read
backwards; and the derivative of a product by one factor is the running product from the left times
that from the right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.ops.declare.axes import one_axis, shape_of
from tapegrad.ops.declare.ufunc import as_tensor, check_operand, delivered, numpy_source, operand
from tapegrad.tape.array.application import apply, bind
from tapegrad.tape.core.dependence import along_axis
from tapegrad.tape.core.dtypes import NUMERIC
from tapegrad.tape.core.primitive import Primitive, functions, implements
from tapegrad.tape.core.slots import Recurrence
from tapegrad.tape.core.types import Array, ArrayLike, AxisLike, DTypeLike, Params

__all__ = ["cumprod", "cumsum", "cumulative_prod", "cumulative_sum"]


def running(name: str, forward: Any, rules: tuple[Any, ...], **slots: Any) -> Primitive:
    """Declare an operation along one axis that keeps the shape."""

    def batch(args: Sequence[Array], batched: Sequence[bool], size: int, params: Params) -> Any:
        lifted = [a if b else np.broadcast_to(a, (size, *a.shape)) for a, b in zip(args, batched)]
        return bind(primitive, *lifted, **{**params, "axis": params["axis"] + 1})

    if name.startswith("cum"):
        slots["source"] = numpy_source(name)
    primitive = Primitive(
        name,
        forward,
        rules,
        batch=batch,
        family="opaque",
        dependence=along_axis,
        takes_complex=True,
        **slots,
    )
    return primitive


def part(x: Array, axis: int, start: int | None, stop: int | None, step: int = 1) -> Any:
    """Return a slice along one axis."""
    return x[(slice(None),) * axis + (slice(start, stop, step),)]


def backwards(x: Array, axis: int) -> Any:
    """Reverse the order along one axis."""
    return part(x, axis, None, None, -1)


def delay(x: Array, axis: int, first: float, *, reverse: bool = False) -> Any:
    """Shift by one along an axis, dropping the last element and putting `first` in front."""
    shape = (*x.shape[:axis], 1 if x.shape[axis] else 0, *x.shape[axis + 1 :])
    edge = np.full(shape, first, x.dtype)
    if reverse:
        return np.concatenate((part(x, axis, 1, None), edge), axis)
    return np.concatenate((edge, part(x, axis, None, -1)), axis)


def _recur(a: Array, b: Array, *, axis: int, reverse: bool) -> Any:
    """``y[i] = a[i] * y[i-1] + b[i]`` along an axis: step by step, or by doubling if it is long."""
    shape = np.broadcast_shapes(np.shape(a), np.shape(b))
    dtype = np.result_type(a, b)
    y = np.array(np.broadcast_to(b, shape), dtype=dtype)
    n = shape[axis]
    if not y.size:
        return y
    factors = np.moveaxis(np.broadcast_to(a, shape), axis, 0)
    ys = np.moveaxis(y, axis, 0)
    if reverse:
        factors, ys = factors[::-1], ys[::-1]
    if n <= 32 or y.size >= 512 * n:
        for i in range(1, n):
            ys[i] += factors[i] * ys[i - 1]
        return y
    factors = np.array(factors, dtype=dtype)
    step = 1
    while step < n:  # after each pass, a result holds the last 2 * step terms
        ys[step:] += factors[step:] * ys[:-step].copy()
        factors[step:] *= factors[:-step].copy()
        step *= 2
    return y


linear_recurrence_p: Primitive = running(
    "linear_recurrence",
    _recur,
    (
        lambda g, y, a, b, axis, reverse: (
            bind(linear_recurrence_p, delay(a, axis, 0.0, reverse=not reverse), g, axis=axis,
                 reverse=not reverse) * delay(y, axis, 0.0, reverse=reverse)
        ),
        lambda g, y, a, b, axis, reverse: bind(
            linear_recurrence_p, delay(a, axis, 0.0, reverse=not reverse), g, axis=axis,
            reverse=not reverse,
        ),
    ),
    recurrence=Recurrence("{y}", "{x} * t + {y}", 2),
)  # fmt: skip

cumsum_p = running(
    "cumsum",
    np.cumsum,
    (lambda g, y, x, axis, dtype=None: backwards(np.cumsum(backwards(g, axis), axis=axis), axis),),
    jvp="linear",
)


def _cumprod_rule(g: Array, y: Array, x: Array, axis: int, dtype: DTypeLike = None) -> Any:
    # dy[k]/dx[i] = (product before i) * (product of those between i and k), for k >= i.
    between = bind(
        linear_recurrence_p, delay(x, axis, 0.0, reverse=True), g, axis=axis, reverse=True
    )
    return between * delay(y, axis, 1.0)


cumprod_p = running(
    "cumprod",
    np.cumprod,
    (_cumprod_rule,),
    jvp=lambda tangents, y, x, axis, dtype=None: bind(
        linear_recurrence_p, x, tangents[0] * delay(y, axis, 1.0), axis=axis, reverse=False
    ),
)


def numeric_dtype(dtype: DTypeLike, name: str) -> np.dtype[Any]:
    """Return a dtype if it is one of numbers."""
    dtype = np.dtype(dtype)
    if dtype.kind not in NUMERIC:
        raise TypeError(f"{name}: dtype {dtype} is not a dtype of numbers")
    return dtype


def _run(
    primitive: Primitive, a: Array, axis: AxisLike, dtype: DTypeLike, out: Any, constant: Any
) -> Any:
    a = operand(a)
    check_operand(a, primitive.name)
    if axis is None or not shape_of(a):
        if axis is not None:
            one_axis(axis, 1)
        a, axis = np.reshape(a, -1), 0
    params: dict[str, Any] = {"axis": one_axis(axis, len(shape_of(a)))}
    if dtype is not None:
        params["dtype"] = numeric_dtype(dtype, primitive.name)
    return delivered(apply(primitive, (a,), params, constant), out, primitive.name)


@implements(np.cumsum)
def cumsum(
    a: ArrayLike, axis: AxisLike = None, dtype: DTypeLike = None, out: Any = None, *,
    constant: bool | None = None,
) -> Array:  # fmt: skip
    """Running sum along an axis, or of the flattened array.

    Parameters
    ----------
    a : array_like
        Values.
    axis : int, optional
        One axis; by default the array is flattened.
    dtype : dtype_like, optional
        The dtype to compute in.
    out : Tensor or ndarray, optional
        Where the result is written to.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        Of the shape of `a`, or flat.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.cumsum(tg.tensor([1.0, 2.0, 3.0]))
    Tensor([1., 3., 6.])
    """
    return _run(cumsum_p, a, axis, dtype, out, constant)


@implements(np.cumprod)
def cumprod(
    a: ArrayLike, axis: AxisLike = None, dtype: DTypeLike = None, out: Any = None, *,
    constant: bool | None = None,
) -> Array:  # fmt: skip
    """Running product along an axis, or of the flattened array; its gradients are right at zeros.

    Parameters
    ----------
    a : array_like
        Values.
    axis : int, optional
        One axis; by default the array is flattened.
    dtype : dtype_like, optional
        The dtype to compute in.
    out : Tensor or ndarray, optional
        Where the result is written to.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        Of the shape of `a`, or flat.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.cumprod(tg.tensor([1.0, 2.0, 3.0]))
    Tensor([1., 2., 6.])
    """
    return _run(cumprod_p, a, axis, dtype, out, constant)


def _cumulative(
    x: Array, axis: AxisLike, dtype: DTypeLike, out: Any, first: Any, function: Any
) -> Any:
    """Run along the only axis or a given one, and perhaps put the neutral element in front."""
    x = as_tensor(x)
    if axis is None:
        if x.ndim != 1:
            raise ValueError("For arrays which have more than one dimension ``axis`` argument is "
                             "required.")  # fmt: skip
        axis = 0
    result = function(x, axis, dtype)
    if first is not None:
        axis = one_axis(axis, x.ndim)
        shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
        result = np.concatenate((np.full(shape, first, result.dtype), result), axis)
    return delivered(result, out, function.__name__)


def cumulative_sum(
    x: ArrayLike, /, *, axis: AxisLike = None, dtype: DTypeLike = None, out: Any = None,
    include_initial: bool = False,
) -> Array:  # fmt: skip
    """Running sum along an axis, on request with 0 in front.

    Parameters
    ----------
    x : array_like
    axis : int, optional
        Needed if there are several axes.
    dtype : dtype_like, optional
        The dtype to compute in.
    out : Tensor or ndarray, optional
        Where the result is written to.
    include_initial : bool
        Whether a 0 stands in front.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.cumulative_sum(tg.tensor([1.0, 2.0]), include_initial=True)
    Tensor([0., 1., 3.])
    """
    return _cumulative(x, axis, dtype, out, 0 if include_initial else None, cumsum)


def cumulative_prod(
    x: ArrayLike, /, *, axis: AxisLike = None, dtype: DTypeLike = None, out: Any = None,
    include_initial: bool = False,
) -> Array:  # fmt: skip
    """Running product along an axis, on request with 1 in front.

    Parameters
    ----------
    x : array_like
    axis : int, optional
        Needed if there are several axes.
    dtype : dtype_like, optional
        The dtype to compute in.
    out : Tensor or ndarray, optional
        Where the result is written to.
    include_initial : bool
        Whether a 1 stands in front.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.cumulative_prod(tg.tensor([3.0, 2.0]), include_initial=True)
    Tensor([1., 3., 6.])
    """
    return _cumulative(x, axis, dtype, out, 1 if include_initial else None, cumprod)


if hasattr(np, "cumulative_sum"):  # NumPy 2.1
    implements(np.cumulative_sum)(cumulative_sum)
    implements(np.cumulative_prod)(cumulative_prod)

functions["accumulate", np.add] = cumsum
functions["accumulate", np.multiply] = cumprod
