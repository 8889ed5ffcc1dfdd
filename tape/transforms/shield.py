"""Transformations never write into the caller's arrays, and run the function once.

Arguments by which is not differentiated reach an image as read-only views, which cost nothing, or as
copies, if they are small: the gate sees what is written into them, and puts a tensor in their place. A
function that runs as it is gets copies that it may write into.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.tape.array.originals import copied, same_bits
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.kinds import Kind
from tapegrad.tape.core.pytree import flatten, unflatten

__all__ = ["run_shielded"]

#: Bytes up to which arrays are copied.
_SMALL = 1 << 12

#: What NumPy says where code of C's writes into a view that is lent.
_REFUSALS = (
    "assignment destination is read-only",
    "output array is read-only",
    "array is read-only",
    "sort array is read-only",
    "buffer source array is read-only",
)
_NOTE = (
    "A transformation lends a function its other arguments: an array among them would have been written "
    "into by code that tapegrad does not follow. Let it write into a copy, or pass adapt=False, which "
    "gives the function copies."
)


def run_shielded(run: Callable[[Any, Any], Any], arguments: Any, *, as_is: bool) -> Any:
    """Return ``run(arguments, originals)``, with the arrays in the nest `arguments` safe from writes.

    Parameters
    ----------
    run : callable
        Runs the user's function; its result is a nest. `originals` are pairs of what stands in the nest,
        and what the caller has for it.
    arguments : nest
        What the function gets besides the values that are traced.
    as_is : bool
        Whether it runs as it is, so that nobody sees what it writes.
    """
    leaves, structure = flatten(arguments, _opens)
    lent: list[Any] = []
    arrays: dict[int, Any] = {}
    tensors: dict[int, Any] = {}
    given: dict[int, Any] = {}
    for leaf in leaves:
        if type(leaf) is np.ndarray and leaf.flags.writeable:
            if id(leaf) not in given:  # an array that is passed twice arrives as one
                given[id(leaf)] = _protected(leaf, as_is)
                arrays[id(given[id(leaf)])] = leaf
            leaf = given[id(leaf)]
        elif isinstance(leaf, Tensor):
            cell = leaf.snapshot()  # a cell of its own: writes stay there
            tensors[id(cell)] = (leaf, cell.node)
            leaf = cell
        lent.append(leaf)
    if not arrays and not tensors:
        return run(arguments, ())
    originals = [(a, b) for a, b in zip(lent, leaves) if a is not b]
    try:
        result = run(unflatten(structure, lent), originals)
    except ValueError as error:
        if str(error) in _REFUSALS and not as_is:
            error.add_note(_NOTE)
        raise
    # A function that returns such an argument returns the caller's own array.
    out_leaves, out_structure = flatten(result)
    owners = [_owner(leaf, arrays, tensors) for leaf in out_leaves]
    if all(a is b for a, b in zip(owners, out_leaves)):
        return result
    return unflatten(out_structure, owners)


def _protected(array: Any, as_is: bool) -> Any:
    """Return what the function gets in place of an array of the caller's."""
    if as_is:
        return copied(array)
    # np.add.at writes into read-only arrays, too.
    view = array.view() if array.nbytes > _SMALL or 0 in array.strides else copied(array)
    view.flags.writeable = False
    return view


def _opens(kind: Kind, tree: Any) -> Any:
    """Take named tuples apart; other objects reach the function as they are."""
    return kind.take(tree) if isinstance(tree, tuple) else None


def _owner(leaf: Any, arrays: dict[int, Any], tensors: dict[int, Any]) -> Any:
    """Return what the caller has for a leaf of the result."""
    tensor, node = tensors.get(id(leaf), (leaf, None))
    if node is not None and leaf.node is node:
        return tensor
    if id(leaf) in arrays:
        own = arrays[id(leaf)]
        if same_bits(own.reshape(leaf.shape), leaf):
            return own if own.shape == leaf.shape else own.reshape(leaf.shape)
    return leaf
