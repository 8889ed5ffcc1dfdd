"""Norms of vectors and matrices.

Where a norm has no derivative (at zero) the rules give the subgradient 0; where several elements are
the greatest, ``even_max`` shares the gradient among them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.ops.algebra.extreme_norms import extreme_norm_p
from tapegrad.ops.algebra.power_norm import vector_norm_p
from tapegrad.ops.algebra.singular import nuclear_norm_p, spectral_norm_p
from tapegrad.ops.declare.axes import Axes, all_axes, one_axis
from tapegrad.ops.declare.ufunc import as_tensor, check_operand, flagged, operand, owned
from tapegrad.ops.elementwise.elementwise import absolute, absolute_strict_p
from tapegrad.tape.array.application import apply
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.primitive import functions, implements
from tapegrad.tape.core.types import Array, ArrayLike, AxisLike

__all__ = ["matrix_norm", "norm", "vector_norm"]


def _order(ord: Any, name: str) -> float:
    if isinstance(ord, bool | np.bool_ | str) or not isinstance(ord, int | float | np.number):
        raise TypeError(f"{name}: ord must be a real number, not {ord!r}")
    ord = float(ord)
    if math.isnan(ord):
        raise ValueError(f"{name}: ord must not be nan")
    return ord


def _operand(x: Array, name: str) -> Any:
    x = operand(x)
    check_operand(x, name)
    return as_tensor(x)


def _floats(x: Array) -> Any:
    """Integers as floats, and still constant."""
    return x if x.dtype.kind in CONTINUOUS else functions["cast"](x, np.dtype(float))


def _vector(
    x: Array,
    ord: float,
    axes: Axes,
    keepdims: bool,
    even: bool,
    strict: bool,
    constant: bool | None,
) -> Any:
    if x.dtype.kind == "c":
        return _of_complex(x, ord, axes, keepdims, even, strict, constant)
    keep: dict[str, Any] = {"axis": axes, "keepdims": keepdims}
    if ord == 1:
        x = apply(absolute_strict_p if strict else absolute.primitive, (_floats(x),))
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
        choice = {"least": ord < 0, "even": even, "strict": strict, "keepdims": keepdims}
        params = {"summed": (), "across": axes, **choice}
        return apply(extreme_norm_p, (_floats(x),), params, constant)
    if ord < 0 and not all(x.shape[a] for a in axes):
        raise ValueError(f"vector norm of order {ord} of no elements is not defined")
    params = {"ord": ord, **keep}
    if strict:
        params["strict"] = True
    return apply(vector_norm_p, (x,), params, constant)


def _of_complex(
    x: Array,
    ord: float,
    axes: Axes,
    keepdims: bool,
    even: bool,
    strict: bool,
    constant: bool | None,
) -> Any:
    """Return norms of complex vectors as those of real ones.

    For the order 2 of twice as many numbers, so that there is no kink where one of them is 0.
    """
    if ord != 2:
        return _vector(absolute(x), ord, axes, keepdims, even, strict, constant)
    parts = np.stack((np.real(x), np.imag(x)), axis=-1)
    result = _vector(parts, ord, (*axes, x.ndim), keepdims, even, strict, constant)
    return owned(result[..., 0]) if keepdims else result


def vector_norm(
    x: ArrayLike,
    ord: float = 2,
    axis: int | tuple[int, ...] | None = None,
    keepdims: bool = False,
    *,
    constant: bool | None = None,
) -> Array:
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

    Returns
    -------
    Tensor
        The norms, of the other axes.

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
    x: ArrayLike,
    ord: Any = "fro",
    axis: tuple[int, int] = (-2, -1),
    keepdims: bool = False,
    *,
    constant: bool | None = None,
) -> Array:
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

    Returns
    -------
    Tensor
        One number for each matrix.

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
    x: Array, ord: Any, row: int, column: int, keepdims: bool, strict: bool, constant: bool | None
) -> Any:
    if ord in ("fro", None):
        return _vector(x, 2.0, (row, column), keepdims, True, strict, constant)
    empty = not x.shape[row] * x.shape[column]
    searched = {-1: (column,), -math.inf: (row,), -2: (row, column)}.get(ord, ())
    if not all(x.shape[i] for i in searched):
        raise ValueError(
            f"matrix norm of order {ord} of no elements: the least of nothing is not defined"
        )
    if empty:  # sums of nothing; they keep their place in the graph
        return flagged(np.sum(_floats(x), axis=(row, column), keepdims=keepdims), constant)
    if ord in (1, -1, math.inf, -math.inf):
        x = absolute(x) if x.dtype.kind == "c" else x
        summed, across = (row, column) if abs(ord) == 1 else (column, row)
        choice = {"least": ord < 0, "even": True, "strict": strict, "keepdims": keepdims}
        params = {"summed": (summed,), "across": (across,), **choice}
        return apply(extreme_norm_p, (_floats(x),), params, constant)
    matrices = np.moveaxis(_floats(x), (row, column), (-2, -1))
    if ord == "nuc":
        result = apply(nuclear_norm_p, (matrices,))
    else:
        result = apply(spectral_norm_p, (matrices,), {"least": ord < 0})
    if keepdims:
        shape = [1 if i in (row, column) else n for i, n in enumerate(x.shape)]
        result = owned(np.reshape(result, shape))
    return flagged(result, constant)


@implements(np.linalg.norm)
def norm(
    x: ArrayLike,
    ord: Any = None,
    axis: int | tuple[int, ...] | None = None,
    keepdims: bool = False,
    *,
    nan_to_num: bool = True,
    constant: bool | None = None,
) -> Array:
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


def _np_vector_norm(
    x: Array, /, *, axis: AxisLike = None, keepdims: bool = False, ord: Any = 2
) -> Any:
    return vector_norm(x, ord, axis, keepdims)


def _np_matrix_norm(x: Array, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    return matrix_norm(x, ord, keepdims=keepdims)


implements(np.linalg.vector_norm)(_np_vector_norm)
implements(np.linalg.matrix_norm)(_np_matrix_norm)
