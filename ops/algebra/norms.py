"""Norms of vectors and matrices.

A p-norm is a reduction whose forward pass can neither overflow nor underflow on the way to a result
that fits. Where a norm has no derivative (at zero) the rules give the subgradient 0; where several
elements are the greatest, ``even_max`` shares the gradient among them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.ops.algebra.singular import nuclear_norm_p, svd_packed_p
from tapegrad.ops.declare.ufunc import as_tensor, check_operand, flagged, owned
from tapegrad.ops.elementwise.comparisons import all_axes, one_axis
from tapegrad.ops.elementwise.elementwise import _absolute_strict, absolute
from tapegrad.ops.reduce.extremes import even_max_p, even_min_p
from tapegrad.ops.reduce.reductions import Axes, _add, _lift, _to_back, reduction
from tapegrad.tape.array.application import apply
from tapegrad.tape.core.primitive import Primitive, functions, implements

__all__ = ["matrix_norm", "norm", "vector_norm"]


# The p-norm --------------------------------------------------------------------------------------


def _power_sum(size: Any, ord: float, keepdims: bool) -> Any:
    """Sum of powers of absolute values over the last axis."""
    if ord == 2:
        total = np.vecdot(size, size)
        return total[..., None] if keepdims else total
    if ord == 3:
        powers = size * size * size
    elif ord == 4:
        powers = np.square(np.square(size))
    elif ord == 0.5:
        powers = np.sqrt(size)
    else:
        powers = size**ord
    return _add(powers, -1, None, None, keepdims)


def _root(total: Any, ord: float) -> Any:
    return np.sqrt(total) if ord == 2 else np.cbrt(total) if ord == 3 else total ** (1.0 / ord)


def _scaled(size: Any, ord: float) -> Any:
    """The norm over the last axis, by dividing by the element that counts most."""
    if ord > 0:
        unit = np.max(size, axis=-1, keepdims=True, initial=0.0)
    else:
        unit = np.min(size, axis=-1, keepdims=True)
    unit = np.where(np.isfinite(unit) & (unit > 0), unit, 1.0).astype(size.dtype)
    return unit[..., 0] * _root(_power_sum(size / unit, ord, False), ord)


def _p_norm(flat: Any, ord: float) -> Any:
    """The norm over the last axis: directly where the sum of powers is a number of normal size."""
    size = flat if ord == 2 else np.abs(flat)
    if ord < 0:
        return _scaled(np.abs(flat), ord)
    total = _power_sum(size, ord, False)
    good = _is_normal(total)
    if good.all():
        return _root(total, ord)
    return np.where(good, _root(total, ord), _scaled(np.abs(flat), ord))


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
            y = np.asarray(_p_norm(_to_back(x, axis), ord))
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


def _slope(y: Any, x: Any, ord: float, axis: Axes, keepdims: bool, strict: bool) -> Any:
    """``sign(x) (|x| / y) ** (ord - 1)``, which is 0 at zeros; with `strict` it is nan there."""
    if ord == 0:
        return np.zeros(x.shape, x.dtype)
    ratio = _ratio(_lift(y, axis, keepdims), x)
    if ord == 2:
        slope = ratio
    elif ord > 2 and ord == int(ord):
        slope = ratio * _raised(np.abs(ratio), int(ord) - 2)
    else:  # a power with a singularity at zeros, which it must not see
        zero = ratio == 0
        size = np.where(zero, 1.0, np.abs(ratio))
        slope = np.where(zero, 0.0, np.sign(ratio) * size ** (ord - 1.0))
    return np.where(x == 0, np.nan, slope) if strict else slope


def _pull(
    g: Any, y: Any, x: Any, ord: float, axis: Axes, keepdims: bool, strict: bool = False
) -> Any:
    if ord == 2 and not strict:
        return _ratio(_lift(y, axis, keepdims), x, _lift(g, axis, keepdims))
    return _lift(g, axis, keepdims) * _slope(y, x, ord, axis, keepdims, strict)


def _raised(ratio: Any, exponent: int) -> Any:
    return ratio if exponent == 1 else ratio * ratio if exponent == 2 else ratio**exponent


vector_norm_p = reduction(
    "vector_norm",
    _vector_norm,
    _pull,
    jvp=lambda tangents, y, x, ord, axis, keepdims, strict=False: np.sum(
        tangents[0] * _slope(y, x, ord, axis, keepdims, strict), axis=axis, keepdims=keepdims
    ),
)
vector_norm_p.source = None  # NumPy has no function that cannot overflow


def _is_normal(total: Any) -> Any:
    """Whether sums of powers are numbers that neither overflow nor underflow have touched."""
    limits = np.finfo(total.dtype)
    return (total >= float(limits.tiny) / float(limits.eps)) & (total < np.inf)


def _norm_of_total(
    total: Any, x: Any, ord: float, axis: Axes, keepdims: bool, strict: bool = False
) -> Any:
    if _is_normal(total).all():
        return _root(total, ord)
    return _vector_norm(x, ord, axis, keepdims)


#: What compiled code ends a norm with: the sum of powers comes from a kernel, and is good but for
#: overflow and underflow. It takes part in no trace.
norm_of_total_p = Primitive("norm_of_total", _norm_of_total, register=False)

# The functions -----------------------------------------------------------------------------------


def _order(ord: Any, name: str) -> float:
    if isinstance(ord, bool | np.bool_ | str) or not isinstance(ord, int | float | np.number):
        raise TypeError(f"{name}: ord must be a real number, not {ord!r}")
    ord = float(ord)
    if math.isnan(ord):
        raise ValueError(f"{name}: ord must not be nan")
    return ord


def _operand(x: Any, name: str) -> Any:
    check_operand(np.asarray(x) if isinstance(x, list | tuple) else x, name)
    return as_tensor(x)


def _floats(x: Any) -> Any:
    """Integers as floats, and still constant."""
    return x if x.dtype.kind == "f" else functions["cast"](x, np.dtype(float))


def _vector(
    x: Any, ord: float, axes: Axes, keepdims: bool, even: bool, strict: bool, constant: bool | None
) -> Any:
    keep: dict[str, Any] = {"axis": axes, "keepdims": keepdims}
    if ord == 1:
        x = apply(_absolute_strict if strict else absolute.primitive, (_floats(x),))
        if x.dtype == np.float16:  # whose sums would lose what is small
            keep["dtype"] = np.float32
        total = np.sum(x, **keep)
        return flagged(functions["cast"](total, x.dtype) if "dtype" in keep else total, constant)
    if math.isinf(ord):
        if not all(x.shape[a] for a in axes):
            raise ValueError(
                f"vector norm of order {ord} of no elements: the {'greatest' if ord > 0 else 'least'}"
                f" of nothing is not defined (shape {x.shape}, axis {axes})"
            )
        x = apply(absolute.primitive, (_floats(x),))
        if even:
            return apply(even_max_p if ord > 0 else even_min_p, (x,), keep, constant)
        extreme = (np.max if ord > 0 else np.min)(x, **keep)
        # Only an extreme that is 0 has no derivative.
        return flagged(apply(_absolute_strict, (extreme,)) if strict else extreme, constant)
    if ord < 0 and not all(x.shape[a] for a in axes):
        raise ValueError(f"vector norm of order {ord} of no elements is not defined")
    params = {"ord": ord, **keep}
    if strict:
        params["strict"] = True
    return apply(vector_norm_p, (x,), params, constant)


def vector_norm(
    x: Any,
    ord: float = 2,
    axis: int | tuple[int, ...] | None = None,
    keepdims: bool = False,
    *,
    constant: bool | None = None,
) -> Any:
    """Norm of vectors along one axis or several, of any real order.

    Neither large nor tiny elements overflow or underflow on the way. The gradient is 0 at zero
    elements and zero vectors; for the orders inf and -inf it is shared evenly among ties.

    Parameters
    ----------
    x : array_like
        Values; integers are computed in float64.
    ord : float
        The order: ``sum(|x| ** ord) ** (1 / ord)``. 0 counts what is not zero, inf and -inf give
        the greatest and the least absolute value.
    axis : int or tuple of int, optional
        Axes that hold the vectors; by default all.
    keepdims : bool
        Whether these axes stay, with size 1.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Raises
    ------
    TypeError
        If `ord` is no number.
    ValueError
        For vectors without elements, if `ord` is infinite or negative.

    Examples
    --------
    >>> import tapegrad as tg
    >>> x = tg.tensor([[3e200, 4e200], [0.0, 0.0]])
    >>> tg.linalg.vector_norm(x, axis=1)
    Tensor([5.e+200, 0.e+000])
    """
    ord = _order(ord, "vector_norm")
    x = _operand(x, "vector_norm")
    axes = all_axes(None if isinstance(axis, tuple) and not axis else axis, x.ndim)
    return _vector(x, ord, axes, bool(keepdims), True, False, constant)


_MATRIX_ORDERS = ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)


def matrix_norm(
    x: Any,
    ord: Any = "fro",
    axis: tuple[int, int] = (-2, -1),
    keepdims: bool = False,
    *,
    constant: bool | None = None,
) -> Any:
    """Norm of the matrices in two axes; other axes hold a batch.

    Parameters
    ----------
    x : array_like
        An array of two or more axes.
    ord : {"fro", "nuc", 1, -1, 2, -2, inf, -inf}
        Frobenius; sum of the singular values; greatest and least sum of a column; greatest and
        least singular value; greatest and least sum of a row.
    axis : pair of int
        The axes of rows and of columns.
    keepdims : bool
        Whether these axes stay, with size 1.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Raises
    ------
    ValueError
        For another order, and for axes that are not two different ones.

    Notes
    -----
    Gradients are shared evenly among tied rows, columns and singular values, and finite at zero.

    Examples
    --------
    >>> import tapegrad as tg
    >>> x = tg.tensor([[3.0, 0.0], [0.0, 4.0]])
    >>> tg.linalg.matrix_norm(x), tg.linalg.matrix_norm(x, "nuc")
    (Tensor(5.), Tensor(7.))
    """
    if isinstance(ord, bool) or not isinstance(ord, str | int | float | np.number):
        raise TypeError(f"matrix_norm: ord must be a number, 'fro' or 'nuc', not {ord!r}")
    if ord not in _MATRIX_ORDERS:
        raise ValueError(f"matrix_norm: order {ord!r} is none of {_MATRIX_ORDERS}")
    x = _operand(x, "matrix_norm")
    if isinstance(axis, int) or len(axis) != 2:
        raise TypeError(f"matrix_norm: axis must be a pair of axes, not {axis!r}")
    if x.ndim < 2:
        raise ValueError(f"matrix_norm takes matrices; got an array with {x.ndim} axes")
    row, column = (one_axis(a, x.ndim) for a in axis)
    if row == column:
        raise ValueError(f"matrix_norm: the axes of rows and of columns are the same, {axis}")
    return _matrix(x, ord, row, column, bool(keepdims), False, constant)


def _matrix(
    x: Any, ord: Any, row: int, column: int, keepdims: bool, strict: bool, constant: bool | None
) -> Any:
    shape = tuple(1 if i in (row, column) else n for i, n in enumerate(x.shape))
    if ord in ("fro", None):
        return _vector(x, 2.0, (row, column), keepdims, True, strict, constant)
    empty = not x.shape[row] * x.shape[column]
    searched = {-1: (column,), -math.inf: (row,), -2: (row, column)}.get(ord, ())
    if not all(x.shape[i] for i in searched):
        raise ValueError(
            f"matrix norm of order {ord} of no elements: the least of nothing is not defined"
        )
    if empty:  # sums of nothing; they keep their place in the graph
        result = np.sum(_floats(x), axis=(row, column), keepdims=True)
    elif ord in (1, -1, math.inf, -math.inf):
        summed, across = (row, column) if abs(ord) == 1 else (column, row)
        sums = _vector(x, 1.0, (summed,), True, True, strict, None)
        extreme = even_max_p if ord > 0 else even_min_p
        result = apply(extreme, (sums,), {"axis": (across,), "keepdims": True})
    else:
        matrices = np.moveaxis(_floats(x), (row, column), (-2, -1))
        if ord == "nuc":
            result = apply(nuclear_norm_p, (matrices,))
        else:
            values = apply(svd_packed_p, (matrices,))[..., x.shape[row], :]
            extreme = even_max_p if ord == 2 else even_min_p
            axes = {"axis": (len(values.shape) - 1,), "keepdims": False}
            result = apply(extreme, (values,), axes)
        return flagged(owned(np.reshape(result, shape)) if keepdims else result, constant)
    if not keepdims:
        result = owned(
            np.reshape(result, [n for i, n in enumerate(shape) if i not in (row, column)])
        )
    return flagged(result, constant)


@implements(np.linalg.norm)
def norm(
    x: Any,
    ord: Any = None,
    axis: int | tuple[int, ...] | None = None,
    keepdims: bool = False,
    *,
    nan_to_num: bool = True,
    constant: bool | None = None,
) -> Any:
    """Norm of a vector or a matrix; the same as ``np.linalg.norm`` of a tensor.

    Parameters
    ----------
    x : array_like
        Values. Without `axis` and `ord` they are flattened, and the norm is the 2-norm.
    ord : float or {"fro", "nuc"}, optional
        The order. For vectors see :func:`vector_norm`; for matrices :func:`matrix_norm`.
    axis : int or pair of int, optional
        One axis for the norms of vectors, two for those of matrices. By default `x` must have one
        or two axes if `ord` is given.
    keepdims : bool
        Whether the axes that the norm is taken over stay, with size 1.
    nan_to_num : bool
        Whether the gradient at zero elements is 0; otherwise it is nan where the derivative is not
        defined.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        For an order that does not exist, and more than two axes with an order.

    Notes
    -----
    For vectors and the orders inf and -inf the gradient goes to the first extreme, as documented;
    :func:`vector_norm` shares it among ties.

    Examples
    --------
    >>> import tapegrad as tg
    >>> x = tg.tensor([[1.0, 2.0, 3.0], [1.0, 0.0, 0.0]])
    >>> norms = tg.linalg.norm(x, ord=2, axis=1)
    >>> norms
    Tensor([3.74165739, 1.        ])
    >>> norms.backward()
    >>> x.grad
    array([[0.26726124, 0.53452248, 0.80178373],
           [1.        , 0.        , 0.        ]])
    """
    x = _operand(x, "norm")
    keepdims, strict = bool(keepdims), not nan_to_num
    if axis is None:
        axes = all_axes(None, x.ndim)
        if ord is None:
            return _vector(x, 2.0, axes, keepdims, False, strict, constant)
        if x.ndim not in (1, 2):
            raise ValueError(
                f"norm: an array with {x.ndim} axes needs axis= when ord is given: one axis for "
                "norms of vectors, two for norms of matrices"
            )
    else:
        axes = all_axes(tuple(axis) if isinstance(axis, list) else axis, x.ndim)
        if x.ndim == 0 and type(axis) is int:
            raise np.exceptions.AxisError(axis, 0)
    if len(axes) == 1:
        if isinstance(ord, str):
            raise ValueError(f"Invalid norm order {ord!r} for vectors")
        order = 2.0 if ord is None else _order(ord, "norm")
        return _vector(x, order, axes, keepdims, False, strict, constant)
    if len(axes) != 2:
        raise ValueError("Improper number of dimensions to norm.")
    if ord is not None and (isinstance(ord, bool) or ord not in _MATRIX_ORDERS):
        raise ValueError(f"Invalid norm order {ord!r} for matrices")
    return _matrix(x, ord, *axes, keepdims, strict, constant)


def _np_vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    return vector_norm(x, ord, axis, keepdims)


def _np_matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    return matrix_norm(x, ord, keepdims=keepdims)


implements(np.linalg.vector_norm)(_np_vector_norm)
implements(np.linalg.matrix_norm)(_np_matrix_norm)
