"""How imperative tensors enter a graph: their nodes, gradients and locks.

The functions here are what recorded operations share: the generated code of ``recorder``, and in-place
writes.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from tapegrad.tape.array.guard import ArrayLock, ViewLock, lock
from tapegrad.tape.array.tensor import Tensor, own, pin_of
from tapegrad.tape.core.checks import check_constant
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive, implements
from tapegrad.tape.core.state import state

__all__ = [
    "Locks",
    "any_variable",
    "current_node",
    "enter",
    "enter_viewed",
    "fresh_leaf",
    "locked",
    "tensor_at",
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
        base = tensor._base
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


def enter_viewed(tensor: Tensor, locks: Locks, guard: bool) -> tuple[Node, Locks]:
    """Bring a tensor of which a view is taken into a graph: lock its array; its gradient stays.

    Returns
    -------
    node : Node
    locks : tuple
        As those of :func:`enter`.
    """
    node = current_node(tensor)
    own(tensor)
    if guard and (tensor._base is not None or not node.inputs):
        held = lock(tensor._value, ViewLock)
        if held is not None:
            locks = (*locks, held)
    return node, locks


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
        if tensor._version != base._version or not _is_recorded(tensor._node, base._node):
            if base._node.cleared:
                fresh_leaf(base)
            tensor.refresh()
        elif tensor._node.cleared and state.get().tracking:
            sever(tensor)
    node: Node = tensor._node
    return fresh_leaf(tensor) if node.cleared and tensor._base is None else node


def _is_recorded(node: Node, base: Node) -> bool:
    """Whether the steps from a base to the view at `node` were ever recorded.

    Those that were made before the graph of the base was cleared belong to that graph: if the base is a
    leaf, which has nothing to clear, they lead from a cleared node from now on.
    """
    step = node
    last: Node | None = node
    while last is not base and last is not None and last.inputs:
        step, last = last, last.inputs[0]
    made_before = last is base and not (base.inputs or base.cleared) and base.swept > step.number
    if made_before and step is not base:
        severed = Node(None, (), {}, (), base.shape, base.dtype)
        severed.number, severed.cleared = base.number, True
        step.inputs = (severed,)
    return last is base or (last is not None and last.cleared) or not state.get().tracking


@implements("sever")
def sever(view: Tensor) -> None:
    """Make a view whose graph was cleared a tensor of its own, as documented.

    It shares memory with what was its base, and therefore its pin: who is written into copies first.
    """
    view._pin = pin_of(view)
    view._base, view._path = None, ()


def fresh_leaf(tensor: Tensor) -> Node:
    """Give a tensor whose graph was cleared a node of its own, so that it can enter a new graph.

    The old node stays marked: graphs that were built on it before the clearing must not go on.
    """
    old = tensor._node
    node = Node(None, (), {}, (), old.shape, old.dtype)
    node.constant = old.constant
    node.grad = old.grad
    tensor._node = node
    return node


def any_variable(args: tuple[Any, ...]) -> bool:
    """Whether a gradient can be asked of an argument; inside transformations arrays are locked for
    no others, for constants are buffers of the function's own there."""
    return any(isinstance(a, Tensor) and not a.constant for a in args)


def wanted(constant: Any, primitive: Primitive, out: Any) -> bool:
    """Whether a result is variable when the user says whether it is constant."""
    check_constant(constant)
    if not constant and out.dtype.kind not in CONTINUOUS:
        raise ValueError(
            f"the result of {primitive.name} has dtype {out.dtype} and must be constant: "
            "only floats have gradients"
        )
    return not constant


def tensor_at(node: Node) -> Tensor | None:
    """Return the living tensor whose current version is that of `node`."""
    tensor = None if node.owner is None else node.owner()
    return tensor if tensor is not None and tensor._node is node else None
