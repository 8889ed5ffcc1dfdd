"""Views: reshape, transpose, broadcast and what is made of them; copies and casts.

Adding, removing and moving axes are reshapes and transposes, so that rules, batching and the
compiler know two primitives in place of ten.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.ops.declare.axes import shape_of
from tapegrad.ops.declare.ufunc import operand
from tapegrad.tape.array.application import apply, bind
from tapegrad.tape.array.mutation import reshape_in_place
from tapegrad.tape.array.paths import own_memory
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.checks import check_numeric
from tapegrad.tape.core.primitive import Primitive, functions, implements, primitives
from tapegrad.tape.core.types import Array, ArrayLike, AxisLike, DTypeLike, Params, ShapeLike

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_to",
    "expand_dims",
    "in_order",
    "matrix_transpose",
    "moveaxis",
    "ravel",
    "reshape",
    "squeeze",
    "swapaxes",
    "transpose",
]


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


def _batch_view(primitive: str) -> Any:
    def batch(args: Sequence[Array], batched: Sequence[bool], size: int, params: Params) -> Any:
        this = primitives[primitive]
        assert this.batch_params is not None
        inner = this.batch_params(params, len(args[0].shape) - 1, size)
        return bind(this, args[0], **inner)

    return batch


reshape_p: Primitive = Primitive(
    "reshape",
    lambda x, *, shape: np.reshape(x, shape),
    (lambda g, y, x, shape: np.reshape(g, x.shape),),
    jvp="linear",
    view="reshaped",
    family="structural",
    batch=_batch_view("reshape"),
    batch_params=lambda params, ndim, size: {"shape": (size, *params["shape"])},
    source=lambda a, p: f"np.reshape({a[0]}, {p['shape']})",
)

transpose_p: Primitive = Primitive(
    "transpose",
    lambda x, *, axes: np.transpose(x, axes),
    (lambda g, y, x, axes: np.transpose(g, _inverse(axes)),),
    jvp="linear",
    view=True,
    family="structural",
    batch=_batch_view("transpose"),
    batch_params=lambda params, ndim, size: {"axes": (0, *(a + 1 for a in params["axes"]))},
    source=lambda a, p: f"np.transpose({a[0]}, {p['axes']})",
)

broadcast_to_p: Primitive = Primitive(
    "broadcast_to",
    lambda x, *, shape: np.broadcast_to(x, shape),
    (lambda g, y, x, shape: g,),  # the sweep sums what was repeated
    jvp="linear",
    view="repeated",
    family="structural",
    batch=lambda args, batched, size, params: bind(
        broadcast_to_p,
        np.reshape(
            args[0],
            (
                size,
                *(1,) * (len(params["shape"]) - len(args[0].shape) + 1),
                *args[0].shape[1:],
            ),
        ),
        shape=(size, *params["shape"]),
    ),
    source=lambda a, p: f"np.broadcast_to({a[0]}, {p['shape']})",
)

copy_p: Primitive = Primitive(
    "copy",
    lambda x, *, order="K": np.array(x, copy=True, order=order),
    (lambda g, y, x, order="K": g,),
    jvp="linear",
    family="structural",
    kernel="x",
    batch=lambda args, batched, size, params: bind(copy_p, args[0]),
    source=lambda a, p: f"np.copy({', '.join([a[0], *map(repr, p.values())])})",
)

cast_p: Primitive = Primitive(
    "cast",
    lambda x, *, dtype: np.asarray(x).astype(dtype),
    (lambda g, y, x, dtype: g,),  # the sweep casts back
    jvp="linear",
    family="elementwise",
    takes_complex=True,
    kernel="x",
    batch=lambda args, batched, size, params: bind(cast_p, args[0], **params),
    source=lambda a, p: f"{a[0]}.astype({p['dtype'].name!r})",
)


def _full_shape(a: Array, newshape: ShapeLike) -> tuple[int, ...]:
    """Resolve a shape with one -1; NumPy raises the error if it does not fit."""
    old = shape_of(a)
    if isinstance(newshape, int | np.integer | Tensor):
        newshape = (newshape,)
    shape = tuple(operator.index(n) for n in newshape)
    if -1 in shape or int(np.prod(shape, dtype=np.int64)) != int(np.prod(old, dtype=np.int64)):
        return np.broadcast_to(np.int8(0), old).reshape(shape).shape
    return shape


def reshape(a: ArrayLike, newshape: ShapeLike, *, constant: bool | None = None) -> Tensor:
    """Give an array another shape; a view if NumPy can make one.

    Parameters
    ----------
    a : array_like
    newshape : int or sequence of int
        One entry may be -1 and is found from the size.
    constant : bool, optional
        See :class:`tapegrad.Tensor`.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If the sizes differ.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.reshape(tg.arange(4.0), (2, -1))
    Tensor([[0., 1.],
            [2., 3.]])
    """
    return apply(reshape_p, (a,), {"shape": _full_shape(a, newshape)}, constant)  # type: ignore[no-any-return]


@implements(np.reshape)
def _np_reshape(
    a: ArrayLike,
    shape: ShapeLike = None,
    order: str = "C",
    *,
    newshape: ShapeLike = None,
    copy: bool | None = None,
    constant: bool | None = None,
) -> Tensor:
    shape = newshape if shape is None else shape
    if order == "K":
        raise ValueError("order 'K' is not permitted for reshaping")
    if _is_column_major(a, order):
        back = reshape(transpose(a), _full_shape(a, shape)[::-1])
        out = transpose(back, constant=constant)
    else:
        out = reshape(a, shape, constant=constant)
    return functions[np.copy](out) if copy else out  # type: ignore[no-any-return]


@implements(np.ravel)
def ravel(a: ArrayLike, order: str = "C", *, constant: bool | None = None) -> Tensor:
    """Return the elements along one axis, in C order: a view if they lie in that order.

    Parameters
    ----------
    a : array_like
    order : str
        ``"C"``: the last axis runs first; ``"F"``: the first; ``"A"``, ``"K"``: as the data lie.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        A view, or a copy.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.ravel(tg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([1., 2., 3., 4.])
    """
    if _is_column_major(a, order):
        a = transpose(a)
    out = reshape(a, (int(np.prod(shape_of(a), dtype=np.int64)),), constant=constant)
    if out.base is not None and not in_order(a):
        return apply(copy_p, (out,), {}, constant)  # type: ignore[no-any-return]
    return out


def in_order(a: Array) -> bool:
    """Whether elements lie one after the other; those of a batch as they would in an example.

    Parameters
    ----------
    a : array_like

    Returns
    -------
    bool

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.in_order(tg.zeros((2, 3))), tg.in_order(tg.zeros((2, 3)).T)
    (True, False)
    """
    array, hidden, below = data_below(a), 0, a
    while isinstance(below, Tensor):
        hidden += below.live_trace.appearance.hidden_axes
        below = below.value
    if array.flags.c_contiguous or not array.size:
        return True
    if not hidden or _lies_as_passed(a):
        return bool(array[(0,) * hidden].flags.c_contiguous)
    sizes = list(zip(array.shape, array.strides))
    others, unit = {s: n for n, s in sizes[:hidden] if n != 1}, array.itemsize
    for n, stride in reversed(sizes[hidden:]):
        while unit in others:  # here lies a batch axis: its examples are interleaved
            unit *= others.pop(unit)
        if n != 1 and stride != unit:
            return False
        unit *= n
    return True


def _lies_as_passed(a: Array) -> bool:
    """Whether a tensor, or what it is a view of, lies in memory as the user passed it."""
    if not isinstance(a, Tensor):
        return False
    root = a if a.base is None else a.base
    return bool(root.live_trace.appearance.lies_as_passed(root))


def _is_column_major(a: Array, order: str) -> bool:
    """Whether elements are read column by column: NumPy's orders A and K follow the memory."""
    if order in ("A", "K"):
        value = data_below(a)
        return bool(value.flags.f_contiguous and not value.flags.c_contiguous)
    if order not in ("C", "F"):
        raise ValueError(f"order must be one of 'C', 'F', 'A', or 'K' (got {order!r})")
    return order == "F"


def data_below(a: Array) -> Any:
    """Return the array at the bottom of a tensor, for what depends on its memory alone."""
    while isinstance(a, Tensor):
        a = a.value
    return np.empty(shape_of(a)) if isinstance(a, list | tuple) else np.asarray(a)


@implements("flatten")
def _flatten(a: ArrayLike, order: str = "C", *, constant: bool | None = None) -> Tensor:
    if _is_column_major(a, order):
        a = transpose(a)
    out = ravel(apply(copy_p, (a,)), constant=constant)
    own_memory(out)  # the copy is reached through this tensor alone
    return out


@implements(np.copy)
def _copy(a: ArrayLike, order: str = "K", subok: bool = False) -> Tensor:
    _is_column_major(a, order)  # refuses a wrong order
    return apply(copy_p, (a,), {} if order == "K" else {"order": order})  # type: ignore[no-any-return]


@implements("astype")
def _astype(a: ArrayLike, dtype: DTypeLike, casting: str = "unsafe", copy: bool = True) -> Tensor:
    dtype = np.dtype(dtype)
    if not np.can_cast(a.dtype, dtype, casting):  # type: ignore[arg-type]
        raise TypeError(
            f"Cannot cast array data from {a.dtype!r} to {dtype!r} "
            f"according to the rule {casting!r}"
        )
    return apply(copy_p, (a,)) if copy and a.dtype == dtype else _cast(a, dtype)


def _np_astype(x: Array, dtype: DTypeLike, /, *, copy: bool = True, device: Any = None) -> Tensor:
    """Convert to a dtype; differentiable, other than the documented method."""
    dtype = np.dtype(dtype)
    check_numeric(dtype)
    if device not in (None, "cpu"):
        raise ValueError(f'Device not understood. Only "cpu" is allowed, but received: {device}')
    if x.dtype == dtype:
        return functions[np.copy](x) if copy else x  # type: ignore[no-any-return]
    return _cast(x, dtype)


if hasattr(np, "astype"):  # NumPy 2.1
    implements(np.astype)(_np_astype)


@implements("cast")
def _cast(a: ArrayLike, dtype: DTypeLike) -> Tensor:
    return a if a.dtype == dtype else apply(cast_p, (a,), {"dtype": np.dtype(dtype)})


def _permute(a: Array, axes: tuple[int, ...], constant: bool | None) -> Tensor:
    return apply(transpose_p, (a,), {"axes": axes}, constant)  # type: ignore[no-any-return]


def _order_of(function: Any, a: Array, *args: Any) -> tuple[int, ...]:
    """Find the permutation that a NumPy function does, by doing it to the axes' numbers.

    NumPy checks the arguments, and raises its own errors.
    """
    ndim = len(shape_of(a))
    probe = np.empty((1,) * ndim, np.int8)
    probe = np.lib.stride_tricks.as_strided(probe, probe.shape, tuple(range(ndim)))
    return function(probe, *args).strides  # type: ignore[no-any-return]


def transpose(a: ArrayLike, *axes: AxisLike, constant: bool | None = None) -> Tensor:
    """Permute the axes, as a view.

    Parameters
    ----------
    a : array_like
    *axes : int, or one sequence of int
        Where each axis comes from; without them the order is reversed.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        A view.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.transpose(tg.ones((2, 3, 4)), 1, 0, 2).shape
    (3, 2, 4)
    """
    order = axes[0] if len(axes) == 1 else (axes or None)
    if isinstance(order, int):
        order = (order,)
    return _permute(a, _order_of(np.transpose, a, order), constant)


@implements(np.transpose, getattr(np, "permute_dims", np.transpose))
def _np_transpose(a: ArrayLike, axes: AxisLike = None, *, constant: bool | None = None) -> Tensor:
    return transpose(a, axes, constant=constant)


@implements(np.swapaxes)
def swapaxes(a: ArrayLike, axis1: int, axis2: int, *, constant: bool | None = None) -> Tensor:
    """Swap two axes, as a view.

    Parameters
    ----------
    a : array_like
    axis1, axis2 : int
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        A view.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.swapaxes(tg.zeros((1, 2, 3)), 0, 2).shape
    (3, 2, 1)
    """
    return _permute(a, _order_of(np.swapaxes, a, axis1, axis2), constant)


@implements(np.matrix_transpose, np.linalg.matrix_transpose)
def matrix_transpose(x: ArrayLike, /) -> Tensor:
    """Swap the last two axes, as a view.

    Parameters
    ----------
    x : array_like, shape (..., m, n)

    Returns
    -------
    Tensor, shape (..., n, m)

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.matrix_transpose(tg.ones((4, 2, 3))).shape
    (4, 3, 2)
    """
    if len(shape_of(x)) < 2:
        raise ValueError(
            f"Input array must be at least 2-dimensional, but it is {len(shape_of(x))}"
        )
    return swapaxes(x, -1, -2)


@implements(np.moveaxis)
def moveaxis(
    a: ArrayLike, source: Any, destination: Any, *, constant: bool | None = None
) -> Tensor:
    """Move axes to new places, as a view; the others keep their order.

    Parameters
    ----------
    a : array_like
    source, destination : int or sequence of int
        Which axes, and where to.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        A view.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.moveaxis(tg.zeros((1, 2, 3)), 0, -1).shape
    (2, 3, 1)
    """
    return _permute(a, _order_of(np.moveaxis, a, source, destination), constant)


@implements(np.rollaxis)
def _rollaxis(a: ArrayLike, axis: int, start: int = 0) -> Tensor:
    return _permute(a, _order_of(np.rollaxis, a, axis, start), None)


def _reshaped_like(function: Any, a: Array, *args: Any) -> tuple[int, ...]:
    """Find the shape that a NumPy function gives; NumPy checks the arguments."""
    return function(np.broadcast_to(np.int8(0), shape_of(a)), *args).shape  # type: ignore[no-any-return]


@implements(np.squeeze)
def squeeze(a: ArrayLike, axis: AxisLike = None, *, constant: bool | None = None) -> Tensor:
    """Remove axes of size 1, as a view; ValueError if a named axis is longer.

    Parameters
    ----------
    a : array_like
    axis : int or tuple of int, optional
        By default all axes of size 1.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        A view.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.squeeze(tg.zeros((1, 2, 1))).shape
    (2,)
    """
    return reshape(a, _reshaped_like(np.squeeze, a, axis), constant=constant)


@implements(np.expand_dims)
def expand_dims(a: ArrayLike, axis: AxisLike, *, constant: bool | None = None) -> Tensor:
    """Insert an axis of size 1 at `axis`, as a view.

    Parameters
    ----------
    a : array_like
    axis : int or tuple of int
        Where the new axes are in the result.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        A view.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.expand_dims(tg.tensor([1.0, 2.0]), 0).shape
    (1, 2)
    """
    return reshape(a, _reshaped_like(np.expand_dims, a, axis), constant=constant)


def _atleast(function: Any, arrays: tuple[Any, ...], constant: bool | None) -> Any:
    done = []
    for a in arrays:
        shape = _reshaped_like(function, a)
        if isinstance(a, Tensor) and shape == a.shape and constant is None:
            done.append(a)
        else:
            done.append(reshape(a, shape, constant=constant))
    return done[0] if len(done) == 1 else done


@implements(np.atleast_1d)
def atleast_1d(*tensors: ArrayLike, constant: bool | None = None) -> Array:
    """Return the arrays with at least one axis: one tensor, or a list of several.

    Parameters
    ----------
    *tensors : array_like
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor, or list of Tensor
        Views.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.atleast_1d(tg.tensor(1.0)).shape
    (1,)
    """
    return _atleast(np.atleast_1d, tensors, constant)


@implements(np.atleast_2d)
def atleast_2d(*tensors: ArrayLike, constant: bool | None = None) -> Array:
    """Return the arrays with at least two axes: one tensor, or a list of several.

    Parameters
    ----------
    *tensors : array_like
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor, or list of Tensor
        Views; vectors become rows.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.atleast_2d(tg.tensor([1.0, 2.0])).shape
    (1, 2)
    """
    return _atleast(np.atleast_2d, tensors, constant)


@implements(np.atleast_3d)
def atleast_3d(*tensors: ArrayLike, constant: bool | None = None) -> Array:
    """Return the arrays with at least three axes: one tensor, or a list of several.

    Parameters
    ----------
    *tensors : array_like
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor, or list of Tensor
        Views; a vector of n becomes (1, n, 1), a matrix (m, n, 1).

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.atleast_3d(tg.tensor([1.0, 2.0])).shape
    (1, 2, 1)
    """
    return _atleast(np.atleast_3d, tensors, constant)


def broadcast_to(a: ArrayLike, shape: ShapeLike, *, constant: bool | None = None) -> Tensor:
    """Repeat an array to `shape` without copying; the gradient sums what was repeated.

    Parameters
    ----------
    a : array_like
    shape : int or tuple of int
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        A view.

    Raises
    ------
    ValueError
        If the array cannot be broadcast to `shape`.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.broadcast_to(tg.tensor([1.0, 2.0]), (2, 2))
    Tensor([[1., 2.],
            [1., 2.]])
    """
    shape = (shape,) if isinstance(shape, int | np.integer) else shape
    return apply(broadcast_to_p, (a,), {"shape": tuple(int(n) for n in shape)}, constant)  # type: ignore[no-any-return]


@implements(np.broadcast_to)
def _np_broadcast_to(array: ArrayLike, shape: ShapeLike, subok: bool = False) -> Tensor:
    return broadcast_to(array, shape)


@implements(np.broadcast_arrays)
def _broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Array, ...]:
    shape = np.broadcast_shapes(*(shape_of(a) for a in args))
    as_they_are = all(shape_of(a) == shape for a in args)

    def broadcast(a: ArrayLike) -> Array:
        a = operand(a)
        if isinstance(a, Tensor):
            return a if as_they_are else broadcast_to(a, shape)
        is_real = np.asarray(a).dtype.kind in "fiub"  # texts and None stay what they are
        return broadcast_to(a, shape) if is_real else np.broadcast_to(a, shape)

    return tuple(map(broadcast, args))


class _CopyNeeded(AttributeError, ValueError):
    """For ``x.shape = ...``: NumPy has the first of its bases here, the documentation the second."""


@implements("set_shape")
def _set_shape(tensor: Tensor, shape: ShapeLike) -> None:
    """``tensor.shape = shape``: the same cell, in the new shape, views and gradients intact."""
    new_shape = _full_shape(tensor, shape)
    value = tensor.value
    # A batch may be laid out in another way than its examples would be.
    hidden = tensor.live_trace.appearance.hidden_axes
    known = type(value) is np.ndarray and value.size and not hidden
    if known and not np.shares_memory(value, value.reshape(new_shape)):
        raise _CopyNeeded("the shape of this tensor can only be changed by copying its data")
    reshape_in_place(tensor, new_shape)
