"""NumPy's functions that call other functions, or choose between arrays by number.

The functions that they call run on tensors, so whatever those do is differentiated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops.declare.axes import one_axis
from tapegrad.ops.declare.ufunc import as_tensor, common_dtype, data_of, delivered, operand, owned
from tapegrad.ops.shape.joining import stack
from tapegrad.ops.shape.selecting import take_along_axis
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import functions, implements
from tapegrad.tape.core.types import Array, ArrayLike, AxisLike

__all__ = ["apply_along_axis", "apply_over_axes", "choose", "piecewise"]


@implements(np.apply_along_axis)
def apply_along_axis(
    func1d: Callable[..., Any], axis: int, arr: ArrayLike, *args: Any, **kwargs: Any
) -> Array:
    """Apply a function to each vector along an axis; what it gives takes the place of that axis.

    Parameters
    ----------
    func1d : callable
        ``func1d(vector, *args, **kwargs)``.
    axis : int
        The axis of the vectors.
    arr : array_like
        Values.

    Returns
    -------
    Tensor, or an ndarray if the function gives no tensors

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.apply_along_axis(np.sum, 1, tg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    Tensor([3., 7.])
    """
    arr = as_tensor(arr)
    axis = one_axis(axis, arr.ndim)
    vectors = np.moveaxis(arr, axis, -1)
    outer = vectors.shape[:-1]
    if not math.prod(outer):
        raise ValueError("Cannot apply_along_axis when any iteration dimensions are 0")
    results = [operand(func1d(vectors[i], *args, **kwargs)) for i in np.ndindex(outer)]
    arrays = not any(isinstance(r, Tensor) for r in results)
    joined: Any = np.stack(results) if arrays else stack(results)
    inner = joined.shape[1:]
    joined = np.reshape(joined, (*outer, *inner))
    order = [*range(axis), *range(len(outer), joined.ndim), *range(axis, len(outer))]
    joined = np.transpose(joined, order)
    return joined if arrays else owned(joined)


@implements(np.apply_over_axes)
def apply_over_axes(func: Callable[[Any, int], Any], a: ArrayLike, axes: AxisLike) -> Array:
    """Apply ``func(a, axis)`` for one axis after the other; reduced axes stay, with size 1.

    Parameters
    ----------
    func : callable
        Takes an array and an axis, and returns an array that has lost the axis, or has it with size 1.
    a : array_like
    axes : int or sequence of int

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.apply_over_axes(np.sum, tg.tensor([[1.0, 2.0], [3.0, 4.0]]), [0, 1])
    Tensor([[10.]])
    """
    a = as_tensor(a)
    ndim = a.ndim
    for axis in np.ravel(np.asarray(axes)).tolist():
        axis = one_axis(axis, ndim)
        result = func(a, axis)
        if np.ndim(result) != ndim:
            result = np.expand_dims(result, axis)
            if np.ndim(result) != ndim:
                raise ValueError("function is not returning an array of the correct shape")
        a = result
    return a


@implements(np.choose)
def choose(a: ArrayLike, choices: Any, out: Any = None, mode: str = "raise") -> Array:
    """Choose each element from one of several arrays, by number.

    Parameters
    ----------
    a : array_like of int
        Which array; never gets a gradient.
    choices : sequence of array_like
        Arrays; they are broadcast against each other and `a`.
    out : Tensor or ndarray, optional
        Where the result is written to.
    mode : {'raise', 'wrap', 'clip'}
        What is done about numbers outside.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.choose([0, 1], [tg.tensor([1.0, 2.0]), 5.0])
    Tensor([1., 5.])
    """
    arrays = list(choices) if isinstance(choices, list | tuple) else list(operand(choices))
    count = len(arrays)
    number = operand(a)
    if mode == "raise":
        if np.any(number < 0) or np.any(number >= count):
            raise ValueError("invalid entry in choice array")
    elif mode == "wrap":
        number = np.remainder(number, count)
    elif mode == "clip":
        number = np.minimum(np.maximum(number, 0), count - 1)
    else:
        raise ValueError(f"clipmode must be one of 'clip', 'raise', or 'wrap' (got {mode!r})")
    dtype = common_dtype(*arrays)
    cast = [functions["cast"](as_tensor(c), dtype) for c in arrays]
    number, *broadcast = functions[np.broadcast_arrays](as_tensor(number), *cast)
    result = take_along_axis(stack(broadcast), np.expand_dims(number, 0), 0)
    return delivered(np.copy(result[0]), out, "choose")


@implements(np.piecewise)
def piecewise(x: ArrayLike, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Array:
    """Apply to each part of an array the function whose condition holds there.

    Parameters
    ----------
    x : array_like
        Values.
    condlist : sequence of array_like of bool
        Conditions; where several hold, the last counts.
    funclist : sequence of callable or number
        As many functions, each called with the values where its condition holds; and perhaps one
        more for the places where none does, which by default become 0.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Examples
    --------
    >>> import tapegrad as tg
    >>> x = tg.tensor([-1.0, 4.0])
    >>> tg.piecewise(x, [x < 0, x >= 0], [0.0, np.sqrt])
    Tensor([0., 2.])
    """
    x = as_tensor(x)
    masks = [operand(c) for c in _conditions(condlist, x.ndim)]
    choices = list(funclist)
    if len(choices) == len(masks) + 1:
        some: Any = False
        for mask in masks:
            some = np.logical_or(some, mask)
        masks.append(np.logical_not(some))
    elif len(choices) != len(masks):
        raise ValueError(
            f"with {len(masks)} condition(s), either {len(masks)} or {len(masks) + 1} functions are "
            "expected"
        )
    result: Any = np.zeros(x.shape, x.dtype)
    for mask, choice in zip(masks, choices):
        if callable(choice):
            mask = np.broadcast_to(np.asarray(data_of(mask, "piecewise"), bool), x.shape)
            if not mask.any():
                continue
            part = np.broadcast_to(as_tensor(choice(x[mask], *args, **kw)), (int(mask.sum()),))
            rank = np.maximum(np.cumsum(mask) - 1, 0).reshape(x.shape)
            choice = part[rank]  # values elsewhere are any, and do not count
        value = functions["cast"](as_tensor(choice), x.dtype)
        result = functions[np.where](mask, value, result)
    return as_tensor(result)


def _conditions(condlist: Any, ndim: int) -> list[Any]:
    """Return the conditions in a list; one alone need not be in a list."""
    if np.isscalar(condlist):
        return [condlist]
    if isinstance(condlist, Tensor):
        alone = condlist.ndim < 2
        if not condlist.ndim:
            return [condlist]
    else:
        alone = not isinstance(condlist[0], list | np.ndarray | Tensor)
    return [condlist] if alone and ndim else list(condlist)
