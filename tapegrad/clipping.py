"""Clipping by norm: of one array, and of all arrays of a nest together.

Both are compositions of norms and elementwise functions, so that they differentiate, batch and
compile: one pass reads every array, another writes.
"""

from __future__ import annotations

import math
from operator import index
from typing import Any

import numpy as np

from tapegrad.ops.algebra.norms import vector_norm
from tapegrad.ops.algebra.total_norm import total_norm_p
from tapegrad.ops.declare.ufunc import as_tensor, check_operand, flagged
from tapegrad.tape.array.application import bind
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.dtypes import REAL
from tapegrad.tape.core.primitive import functions
from tapegrad.tape.core.pytree import flatten, unflatten
from tapegrad.tape.core.types import Array, ArrayLike, AxisLike

__all__ = ["clip_by_global_norm", "clip_by_norm", "global_norm", "positive_order"]


def _is_known(bound: Any) -> bool:
    """Whether the value can be looked at: a number, an array or an imperative tensor."""
    return not isinstance(bound, Tensor) or not bound.live_trace.level


def _bound(bound: Any, name: str) -> Any:
    """Check an upper bound of a norm."""
    if bound is None or isinstance(bound, str | bytes | dict) or np.ndim(bound) != 0:
        raise ValueError(f"{name} must be a positive number, not {bound!r}")
    if _is_known(bound) and not float(bound) > 0:
        raise ValueError(f"{name} must be positive, not {float(bound)}")
    return bound


def _ratio(norm: Any, bound: Any) -> tuple[Any, Any]:
    """Return what to divide and what to multiply with: 1 and 1 where the norm is within the bound.

    A traced bound may not be looked at: it becomes nan if it is not positive. A number beyond those
    of the norm's dtype bounds nothing.
    """
    one = np.ones((), norm.dtype)
    if not isinstance(bound, Tensor):
        greatest = float(np.finfo(norm.dtype).max)
        bound = float(bound)
        over, bound = norm > (bound if bound <= greatest else math.inf), min(bound, greatest)
        return np.where(over, norm, one), np.where(over, bound, one)
    over = norm > bound
    if not _is_known(bound):
        positive = np.greater(bound, 0)
        over = np.logical_or(over, np.logical_not(positive))
        bound = np.where(positive, bound, math.nan)
    return np.where(over, norm, one), np.where(over, bound, one)


def clip_by_norm(
    t: ArrayLike, clip_norm: Any, axes: AxisLike = None, *, constant: bool | None = None
) -> Array:
    """Scale an array down so that its 2-norm is at most `clip_norm`.

    Parameters
    ----------
    t : array_like of float
        Values. What has a norm up to `clip_norm` is returned as it is, to the last bit.
    clip_norm : float or Tensor
        The greatest norm, a positive scalar; gradients flow to it too.
    axes : int or sequence of int, optional
        Axes that the norm is taken over, separately for every place of the other axes: ``axes=[1]``
        clips each row of a matrix. By default all.
    constant : bool, optional
        ``True`` makes the result a constant, ``False`` a variable.

    Returns
    -------
    Tensor
        Of the shape and dtype of `t`.

    Raises
    ------
    TypeError
        If `t` holds no floats.
    ValueError
        If `clip_norm` is no scalar or not positive.

    Examples
    --------
    >>> import tapegrad as tg
    >>> tg.clip_by_norm(tg.tensor([[3.0, 4.0], [0.3, 0.4]]), 1.0, axes=[1])
    Tensor([[0.6, 0.8],
            [0.3, 0.4]])
    """
    check_operand(np.asarray(t) if isinstance(t, list | tuple) else t, "clip_by_norm", REAL)
    t = as_tensor(t)
    if t.dtype.kind != "f":
        raise TypeError(f"clip_by_norm takes floats, not {t.dtype}; convert with x.astype(float)")
    bound = _bound(clip_norm, "clip_norm")
    if isinstance(axes, Tensor | np.ndarray | list):
        axes = tuple(index(a) for a in np.ravel(axes))  # which a recording sees
    narrow = t.dtype
    t = _wide(t)
    norm = vector_norm(t, 2, axes, keepdims=True)
    divisor, bound = _ratio(norm, bound)
    # Division first: the product of a large element with the bound could overflow.
    result = t / divisor * bound
    return flagged(_cast(result, narrow), constant)


