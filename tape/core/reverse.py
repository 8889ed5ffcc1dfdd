"""The reverse sweep: from the cotangent of a result to those of all that it came from.

One function, :func:`sweep`, serves ``backward``, ``vjp`` and ``Tape.gradient``. It runs the rules on
whatever the saved values are: on arrays at NumPy's speed, on tensors as recorded operations, so that
the gradient can itself be differentiated, batched and compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

import numpy as np

from tapegrad.tape.core import pullback  # noqa: F401  # generates what primitives do in a sweep
from tapegrad.tape.core.cotangents import total
from tapegrad.tape.core.errors import InvalidBackprop
from tapegrad.tape.core.location import current_line
from tapegrad.tape.core.node import Node, clock
from tapegrad.tape.core.watching import watching

__all__ = ["backward", "clear", "sweep", "sweep_by_line"]

_number = attrgetter("number")
_NOTHING: dict[str, Any] = {}


def reachable(roots: Iterable[Node], *, variable: bool) -> list[Node]:
    """Return the nodes that `roots` came from, themselves included; only variable ones if asked."""
    found: list[Any] = list(dict.fromkeys(roots))
    seen: set[Any] = {None, *found}
    for node in found:  # the list grows while it is walked
        for source in node.inputs:
            if source not in seen:
                seen.add(source)
                if not (variable and source.constant):
                    found.append(source)
    return found


def sweep(
    roots: list[tuple[Node, Any]],
    order: list[Node] | None = None,
    *,
    before: Callable[[Node], None] | None = None,
    imperative: bool = False,
) -> dict[Node, Any]:
    """Return the cotangent of every variable node that the roots came from.

    Parameters
    ----------
    roots : list of (Node, cotangent)
        Where to start; a node may occur twice.
    order : list of Node, optional
        What the roots came from, if the caller knows it; constants in it are passed over.
    before : callable, optional
        Is called with a node before its rules are run.
    imperative : bool
        Whether to follow the rules that are documented for ``backward()``.
    """
    watch = watching.get()
    if watch is not None and before is None:
        return sweep_by_line(roots, order, imperative=imperative)
    cotangents: dict[Node, Any] = {}
    owned: set[Node] = set()
    for node, g in roots:
        cotangents[node] = total(cotangents[node], g) if node in cotangents else g
    if order is None:
        order = reachable([node for node, _ in roots], variable=True)
    order.sort(key=_number, reverse=True)
    for node in order:
        g = cotangents.get(node)
        if g is None:
            continue
        if node.inputs:
            if before is not None:
                before(node)
            primitive = node.primitive.imperative if imperative else node.primitive
            primitive.pull_back(node, g, cotangents, owned)
            if watch is not None:
                watch.pulled(node, g, cotangents)
        elif node.cleared:
            raise InvalidBackprop(
                "a part of this graph, or all of it, has been cleared: backward() or clear_graph() "
                "was called before on this tensor or on another result that shares the part. Sweep "
                "the sum of the results once, or compute them again."
            )
    return cotangents


def sweep_by_line(
    roots: list[tuple[Node, Any]], order: list[Node] | None = None, *, imperative: bool = False
) -> dict[Node, Any]:
    """Sweep, and do the work for each node in the name of the user's line that made it."""
    line = current_line.set(None)
    try:
        return sweep(roots, order, before=_name_line, imperative=imperative)
    finally:
        current_line.reset(line)


def _name_line(node: Node) -> None:
    current_line.set(getattr(node, "where", None))


def backward(root: Node, cotangent: Any, *, forget: bool = True) -> None:
    """Sweep from `root`, leave the gradient at every variable whose tensor lives, clear the graph.

    Where a tape is kept, its entries are not to be forgotten.
    """
    order = reachable((root,), variable=False)
    cotangents = (sweep if forget else sweep_by_line)([(root, cotangent)], order, imperative=True)
    delivered: set[int] = set()
    now = clock()
    for node in order:
        g = cotangents.get(node)
        if g is not None:
            owner = node.owner
            tensor = None if owner is None else owner()
            if tensor is not None or owner is None or node is root:
                node.grad = _delivered(g, tensor, delivered)
        if node.inputs:  # Node.clear, unrolled
            node.inputs = node.saved = ()
            node.cleared = True
            node.settled = False
            if forget:
                node.primitive = None
                node.params = _NOTHING
        else:
            node.swept = now
        node.pins = node.locks = ()


def _delivered(g: Any, tensor: Any, delivered: set[int]) -> Any:
    """Return a cotangent as the gradient of a tensor.

    A gradient is the user's to change: it may share memory with no other array.
    """
    if type(g) is np.ndarray:
        if tensor is not None and g.ndim > 1:
            g = tensor.lay_out(g)
        if g.base is not None or id(g) in delivered:
            g = g.copy("K")
        delivered.add(id(g))
    return g


def clear(root: Node, *, forget: bool = True) -> None:
    """Clear the graph that led to `root` without a sweep; gradients stay."""
    for node in reachable([root], variable=False):
        node.clear(forget=forget)
