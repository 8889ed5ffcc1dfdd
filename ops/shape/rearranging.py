"""Splitting, repeating, rolling, flipping and padding: made of views, slices and gathers."""

from __future__ import annotations

import operator
from itertools import pairwise
from typing import Any

import numpy as np

from tapegrad.ops.declare.axes import one_axis, shape_of
from tapegrad.ops.declare.ufunc import as_tensor, data_of, flagged, owned
from tapegrad.ops.shape.joining import concatenate, cut
from tapegrad.tape.core.primitive import functions, implements
from tapegrad.tape.core.types import Array, ArrayLike, AxisLike

__all__ = [
    "array_split", "dsplit", "flip", "fliplr", "flipud", "hsplit", "meshgrid", "pad", "repeat",
    "resize", "roll", "rot90", "split", "tile", "unstack", "vsplit",
]  # fmt: skip

# Splitting ---------------------------------------------------------------------------------------


@implements(np.array_split)
def array_split(ary: ArrayLike, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Cut an array into pieces along an axis; the pieces are views.

    Parameters
    ----------
    ary : array_like
    indices_or_sections : int or sequence of int
        How many pieces, of which the first are longer by one if need be; or where to cut.
    axis : int

    Returns
    -------
    list of Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> [len(piece) for piece in tg.array_split(tg.arange(5.0), 2)]
    [3, 2]
    """
    ary = as_tensor(ary)
    axis = one_axis(axis, ary.ndim)
    size = ary.shape[axis]
    if np.ndim(indices_or_sections) == 0:
        count = operator.index(indices_or_sections)
        if count <= 0:
            raise ValueError("number sections must be larger than 0.")
        each, extra = divmod(size, count)
        cuts = [i * each + (i if i < extra else extra) for i in range(count + 1)]
        return [cut(ary, axis, a, b) for a, b in pairwise(cuts)]
    cuts = [0, *(int(i) for i in indices_or_sections)]
    return [cut(ary, axis, a, b) for a, b in zip(cuts, [*cuts[1:], size])]


@implements(np.split)
def split(ary: ArrayLike, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Cut an array into equal pieces, or at given indices; the pieces are views.

    Parameters
    ----------
    ary : array_like
    indices_or_sections : int or sequence of int
        How many pieces, or where to cut.
    axis : int

    Returns
    -------
    list of Tensor

    Raises
    ------
    ValueError
        If the pieces would not be equal.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.split(tg.arange(4.0), 2)[1]
    Tensor([2., 3.])
    """
    if np.ndim(indices_or_sections) == 0:
        indices_or_sections = operator.index(indices_or_sections)
        size = shape_of(ary)[one_axis(axis, len(shape_of(ary)))]
        if indices_or_sections > 0 and size % indices_or_sections:
            raise ValueError("array split does not result in an equal division")
    return array_split(ary, indices_or_sections, axis)


_SPLITTER = """Cut an array into pieces along axis {axis}; see :func:`split`.

    Parameters
    ----------
    ary : array_like
    indices_or_sections : int or sequence of int
        How many pieces, or where to cut.

    Returns
    -------
    list of Tensor
        Views.

    Examples
    --------
    >>> import tapegrad as tg
    >>> [piece.size for piece in tg.{name}(tg.ones((2, 2, 2)), 2)]
    [4, 4]
    """


def _splitter(function: Any, name: str, axis: int, least: int) -> Any:
    def piecewise(ary: Array, indices_or_sections: Any) -> list[Any]:
        ary = as_tensor(ary)
        if ary.ndim < least:
            raise ValueError(f"{name} only works on arrays of {least} or more dimensions")
        return split(ary, indices_or_sections, 0 if ary.ndim == 1 else axis)

    piecewise.__name__ = piecewise.__qualname__ = name
    piecewise.__doc__ = _SPLITTER.format(axis=axis, name=name)
    return implements(function)(piecewise)


vsplit = _splitter(np.vsplit, "vsplit", 0, 2)
hsplit = _splitter(np.hsplit, "hsplit", 1, 1)
dsplit = _splitter(np.dsplit, "dsplit", 2, 3)


def unstack(x: ArrayLike, /, *, axis: int = 0) -> tuple[Any, ...]:
    """Return the slices along an axis, which they lose.

    Parameters
    ----------
    x : array_like, at least one axis
    axis : int

    Returns
    -------
    tuple of Tensor
        Views.

    Examples
    --------
    >>> import tapegrad as tg
    >>> [float(t) for t in tg.unstack(tg.arange(2.0))]
    [0.0, 1.0]
    """
    x = as_tensor(x)
    if not x.ndim:
        raise ValueError("Input array must be at least 1-d.")
    return tuple(np.moveaxis(x, axis, 0))


if hasattr(np, "unstack"):  # NumPy 2.1
    implements(np.unstack)(unstack)

# Repeating ---------------------------------------------------------------------------------------


@implements(np.repeat)
def repeat(
    a: ArrayLike, repeats: Any, axis: int | None = None, *, constant: bool | None = None
) -> Array:
    """Repeat each element.

    Parameters
    ----------
    a : array_like
        Values.
    repeats : int or sequence of int
        How often; one number, or one for each entry along the axis.
    axis : int, optional
        By default the array is flattened.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.repeat(tg.tensor([1.0, 2.0]), [1, 2])
    Tensor([1., 2., 2.])
    """
    a = original = as_tensor(a)
    if axis is None or not a.ndim:
        if axis is not None:
            one_axis(axis, 1)
        a, axis = np.reshape(a, -1), 0
    axis = one_axis(axis, a.ndim)
    counts = np.asarray(data_of(repeats, "repeat"))
    if counts.size == 1 and counts.dtype.kind in "iu" and counts.ndim < 2:
        n = int(counts.reshape(()))
        if n < 0:
            raise ValueError("repeats may not contain negative values.")
        shape = a.shape
        wide = np.broadcast_to(
            np.expand_dims(a, axis + 1), (*shape[: axis + 1], n, *shape[axis + 1 :])
        )
        result = np.reshape(wide, (*shape[:axis], shape[axis] * n, *shape[axis + 1 :]))
    else:
        index = np.repeat(np.arange(a.shape[axis]), counts)
        result = a[(slice(None),) * axis + (index,)]
    return flagged(owned(result, original), constant)


@implements(np.tile)
def tile(A: Any, reps: Any) -> Array:
    """Repeat a whole array along its axes.

    Parameters
    ----------
    A : array_like
    reps : int or sequence of int
        How often along each axis.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.tile(tg.tensor([1.0, 2.0]), 2)
    Tensor([1., 2., 1., 2.])
    """
    a = as_tensor(A)
    counts = tuple(int(n) for n in (reps if isinstance(reps, list | tuple) else np.ravel(reps)))
    ndim = max(a.ndim, len(counts))
    counts = (1,) * (ndim - len(counts)) + counts
    shape = (1,) * (ndim - a.ndim) + a.shape
    thin = np.reshape(a, [n for m in shape for n in (1, m)])
    wide = np.broadcast_to(thin, [n for c, m in zip(counts, shape) for n in (c, m)])
    result = np.reshape(wide, [c * m for c, m in zip(counts, shape)])
    return owned(result, a)


@implements(np.resize)
def resize(a: ArrayLike, new_shape: Any) -> Array:
    """Fill a shape with the flattened elements, as often repeated as needed.

    Parameters
    ----------
    a : array_like
    new_shape : int or tuple of int

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.resize(tg.tensor([1.0, 2.0]), (2, 2))
    Tensor([[1., 2.],
            [1., 2.]])
    """
    a = as_tensor(a)
    shape = (new_shape,) if isinstance(new_shape, int | np.integer) else tuple(new_shape)
    if any(n < 0 for n in shape):
        raise ValueError("all elements of `new_shape` must be non-negative")
    count = int(np.prod(shape, dtype=np.int64))
    if not a.size or not count:
        return as_tensor(np.zeros(shape, a.dtype))
    return np.reshape(a, -1)[np.reshape(np.arange(count) % a.size, shape)]


# Rearranging -------------------------------------------------------------------------------------


@implements(np.roll)
def roll(a: ArrayLike, shift: Any, axis: AxisLike = None, *, constant: bool | None = None) -> Array:
    """Shift elements along axes; what leaves at one end comes back at the other.

    Parameters
    ----------
    a : array_like
        Values.
    shift : int or tuple of int
        By how much.
    axis : int or tuple of int, optional
        By default the flattened array is shifted.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        Of the shape of `a`.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.roll(tg.arange(4.0), 1)
    Tensor([3., 0., 1., 2.])
    """
    a = as_tensor(a)
    if axis is None:
        return flagged(owned(np.reshape(roll(np.ravel(a), shift, 0), a.shape), a), constant)
    shifts, axes = np.broadcast_arrays(shift, axis)
    if shifts.ndim > 1:
        raise ValueError("'shift' and 'axis' should be scalars or 1D sequences")
    by_axis = dict.fromkeys(range(a.ndim), 0)
    for s, i in zip(shifts.ravel().tolist(), axes.ravel().tolist()):
        by_axis[one_axis(i, a.ndim)] += s
    result = a
    for i, s in by_axis.items():
        s = s % a.shape[i] if a.shape[i] else 0
        if s:
            ends = (cut(result, i, -s, None), cut(result, i, None, -s))
            result = concatenate(ends, i)
    return flagged(np.copy(a) if result is a else result, constant)


@implements(np.lib.stride_tricks.sliding_window_view)
def _sliding_window_view(
    x: ArrayLike, window_shape: Any, axis: AxisLike = None, *, subok: bool = False,
    writeable: bool = False,
) -> Array:  # fmt: skip
    """Return all windows of a shape, behind the axes of their places; other than NumPy's, a copy."""
    x = original = as_tensor(x)
    window = tuple(window_shape) if np.iterable(window_shape) else (window_shape,)
    axes = tuple(range(x.ndim)) if axis is None else tuple(np.atleast_1d(axis).tolist())
    if len(window) != len(axes):
        raise ValueError(
            "Must provide matching length window_shape and axis; "
            f"got {len(window)} window_shape elements and {len(axes)} axes elements."
        )
    if any(n < 0 for n in window):
        raise ValueError("`window_shape` cannot contain negative values")
    for n, i in zip(window, [one_axis(i, x.ndim) for i in axes]):
        if n > x.shape[i]:
            raise ValueError("window shape cannot be larger than input array shape")
        index = np.arange(x.shape[i] - n + 1)[:, None] + np.arange(n)
        x = np.moveaxis(x[(slice(None),) * i + (index,)], i + 1, -1)
    return owned(x, original)


@implements(np.flip)
def flip(m: ArrayLike, axis: AxisLike = None) -> Array:
    """Reverse the order along axes (by default all); a view.

    Parameters
    ----------
    m : array_like
    axis : int or tuple of int, optional
        By default all.

    Returns
    -------
    Tensor
        A view.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.flip(tg.arange(3.0))
    Tensor([2., 1., 0.])
    """
    m = as_tensor(m)
    axes = range(m.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    flipped = {one_axis(i, m.ndim) for i in axes}
    return m[tuple(slice(None, None, -1 if i in flipped else None) for i in range(m.ndim))]


@implements(np.fliplr)
def fliplr(m: ArrayLike) -> Array:
    """Reverse the order along the second axis; a view.

    Parameters
    ----------
    m : array_like, at least two axes

    Returns
    -------
    Tensor
        A view.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.fliplr(tg.tensor([[1.0, 2.0]]))
    Tensor([[2., 1.]])
    """
    if len(shape_of(m)) < 2:
        raise ValueError("Input must be >= 2-d.")
    return flip(m, 1)


@implements(np.flipud)
def flipud(m: ArrayLike) -> Array:
    """Reverse the order along the first axis; a view.

    Parameters
    ----------
    m : array_like, at least one axis

    Returns
    -------
    Tensor
        A view.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.flipud(tg.tensor([1.0, 2.0]))
    Tensor([2., 1.])
    """
    if len(shape_of(m)) < 1:
        raise ValueError("Input must be >= 1-d.")
    return flip(m, 0)


@implements(np.rot90)
def rot90(m: ArrayLike, k: int = 1, axes: AxisLike = (0, 1)) -> Array:
    """Rotate by quarter turns in the plane of two axes; a view.

    Parameters
    ----------
    m : array_like, at least two axes
    k : int
        How many quarter turns, from the first axis to the second.
    axes : tuple of two int

    Returns
    -------
    Tensor
        A view.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.rot90(tg.tensor([[1.0, 2.0]]))
    Tensor([[2.],
            [1.]])
    """
    m = as_tensor(m)
    if len(axes) != 2:
        raise ValueError("len(axes) must be 2.")
    a, b = (one_axis(i, m.ndim) for i in axes)
    if a == b:
        raise ValueError("Axes must be different.")
    k %= 4
    if k == 0:
        return m[...]
    if k == 2:
        return flip(m, (a, b))
    if k == 1:
        return np.swapaxes(flip(m, b), a, b)
    return flip(np.swapaxes(m, a, b), b)


@implements(np.meshgrid)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Array:
    """Return coordinate arrays of a grid from the coordinates along its axes.

    Parameters
    ----------
    *xi : array_like, one axis
    copy : bool
        Whether the results are arrays of their own.
    sparse : bool
        Whether each has size 1 along the axes of the others.
    indexing : str
        ``"xy"`` has the second array along the first axis, ``"ij"`` the first.

    Returns
    -------
    tuple of Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> [g.shape for g in tg.meshgrid([1.0, 2.0], [1.0, 2.0, 3.0])]
    [(3, 2), (3, 2)]
    """
    if indexing not in ("xy", "ij"):
        raise ValueError("Valid values for `indexing` are 'xy' and 'ij'.")
    n = len(xi)
    place = list(range(n))
    if indexing == "xy" and n > 1:
        place[:2] = [1, 0]
    grids = [
        np.reshape(as_tensor(x), [-1 if k == place[i] else 1 for k in range(n)])
        for i, x in enumerate(xi)
    ]
    if not sparse:
        grids = list(functions[np.broadcast_arrays](*grids))
    return tuple(np.copy(g) for g in grids) if copy else tuple(grids)


def _widths(pad_width: Any, ndim: int) -> list[tuple[int, int]]:
    if isinstance(pad_width, dict):
        widths: list[Any] = [(0, 0)] * ndim
        for axis, width in pad_width.items():
            widths[one_axis(axis, ndim)] = width if np.ndim(width) else (width, width)
        return [(int(a), int(b)) for a, b in widths]
    array = np.asarray(pad_width)
    if array.dtype.kind not in "iu":
        raise TypeError("`pad_width` must be of integral type.")
    if (array < 0).any():
        raise ValueError("index can't contain negative values")
    return [(int(a), int(b)) for a, b in np.broadcast_to(array, (ndim, 2))]


@implements(np.pad)
def pad(array: ArrayLike, pad_width: Any, mode: str = "constant", **kwargs: Any) -> Array:
    """Put a border around an array.

    Parameters
    ----------
    array : array_like
        Values.
    pad_width : int, pair, sequence of pairs, or dict
        The width before and after each axis.
    mode : {'constant', 'edge', 'reflect', 'symmetric', 'wrap'}
        What the border is made of; for the last four, elements of the array.
    **kwargs
        ``constant_values`` for ``'constant'``; what ``numpy.pad`` takes for the other modes.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.pad(tg.tensor([1.0, 2.0]), 1)
    Tensor([0., 1., 2., 0.])
    """
    array = as_tensor(array)
    widths = _widths(pad_width, array.ndim)
    if mode == "constant":
        values = kwargs.pop("constant_values", 0)
        if kwargs:
            raise ValueError(f"unsupported keyword arguments for mode 'constant': {set(kwargs)}")
        if isinstance(values, dict):
            values = [values.get(i, values.get(i - array.ndim, 0)) for i in range(array.ndim)]
            values = [v if np.ndim(v) else (v, v) for v in values]
        fills = np.broadcast_to(functions["cast"](as_tensor(values), array.dtype), (array.ndim, 2))
        for axis, (before, after) in enumerate(widths):
            shape = array.shape
            pieces = [
                np.broadcast_to(fills[axis, i], (*shape[:axis], n, *shape[axis + 1 :]))
                for i, n in enumerate((before, after))
            ]
            if before or after:
                array = concatenate((pieces[0], array, pieces[1]), axis)
        return array if any(a or b for a, b in widths) else np.copy(array)
    if mode not in ("edge", "reflect", "symmetric", "wrap") or kwargs.get("reflect_type") == "odd":
        raise NotImplementedError(
            f"pad: mode {mode!r} has no differentiable form; use 'constant', 'edge', 'reflect', "
            "'symmetric' or 'wrap'"
        )
    if not array.ndim:
        return np.copy(array)
    for axis, width in enumerate(widths):
        index = np.pad(np.arange(array.shape[axis]), width, mode, **kwargs)  # type: ignore[call-overload]
        array = array[(slice(None),) * axis + (index,)]
    return array
