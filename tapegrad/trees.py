"""Nests as vectors: what optimisers that know only vectors need."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.tape.array.application import apply
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import functions, primitives
from tapegrad.tape.core.pytree import flatten, paths, unflatten

__all__ = ["ravel_pytree"]


def ravel_pytree(tree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Return the leaves of a nest as one vector, and the function that leads back.

    Parameters
    ----------
    tree : nest of array_like
        Its leaves are arrays, numbers and tensors.

    Returns
    -------
    vector : array or Tensor
        All elements, leaf by leaf, each in C order. Its dtype is the one to which NumPy promotes the
        dtypes of all leaves; a Python number counts as the array that NumPy makes of it. Without
        leaves it is empty, of dtype float64.
    unravel : callable
        Takes a vector of the same length, and returns a nest like `tree`: every leaf has its own shape
        and dtype again, whatever the dtype of the vector, and memory of its own.

    Raises
    ------
    TypeError
        For a leaf that holds no numbers.
    ValueError
        By `unravel`, for what has another shape.

    Notes
    -----
    Both ways are differentiable, and work under ``jit``, ``vmap`` and the others. To an integer leaf
    no gradient flows.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> vector, unravel = tg.ravel_pytree({"w": np.eye(2), "b": 0.5})
    >>> vector
    array([1. , 0. , 0. , 1. , 0.5])
    >>> unravel(2 * vector)
    {'w': array([[2., 0.],
           [0., 2.]]), 'b': np.float64(1.0)}
    >>> tg.grad(lambda v: unravel(v)["b"] ** 2)(vector)
    array([0., 0., 0., 0., 1.])
    """
    leaves, structure = flatten(tree)
    arrays = [leaf if isinstance(leaf, Tensor) else np.asarray(leaf) for leaf in leaves]
    for array, leaf, path in zip(arrays, leaves, paths(structure)):
        if array.dtype.kind not in "fiubc":
            where = f" at {path}" if path else ""
            raise TypeError(
                f"ravel_pytree: the leaf{where} is of type {type(leaf).__name__}, and holds no numbers"
            )
    kinds = [(array.shape, array.dtype) for array in arrays]
    size = sum(math.prod(shape) for shape, _ in kinds)

    def unravel(vector: Any) -> Any:
        vector = vector if isinstance(vector, Tensor) else np.asarray(vector)
        if vector.shape != (size,):
            raise ValueError(f"unravel takes a vector of {size} elements, got shape {vector.shape}")
        parts, start = [], 0
        for shape, kind in kinds:
            end = start + math.prod(shape)
            part = vector[start:end].reshape(shape) if shape else vector[start]
            parts.append(_copied(part, kind))
            start = end
        return unflatten(structure, parts)

    if not arrays:
        return np.zeros(0), unravel
    return np.concatenate([np.ravel(array) for array in arrays]), unravel


def _copied(value: Any, dtype: np.dtype[Any]) -> Any:
    """Return a part of a vector with memory of its own; the method `astype` would cut the gradient."""
    if not isinstance(value, Tensor):
        return value.astype(dtype)
    if value.dtype != dtype:
        return functions["cast"](value, dtype)
    return apply(primitives["copy"], (value,))
