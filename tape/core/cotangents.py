"""Cotangents: how they get the shape and dtype of what they belong to, and how they add up."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import functions
from tapegrad.tape.core.traced import Traced

__all__ = ["add_to", "cast", "fit", "own_buffer", "total", "zeros"]


def fit(g: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Give a cotangent exactly the primal's shape and dtype: sum what was broadcast, and cast.

    The only place of the library that undoes broadcasting.
    """
    if type(g) is not np.ndarray and not isinstance(g, Traced):
        g = np.asarray(g)
    if g.shape != shape:
        g = unbroadcast(g, shape)
    return cast(g, dtype)


def zeros(like: Any) -> Any:
    """Return zeros of the shape and dtype of something, which take no memory: a constant of a tape."""
    return np.broadcast_to(np.zeros((), like.dtype), like.shape)


def cast(value: Any, dtype: np.dtype[Any]) -> Any:
    """Return an array or a tensor with another dtype; a tensor's gradient flows through.

    Of a complex cotangent or tangent of a real value the real part counts: that is the transpose of the
    promotion of real numbers to complex ones. The only place of the library that takes it.
    """
    if value.dtype == dtype:
        return value
    if value.dtype.kind == "c" and dtype.kind != "c":
        value = np.real(value)
        if value.dtype == dtype:
            return value
    return functions["cast"](value, dtype) if isinstance(value, Traced) else value.astype(dtype)


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum `g` over the axes along which an array of `shape` was repeated to g's shape."""
    extra = len(g.shape) - len(shape)
    if extra < 0:  # the value had leading axes of size 1 that an assignment dropped
        return np.reshape(unbroadcast(g, shape[-extra:]), shape)
    axes = tuple(range(extra)) + tuple(
        i + extra for i, n in enumerate(shape) if n == 1 and g.shape[i + extra] != 1
    )
    if axes:
        g = np.sum(g, axis=axes, keepdims=True)
    if extra:
        g = np.reshape(g, g.shape[extra:])
    if g.shape != shape:  # the result did not depend on this argument's full extent
        g = np.broadcast_to(g, shape)
    return g


def total(a: Any, b: Any) -> Any:
    """Add cotangents; NumPy's sum of arrays without axes is no array."""
    both = a + b
    return both if isinstance(both, Traced) else np.asarray(both)


def add_to(node: Node, part: Any, cotangents: dict[Node, Any], owned: set[Node]) -> None:
    """Add a further part to the cotangent of a node, in place if its array is the sweep's own."""
    old = cotangents[node]
    if node in owned and type(part) is np.ndarray:
        np.add(old, part, out=old)
        return
    cotangents[node] = new = old + part
    if type(new) is np.ndarray:
        if new.ndim:
            owned.add(node)
    elif isinstance(new, np.generic):
        cotangents[node] = np.asarray(new)


def own_buffer(node: Node, cotangents: dict[Node, Any], owned: set[Node]) -> Any:
    """Return the cotangent of a node as an array that may be added to; None if it is traced."""
    old = cotangents.get(node)
    if node in owned:
        return old
    if old is None:
        old = np.zeros(node.shape, node.dtype)
    elif type(old) is np.ndarray:
        old = np.array(old)
    else:
        return None
    cotangents[node] = old
    owned.add(node)
    return old
