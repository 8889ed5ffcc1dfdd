"""How imperative tensors enter a graph: their nodes, gradients and locks.

The functions here are what recorded operations share: the generated code of ``recorder``, and in-place
writes.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from tapegrad.tape.array.guard import ArrayLock, lock
from tapegrad.tape.array.tensor import Tensor, own
from tapegrad.tape.core.checks import check_constant
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.state import state

__all__ = [
    "Locks",
    "any_variable",
    "current_node",
    "enter",
    "fresh_leaf",
    "locked",
    "node_of_viewed",
    "wanted",
]

#: The locks that live as long as an entry.
Locks = tuple[ArrayLock, ...]


def enter(tensor: Tensor, locks: Locks, guard: bool) -> tuple[Node, Locks]:
    """Bring a leaf, a view or a constant into a graph: null its gradient, and lock its array.

    Returns
    -------
    node : Node
        That of the current version.
    locks : tuple
        Those of the entry, and with `guard` that of the tensor's array. Arrays that operations have
        made are nobody's but the graph's, and are not locked.
    """
    base = tensor._base
    node: Node = tensor._node
    if base is not None or node.cleared:
        node = current_node(tensor)
        if base is not None:
            base._node.grad = None
    node.grad = None
    owner = node.owner
    if owner is None or owner() is None:
        node.owner = weakref.ref(tensor)
    if guard and (base is not None or not node.inputs):
        known = tensor._lock
        held = None if known is None else known()
        if held is None:
            held = lock(tensor._value)
            if held is None:  # the array was read-only before
                return node, locks
            tensor._lock = weakref.ref(held)
        locks = (*locks, held)
    return node, locks


def node_of_viewed(tensor: Tensor) -> Node:
    """Return the node of a tensor of which a view is taken: its gradient and its array stay as they
    are."""
    node = current_node(tensor)
    own(tensor)
    return node


def locked(array: Any, locks: Locks, guard: bool) -> tuple[Any, Locks]:
    """Return an operand that is no tensor as an array, and lock it if it is the user's."""
    if guard and isinstance(array, np.ndarray):
        held = lock(array)
        if held is not None:
            locks = (*locks, held)
    return np.asarray(array), locks


def current_node(tensor: Tensor) -> Node:
    """Bring a view up to date, and give a tensor whose graph was cleared a fresh node."""
    base = tensor._base
    if base is not None:
        if base._node.cleared:
            fresh_leaf(base)
        if tensor._version != base._version or (
            state.get().tracking and _is_cut_off(tensor._node, base._node)
        ):
            tensor.refresh()
    node: Node = tensor._node
    return fresh_leaf(tensor) if node.cleared else node


def _is_cut_off(node: Node, base: Node) -> bool:
    """Whether steps from a base to the view at `node` are cleared, or were never recorded."""
    while node is not base:
        if node.cleared or not node.inputs or node.inputs[0] is None:
            return True
        node = node.inputs[0]
    return False


def fresh_leaf(tensor: Tensor) -> Node:
    """Give a tensor whose graph was cleared a node of its own, so that it can enter a new graph.

    The old node stays marked: graphs that were built on it before the clearing must not go on.
    Views are taken anew from their base, so that gradients reach it.
    """
    if tensor._base is not None:
        tensor.refresh()
        return tensor._node  # type: ignore[no-any-return]
    old = tensor._node
    node = Node(None, (), {}, (), old.shape, old.dtype)
    node.constant = old.constant
    node.grad = old.grad
    tensor._node = node
    tensor._version += 1
    return node


def any_variable(args: tuple[Any, ...]) -> bool:
    """Whether a gradient can be asked of an argument; inside transformations arrays are locked for
    no others, for constants are buffers of the function's own there."""
    return any(isinstance(a, Tensor) and not a.constant for a in args)


def wanted(constant: Any, primitive: Primitive, out: Any) -> bool:
    """Whether a result is variable when the user says whether it is constant."""
    check_constant(constant)
    if not constant and out.dtype.kind != "f":
        raise ValueError(
            f"the result of {primitive.name} has dtype {out.dtype} and must be constant: "
            "only floats have gradients"
        )
    return not constant
