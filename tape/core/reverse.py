"""The reverse sweep: from the cotangent of a result to those of all that it came from.

One function, :func:`sweep`, serves ``backward``, ``vjp`` and ``Tape.gradient``. It runs the rules on
whatever the saved values are: on arrays at NumPy's speed, on tensors as recorded operations, so that
the gradient can itself be differentiated, batched and compiled.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Any

import numpy as np

from tapegrad.tape.core.errors import InvalidBackprop
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import functions
from tapegrad.tape.core.trace import Traced

__all__ = ["backward", "clear", "fit", "sweep", "zeros"]

_number = attrgetter("number")
_NOTHING: dict[str, Any] = {}


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
    """Return an array or a tensor with another dtype; a tensor's gradient flows through."""
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


def reachable(roots: Iterable[Node], *, variable: bool) -> list[Node]:
    """Return the nodes that `roots` came from, themselves included; only variable ones if asked."""
    found = list(dict.fromkeys(roots))
    seen: set[Node | None] = {None, *found}
    for node in found:  # the list grows while it is walked
        for source in node.inputs:
            if source not in seen:
                assert source is not None
                seen.add(source)
                if not (variable and source.constant):
                    found.append(source)
    return found


def sweep(roots: list[tuple[Node, Any]], order: list[Node] | None = None) -> dict[Node, Any]:
    """Return the cotangent of every variable node that the roots came from.

    Parameters
    ----------
    roots : list of (Node, cotangent)
        Where to start; a node may occur twice.
    order : list of Node, optional
        What the roots came from, if the caller knows it; constants in it are passed over.
    """
    cotangents: dict[Node, Any] = {}
    owned: set[Node] = set()
    for node, g in roots:
        cotangents[node] = _sum(cotangents[node], g) if node in cotangents else g
    if order is None:
        order = reachable([node for node, _ in roots], variable=True)
    order.sort(key=_number, reverse=True)
    for node in order:
        g = cotangents.get(node)
        if g is None:
            continue
        inputs = node.inputs
        if not inputs:
            if node.cleared:
                raise InvalidBackprop(
                    "a part of this graph, or all of it, has been cleared: backward() or "
                    "clear_graph() was called before on this tensor or on another result that "
                    "shares the part. Sweep the sum of the results once, or compute them again."
                )
            continue
        primitive = node.primitive
        saved, params, rules = node.saved, node.params, primitive.vjps
        if primitive.in_place and type(g) is np.ndarray and not _any_traced(saved):
            _pull_in_place(node, g, cotangents, owned)
            continue
        if rules is None:
            rules = primitive.vjp_rules(len(inputs))
        for source, rule in zip(inputs, rules):
            if rule is None or source is None or source.constant:
                continue
            part = rule(g, *saved, **params) if params else rule(g, *saved)
            if type(part) is not np.ndarray:
                if part is None:  # a user's operation skipped this gradient
                    continue
                part = fit(part, source.shape, source.dtype)
            elif part.shape != source.shape or part.dtype is not source.dtype:
                part = fit(part, source.shape, source.dtype)
            old = cotangents.get(source)
            if old is None:
                cotangents[source] = part
            elif source in owned and type(part) is np.ndarray:
                np.add(old, part, out=old)
            else:
                cotangents[source] = new = old + part
                if type(new) is np.ndarray and new.ndim:
                    owned.add(source)
                elif isinstance(new, np.generic):
                    cotangents[source] = np.asarray(new)
    return cotangents


def _any_traced(saved: tuple[Any, ...]) -> bool:
    """Whether a residual is traced: an index, say, that an array cannot be written through."""
    return any(isinstance(value, Traced) for value in saved)


def _pull_in_place(node: Node, g: Any, cotangents: dict[Node, Any], owned: set[Node]) -> None:
    """Pull back through a part that is read or written, without an array of zeros for each part.

    A loop over the elements of an array stays linear that way.
    """
    primitive, base = node.primitive, node.inputs[0]
    assert primitive is not None
    if primitive.add_into is not None:
        if base is None or base.constant:
            return
        buffer = _own_buffer(base, cotangents, owned)
        if buffer is None:  # a traced cotangent is there already
            part = primitive.vjp_of(0)(g, *node.saved, **node.params)
            cotangents[base] = _sum(cotangents[base], part)
        else:
            primitive.add_into(buffer, g, *node.saved[2:], **node.params)
        return
    assert primitive.take_from is not None
    alone = node in owned and node.owner is not None and node.owner() is None
    rest = g if alone else np.array(g)
    part = primitive.take_from(rest, *node.saved[3:], **node.params)
    value = node.inputs[1]
    if value is not None and not value.constant:
        part = fit(part, value.shape, value.dtype)
        cotangents[value] = _sum(cotangents[value], part) if value in cotangents else part
    if base is not None and not base.constant:
        if base in cotangents:
            cotangents[base] = _sum(cotangents[base], rest)
        else:
            cotangents[base] = rest
            owned.add(base)


def _sum(a: Any, b: Any) -> Any:
    """Add cotangents; NumPy's sum of arrays without axes is no array."""
    total = a + b
    return total if isinstance(total, Traced) else np.asarray(total)


def _own_buffer(node: Node, cotangents: dict[Node, Any], owned: set[Node]) -> Any:
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


def backward(root: Node, cotangent: Any, *, forget: bool = True) -> None:
    """Sweep from `root`, leave the gradient at every variable whose tensor lives, clear the graph.

    Where a tape is kept, its entries are not to be forgotten.
    """
    order = reachable((root,), variable=False)
    cotangents = sweep([(root, cotangent)], order)
    given: set[int] = set()
    for node in order:
        g = cotangents.get(node)
        owner = node.owner
        tensor = None if owner is None else owner()
        if g is not None and (tensor is not None or owner is None or node is root):
            if type(g) is np.ndarray:
                if tensor is not None and g.ndim > 1:
                    g = tensor.lay_out(g)
                # A gradient is the user's to change: it may share memory with no other array.
                if g.base is not None or id(g) in given:
                    g = g.copy("K")
                given.add(id(g))
            node.grad = g
        if node.inputs:  # Node.clear, unrolled
            node.inputs = node.saved = ()
            node.cleared = True
            node.settled = False
            if forget:
                node.primitive = None
                node.params = _NOTHING
        node.holds = None


def clear(root: Node, *, forget: bool = True) -> None:
    """Clear the graph that led to `root` without a sweep; gradients stay."""
    for node in reachable([root], variable=False):
        node.clear(forget=forget)
