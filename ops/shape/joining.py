"""Joining arrays: two primitives, ``concatenate`` and ``stack``, and what is made of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.ops.declare.axes import one_axis, shape_of
from tapegrad.ops.declare.ufunc import as_tensor, delivered, operand
from tapegrad.ops.declare.variadic import filled, in_front
from tapegrad.tape.array.application import apply, bind
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.dependence import Applied, Labels, moved, moving
from tapegrad.tape.core.primitive import Primitive, functions, implements
from tapegrad.tape.core.types import Array, ArrayLike, AxisLike, DTypeLike, Params

__all__ = ["append", "block", "column_stack", "concatenate", "dstack", "hstack", "stack", "vstack"]


def cut(x: Array, axis: int, start: int | None, stop: int | None, step: int | None = None) -> Any:
    """Return a slice along one axis."""
    return x[(slice(None),) * axis + (slice(start, stop, step),)]


def _concatenate_vjp(g: Array, y: Array, *xs: Array, index: int, axis: int) -> Any:
    start = sum(x.shape[axis] for x in xs[:index])
    return cut(g, axis, start, start + xs[index].shape[axis])


def _listed(name: str) -> Any:
    return lambda args, params: f"np.{name}([{', '.join(args)}], axis={params['axis']})"


def _side_by_side(shapes: Any, params: Params) -> Any:
    """Return where joined arrays go."""
    axis, start, windows = params["axis"], 0, []
    for shape in shapes:
        stop = start + shape[axis]
        ranges = [(0, n, True) for n in shape]
        ranges[axis] = (start, stop, True)
        windows.append(tuple(ranges))
        start = stop
    return tuple(windows)


def _on_top_of_each_other(shapes: Any, params: Params) -> Any:
    """Return where stacked arrays go: the new axis is none of theirs."""
    axis, windows = params["axis"], []
    for i, shape in enumerate(shapes):
        ranges = [(0, n, True) for n in shape]
        windows.append((*ranges[:axis], (i, i + 1, False), *ranges[axis:]))
    return tuple(windows)


concatenate_p: Primitive = Primitive(
    "concatenate",
    lambda *xs, axis: np.concatenate(xs, axis),
    vjp=_concatenate_vjp,
    saves=("none", "shape"),
    jvp=lambda tangents, y, *xs, axis: bind(concatenate_p, *filled(tangents, xs), axis=axis),
    batch=lambda args, batched, size, params: bind(
        concatenate_p, *in_front(args, batched, size), axis=params["axis"] + 1
    ),
    family="structural",
    windows=_side_by_side,
    source=_listed("concatenate"),
)


@moving
def _stack_dependence(applied: Applied, index: int) -> Labels:
    """What is moved; the shapes of constants are not kept, but all are alike."""
    return moved(applied._replace(args=[applied.args[index]] * len(applied.args)), index)


stack_p: Primitive = Primitive(
    "stack",
    lambda *xs, axis: np.stack(xs, axis),
    vjp=lambda g, y, *xs, index, axis: g[(slice(None),) * axis + (index,)],
    saves=("none", "none"),
    dependence=_stack_dependence,
    jvp=lambda tangents, y, *xs, axis: bind(stack_p, *filled(tangents, xs), axis=axis),
    batch=lambda args, batched, size, params: bind(
        stack_p, *in_front(args, batched, size), axis=params["axis"] + 1
    ),
    family="structural",
    windows=_on_top_of_each_other,
    source=_listed("stack"),
)


def _operands(tensors: Array) -> tuple[Any, ...]:
    if isinstance(tensors, Tensor):
        return tuple(tensors)
    arrays = (operand(t) for t in tensors)
    return tuple(a if isinstance(a, Tensor) else np.asarray(a) for a in arrays)


def _cast_all(arrays: tuple[Any, ...], dtype: DTypeLike, casting: str) -> tuple[Any, ...]:
    return tuple(
        functions["astype"](a, dtype, casting) if isinstance(a, Tensor)
        else a.astype(dtype, casting=casting)
        for a in arrays
    )  # fmt: skip


@implements(np.concatenate)
def concatenate(
    tensors: ArrayLike, axis: AxisLike = 0, out: Any = None, dtype: DTypeLike = None, *,
    casting: str = "same_kind", constant: bool | None = None,
) -> Array:  # fmt: skip
    """Join arrays along an axis that they have.

    Parameters
    ----------
    tensors : sequence of array_like
        Arrays that differ in size along `axis` only.
    axis : int or None
        ``None`` joins the flattened arrays.
    out : Tensor or ndarray, optional
        Where the result is written to; not together with `dtype`.
    dtype : dtype_like, optional
        The dtype of the result.
    casting : str
        NumPy's rule for the cast to `dtype`.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If the other sizes differ, or for no arrays.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.concatenate((tg.tensor([1.0]), [2.0, 3.0]))
    Tensor([1., 2., 3.])
    """
    if out is not None and dtype is not None:
        raise TypeError("concatenate() only takes `out` or `dtype` as an argument, but both given")
    arrays = _operands(tensors)
    if dtype is not None:
        arrays = _cast_all(arrays, np.dtype(dtype), casting)
    if axis is None:
        arrays, axis = tuple(np.ravel(a) for a in arrays), 0
    ndim = len(shape_of(arrays[0])) if arrays else 0
    axis = one_axis(axis, ndim) if ndim else 0  # NumPy refuses arrays without axes
    result = apply(concatenate_p, arrays, {"axis": axis}, constant)
    return delivered(result, out, "concatenate", casting)


def stack(
    tensors: ArrayLike, axis: int = 0, out: Any = None, *, dtype: DTypeLike = None,
    casting: str = "same_kind", constant: bool | None = None,
) -> Array:  # fmt: skip
    """Join arrays of one shape along a new axis.

    Parameters
    ----------
    tensors : sequence of array_like
        Arrays of one shape.
    axis : int
        The place of the new axis in the result.
    out : Tensor or ndarray, optional
        Where the result is written to; not together with `dtype`.
    dtype : dtype_like, optional
        The dtype of the result.
    casting : str
        NumPy's rule for the cast to `dtype`.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If the shapes differ, or for no arrays.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.stack((tg.tensor([1.0, 2.0]), [3.0, 4.0]), axis=-1)
    Tensor([[1., 3.],
            [2., 4.]])
    """
    if out is not None and dtype is not None:
        raise TypeError("concatenate() only takes `out` or `dtype` as an argument, but both given")
    arrays = _operands(tensors)
    if not arrays:
        raise ValueError("need at least one array to stack")
    if dtype is not None:
        arrays = _cast_all(arrays, np.dtype(dtype), casting)
    axis = one_axis(axis, len(shape_of(arrays[0])) + 1)
    result = apply(stack_p, arrays, {"axis": axis}, constant)
    return delivered(result, out, "stack", casting)


@implements(np.stack)
def _np_stack(arrays: ArrayLike, axis: int = 0, out: Any = None, **options: Any) -> Array:
    return stack(arrays, axis, out, **options)


@implements(np.vstack, getattr(np, "row_stack", np.vstack))
def vstack(tup: Any, *, dtype: DTypeLike = None, casting: str = "same_kind") -> Array:
    """Join arrays along the first axis; vectors are rows.

    Parameters
    ----------
    tup : sequence of array_like
    dtype : dtype_like, optional
        The dtype of the result.
    casting : str
        NumPy's rule for the cast to it.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.vstack(([1.0, 2.0], [3.0, 4.0])).shape
    (2, 2)
    """
    rows = [functions[np.atleast_2d](a) for a in _operands(tup)]
    return concatenate(rows, 0, dtype=dtype, casting=casting)


@implements(np.hstack)
def hstack(tup: Any, *, dtype: DTypeLike = None, casting: str = "same_kind") -> Array:
    """Join arrays along the second axis, vectors along the first.

    Parameters
    ----------
    tup : sequence of array_like
    dtype : dtype_like, optional
        The dtype of the result.
    casting : str
        NumPy's rule for the cast to it.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.hstack(([1.0, 2.0], [3.0]))
    Tensor([1., 2., 3.])
    """
    arrays = [functions[np.atleast_1d](a) for a in _operands(tup)]
    axis = 0 if arrays and arrays[0].ndim == 1 else 1
    return concatenate(arrays, axis, dtype=dtype, casting=casting)


@implements(np.dstack)
def dstack(tup: Any) -> Array:
    """Join arrays along the third axis.

    Parameters
    ----------
    tup : sequence of array_like

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.dstack(([1.0, 2.0], [3.0, 4.0])).shape
    (1, 2, 2)
    """
    return concatenate([functions[np.atleast_3d](a) for a in _operands(tup)], 2)


@implements(np.column_stack)
def column_stack(tup: Any) -> Array:
    """Join vectors as columns of a matrix.

    Parameters
    ----------
    tup : sequence of array_like
        Vectors, or matrices with as many rows.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.column_stack(([1.0, 2.0], [3.0, 4.0]))
    Tensor([[1., 3.],
            [2., 4.]])
    """
    columns: list[Any] = [as_tensor(a) for a in _operands(tup)]
    columns = [np.reshape(a, (-1, 1)) if a.ndim < 2 else a for a in columns]
    return concatenate(columns, 1)


@implements(np.append)
def append(arr: ArrayLike, values: ArrayLike, axis: int | None = None) -> Array:
    """Join `values` to the end of an array; without an axis, both are flattened.

    Parameters
    ----------
    arr, values : array_like
    axis : int, optional
        Along which axis; by default both are flattened.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.append(tg.tensor([1.0]), [2.0, 3.0])
    Tensor([1., 2., 3.])
    """
    return concatenate((arr, values), axis)


@implements(np.block)
def block(arrays: ArrayLike) -> Array:
    """Assemble an array from nested lists of blocks: the innermost along the last axis.

    Parameters
    ----------
    arrays : nested list of array_like
        Lists of equal depth; blocks with fewer axes get axes of size 1 in front.

    Returns
    -------
    Tensor

    Raises
    ------
    TypeError
        For tuples.
    ValueError
        For empty lists and lists of unequal depth, and for sizes that do not fit.

    Examples
    --------
    >>> import tapegrad as tg
    >>> a = tg.tensor([[1.0]])
    >>> tg.block([[a, 2 * a], [3 * a, 4 * a]])
    Tensor([[1., 2.],
            [3., 4.]])
    """
    # NumPy checks the nest of lists and the shapes, on arrays of one byte that is repeated.
    np.block(_nest(arrays, lambda a: np.broadcast_to(np.int8(0), np.shape(a))))
    depth, inner = 0, arrays
    while isinstance(inner, list):
        depth, inner = depth + 1, inner[0]
    ranks: list[int] = []
    _nest(arrays, lambda a: ranks.append(np.ndim(a)))
    ndim = max(depth, *ranks)

    def join(part: Any, level: int) -> Any:
        if level == depth:
            a = as_tensor(part)
            return np.reshape(a, (*(1,) * (ndim - a.ndim), *a.shape))
        return concatenate([join(p, level + 1) for p in part], level - depth)

    return join(arrays, 0) if depth else np.copy(join(arrays, 0))


def _nest(arrays: Array, function: Any) -> Any:
    """Apply a function to the blocks in nested lists."""
    if isinstance(arrays, list):
        return [_nest(a, function) for a in arrays]
    return arrays if isinstance(arrays, tuple) else function(arrays)