def _wide(leaf: Any) -> Any:
    """An array or tensor of float32 or float64: float16 would overflow."""
    if not isinstance(leaf, Tensor):
        leaf = np.asarray(leaf)
    check_operand(leaf, "norm of a nest", REAL)
    if leaf.dtype == np.float64 or leaf.dtype == np.float32:
        return leaf
    return _cast(leaf, np.dtype(np.float32 if leaf.dtype == np.float16 else np.float64))


def _cast(leaf: Any, dtype: np.dtype[Any]) -> Any:
    if leaf.dtype == dtype:
        return leaf
    return functions["cast"](leaf, dtype) if isinstance(leaf, Tensor) else leaf.astype(dtype)


def global_norm(tree: Any, norm_type: float = 2.0) -> Array:
    """Norm of all elements of the arrays in a nest together.

    Parameters
    ----------
    tree
        A nest (tuples, lists, dicts) of arrays or tensors; None counts as nothing.
    norm_type : float
        The order, positive; inf is the greatest absolute value.

    Returns
    -------
    ndarray without axes, or Tensor if the nest holds tensors

    Raises
    ------
    ValueError
        If `norm_type` is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad.clipping import global_norm
    >>> float(global_norm({"w": np.array([3.0, 0.0]), "b": np.array(4.0)}))
    5.0
    """
    norm_type = positive_order(norm_type)
    leaves = [_wide(leaf) for leaf in flatten(tree)[0]]
    if not leaves:
        return np.zeros(())
    dtype = np.result_type(*{leaf.dtype for leaf in leaves})
    if math.isinf(norm_type):
        sizes = [np.max(np.abs(leaf)) for leaf in leaves if leaf.size] or [np.zeros(())]
        return _cast(sizes[0] if len(sizes) == 1 else np.max(np.stack(sizes)), dtype)
    return bind(total_norm_p, *(_cast(leaf, dtype) for leaf in leaves), ord=norm_type)


def positive_order(norm_type: Any) -> float:
    """Check the order of a norm over several arrays."""
    if isinstance(norm_type, bool) or not isinstance(norm_type, int | float | np.number):
        raise TypeError(f"norm_type must be a positive number, not {norm_type!r}")
    if not norm_type > 0:
        raise ValueError(f"norm_type must be positive, not {norm_type}")
    return float(norm_type)


def clip_by_global_norm(tree: Any, max_norm: Any, norm_type: float = 2.0) -> tuple[Any, Any]:
    """Scale all arrays of a nest by one factor, so that their common norm is at most `max_norm`.

    Parameters
    ----------
    tree
        A nest (tuples, lists, dicts) of arrays of floats or of tensors, such as ``tg.grad`` returns;
        None stays None.
    max_norm : float or Tensor
        The greatest norm, a positive scalar. Below it every array keeps its values to the last bit.
    norm_type : float
        The order of the norm, positive; inf is the greatest absolute value.

    Returns
    -------
    clipped
        A nest like `tree` with new arrays of the same dtypes.
    norm : ndarray without axes, or Tensor
        From before clipping.

    Raises
    ------
    TypeError
        For arrays of integers.
    ValueError
        If `max_norm` is no scalar or not positive.

    Examples
    --------
    >>> import numpy as np
    >>> import tapegrad as tg
    >>> clipped, norm = tg.clip_by_global_norm({"w": np.array([3.0, 0.0]), "b": np.array(4.0)}, 1.0)
    >>> clipped["w"], float(norm)
    (array([0.6, 0. ]), 5.0)
    """
    bound = _bound(max_norm, "max_norm")
    leaves, structure = flatten(tree)
    leaves = [leaf if isinstance(leaf, Tensor) else np.asarray(leaf) for leaf in leaves]
    for leaf in leaves:
        if leaf.dtype.kind != "f":
            raise TypeError(f"clip_by_global_norm takes arrays of floats, not of {leaf.dtype}")
    norm = global_norm(leaves, norm_type)
    divisor, bound = _ratio(norm, bound)
    factor, last = bound / divisor, None
    if isinstance(factor, Tensor) or factor < np.finfo(factor.dtype).tiny:
        factor, last = 1.0 / divisor, bound  # the one factor could lose its digits or vanish
    clipped = []
    for leaf in leaves:
        scaled = leaf * factor if last is None else leaf * factor * last
        clipped.append(_cast(scaled, leaf.dtype))
    return unflatten(structure, clipped), norm
